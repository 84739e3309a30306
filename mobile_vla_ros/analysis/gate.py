"""One decision before a checkpoint goes on the robot: promote it, or hold it and say why."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.analysis import gate_data, gate_drive, gate_error
from mobile_vla_ros.analysis.gate_check import Check
from mobile_vla_ros.analysis.held_out import Provenance
from mobile_vla_ros.analysis.recordings import (
    AnalysisError,
    Progress,
    Recordings,
    find_recordings,
    silent,
)
from mobile_vla_ros.analysis.traces import Trace, follow
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.incident import read_incident
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import sha256_of
from mobile_vla_ros.rig import Rig, commonest, rig_of

# Single frames that are timed, after some that warm up.
TIMED, WARMING = 20, 3

# (policy) -> whether each of the same drives in the same fields succeeded.
Drives = Callable[[Any], Sequence[bool]]


@dataclass(frozen=True)
class GateSettings:
    """What would do.

    Attributes:
        threshold: greatest RMSE, normalised, first chunk step.
        latency: s for one frame on this machine, median.
        unknown_training: let a candidate pass that does not say what it was trained on.
        seed: of the bootstrap.
    """

    threshold: float = 0.25
    latency: float = 0.2
    unknown_training: bool = False
    seed: int = 0


@dataclass
class _Seen:
    """Both policies on the same episodes."""

    candidate: list[Trace] = field(default_factory=list)
    current: list[Trace] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)
    periods: list[float] = field(default_factory=list)
    rigs: list[Rig] = field(default_factory=list)
    hashes: dict[str, str] = field(default_factory=dict)
    without_axes: list[str] = field(default_factory=list)


def decide(
    candidate,
    current,
    data: Sequence[str | Path],
    settings: GateSettings,
    *,
    before: Sequence[Check] = (),
    incidents: Sequence[str | Path] = (),
    drives: Drives | None = None,
    limit: int | None = None,
    progress: Progress = silent,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, Any]:
    """Asks everything that a checkpoint must answer before it drives.

    Args:
        candidate: the loaded policy that wants to go on the robot.
        current: the loaded policy that is there now.
        data: episode files or folders; what either was trained on is left out.
        settings: what would do.
        before: checks already made, of the files themselves.
        incidents: capsules to show to the candidate.
        drives: drives a policy through the same fields each time; None leaves that out.
        limit: at most this many episodes.
        progress: shows how far it is.
        clock: for the latency, s.

    Returns:
        ``decision`` (promote, hold), ``checks`` as plain values, ``reasons`` of a hold,
        ``not_measured``, and what it was found on.

    Raises:
        AnalysisError: no episode is left that neither was trained on, or the current policy has
            no driving head.
        IncidentError: a capsule cannot be replayed.
    """
    if not current.config.drives:
        raise AnalysisError("the checkpoint given by --against has no 2-DoF driving head")
    if not candidate.config.drives:
        head, reason = candidate.config.head, "it has no 2-DoF driving head, so it cannot drive"
        return hold([*before, Check("drives", False, head, "a driving head", reason)])
    recordings = find_recordings(data, limit)
    provenance = Provenance.of(candidate)
    seen = _follow_both(candidate, current, recordings, provenance, progress)
    capsules = {Path(path).name: read_incident(path) for path in incidents}
    checks = [*before, _held_out(provenance, settings.unknown_training)]
    checks += _judge(seen, candidate, current, settings)
    # What puts out NaN or other axes is not driven any further.
    usable = all(check.ok for check in checks if check.name in ("axes", "finite_outputs"))
    missing = []
    if usable:
        seconds = _time_frames(candidate, seen.paths[0], clock)
        checks.append(gate_drive.check_latency(seconds, settings.latency))
        checks += [
            gate_drive.check_incident(name, incident, candidate)
            for name, incident in capsules.items()
        ]
    else:
        missing.append("latency and incidents: the outputs cannot be used")
    if drives is None:
        missing.append("closed loop in the field: left out")
    elif usable:
        checks.append(gate_drive.check_field(drives(candidate), drives(current)))
    if not capsules:
        missing.append("incident capsules: none was given")
    result = _decision(checks)
    result["not_measured"] = missing
    result["episodes"] = len(seen.hashes)
    result["frames"] = sum(len(trace.stamps) for trace in seen.current)
    result["skipped"] = recordings.skipped
    result["held_out"] = provenance.held_out()
    result["data"] = seen.hashes
    result["incidents"] = {Path(path).name: sha256_of(path) for path in incidents}
    return result


def _decision(checks: Sequence[Check]) -> dict[str, Any]:
    failed = [check for check in checks if not check.ok]
    return {
        "decision": "hold" if failed else "promote",
        "checks": [check.to_plain() for check in checks],
        "reasons": [f"{check.name}: {check.reason}" for check in failed],
    }


def hold(checks: Sequence[Check]) -> dict[str, Any]:
    """The decision where the candidate got no further than these checks."""
    return {**_decision(checks), "not_measured": ["everything that needs a policy that drives"]}


def _follow_both(
    candidate, current, recordings: Recordings, provenance: Provenance, progress: Progress
) -> _Seen:
    theirs = Provenance.of(current)
    seen = _Seen()
    for episode in recordings.walk(progress, "following both"):
        try:
            fingerprint = episode.sha256()
            for name, kept in (("candidate", provenance), ("current one", theirs)):
                if kept.seen(episode, fingerprint) is not None:
                    raise AnalysisError(f"the {name} was trained on it")
            # The current one first: an episode it cannot follow says nothing about the candidate.
            after = follow(current, episode)
            missing = [a for a in candidate.config.action_axes if a not in episode.action_axes]
            if missing:
                seen.without_axes.append(f"{episode.path.name} did not record {missing[0]}")
            else:
                seen.candidate.append(follow(candidate, episode))
                seen.current.append(after)
        except (InputError, OSError) as error:
            recordings.skip(episode.path, str(error))
            continue
        seen.hashes[episode.path.name] = fingerprint
        seen.paths.append(episode.path)
        seen.periods.append(episode.frame_period)
        seen.rigs.append(rig_of(episode.attributes, episode.camera))
    recordings.require(len(seen.hashes))
    return seen


def _held_out(provenance: Provenance, allowed: bool) -> Check:
    found = provenance.held_out()
    known = bool(found["known"])
    limit = "known, or --unknown-training"
    return Check("held_out", known or allowed, known, limit, str(found["note"]))


def _judge(seen: _Seen, candidate, current, settings: GateSettings) -> list[Check]:
    """Everything that the traces say."""
    config, seed = candidate.config, settings.seed
    checks = [
        gate_data.check_frame_period(config, seen.periods),
        gate_data.check_rig(candidate.provenance.rig, commonest(seen.rigs)),
    ]
    if seen.without_axes:
        limit = "axes that the data recorded"
        axes = list(config.action_axes)
        return [*checks, Check("axes", False, axes, limit, seen.without_axes[0])]
    bad = sum(int((~np.isfinite(trace.normalised)).any()) for trace in seen.candidate)
    if bad:
        reason = f"NaN or infinite velocities in {bad} of {len(seen.candidate)} episodes"
        return [*checks, Check("finite_outputs", False, bad, 0, reason)]
    shared = [axis for axis in current.config.action_axes if axis in config.action_axes]
    checks += [
        Check("finite_outputs", True, 0, 0, "every velocity is a number"),
        gate_data.check_axes(seen.candidate, config),
        gate_data.check_action_period(seen.candidate, config),
        gate_data.check_range(seen.candidate, config),
        gate_data.check_scale(seen.candidate, config),
        gate_error.check_threshold(seen.candidate, settings.threshold),
        gate_error.check_mean(seen.candidate, seed),
        gate_error.check_words(seen.candidate, seen.current, config.action_axes, seed),
    ]
    if not shared:
        limit = ", ".join(current.config.action_axes)
        reason = f"it has none of the current one's axes ({limit})"
        return [*checks, Check("against_current", False, list(config.action_axes), limit, reason)]
    ends = dict(zip(current.config.action_axes, _spans(current.config), strict=True))
    span = np.array([ends[axis] for axis in shared])
    return checks + gate_error.check_against(seen.candidate, seen.current, span, seed)


def _spans(config) -> list[float]:
    """Half of each axis's range, m/s or rad/s."""
    return [(high - low) / 2 for low, high in zip(config.norm_min, config.norm_max, strict=True)]


def _time_frames(policy, path: Path, clock: Callable[[], float]) -> list[float]:
    """Seconds that single frames take in the stream."""
    with open_episode(path) as episode:
        image, words = episode.image(0), episode.instruction
    stream = policy.stream(words)
    seconds = []
    for number in range(WARMING + TIMED):
        began = clock()
        stream.step(image, number * policy.config.frame_period)
        if number >= WARMING:
            seconds.append(clock() - began)
    return seconds


def candidate_files(path: Path) -> Mapping[str, str]:
    """SHA-256 of each file of a checkpoint by name: one, or all of a directory."""
    if path.is_file():
        return {path.name: sha256_of(path)}
    return {item.name: sha256_of(item) for item in sorted(path.iterdir()) if item.is_file()}
