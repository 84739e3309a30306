"""Takeovers as training data: what a person drove counts more, what led there is not imitated."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import EpisodeWriter, open_episode
from mobile_vla_ros.episodes.incident import Incident, is_incident, read_incident
from mobile_vla_ros.episodes.trimmed import superseded
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import sha256_of
from mobile_vla_ros.sampling import command_rows
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.samples import EpisodeSamples

# After a takeover the base stands until a person moves it, and again until it is released; more
# than this of standing still, s, is waiting and no correction.
WAITING = 1.0
# What the guard says when the policy drives again, as the capsule's events hold it.
RELEASED = "guard: policy"


@dataclass(frozen=True)
class Judged:
    """The rows of one episode with a takeover.

    Attributes:
        person: bool [T], a person drove.
        imitated: bool [T], the command may be learned.
    """

    person: np.ndarray
    imitated: np.ndarray


def judge_rows(
    stamps: np.ndarray, taken: np.ndarray, velocities: np.ndarray, before: float
) -> Judged:
    """Which rows a person drove, and which are not to be learned.

    Args:
        stamps: float64 [T], rising, s.
        taken: bool [T], a person had taken over.
        velocities: float32 [T, dof], the command of each row.
        before: s before each takeover that are not imitated.
    """
    imitated = np.ones(len(stamps), dtype=bool)
    begins = np.flatnonzero(taken & ~np.concatenate([[False], taken[:-1]]))
    for begin in stamps[begins]:
        imitated &= taken | (stamps < begin - before) | (stamps >= begin)
    still = taken & ~velocities.any(axis=1)
    since = 0.0
    for row in range(len(stamps)):
        if not still[row]:
            continue
        if row == 0 or not still[row - 1]:
            since = stamps[row]
        if stamps[row] - since > WAITING:
            imitated[row] = False
    return Judged(person=taken & imitated, imitated=imitated)


def weighed(
    samples: EpisodeSamples,
    stamps: np.ndarray,
    judged: Judged,
    *,
    weight: float,
    action_period: float,
) -> EpisodeSamples:
    """The samples with a weight for each frame, and without the labels that are not imitated.

    Args:
        samples: of the episode.
        stamps: float64 [T], of all its rows.
        judged: its rows.
        weight: of the frames a person drove; the others keep 1.
        action_period: s between a chunk's commands.
    """
    steps = samples.mask.shape[1]
    rows = command_rows(stamps, stamps[samples.rows], action_period, steps)
    mask = samples.mask & judged.imitated[np.maximum(rows, 0)]
    weights = np.where(judged.person[samples.rows], weight, 1.0).astype(np.float32)
    return replace(samples, mask=mask, weights=weights)


def collect_corrections(folder: str | Path, cache: Path) -> tuple[list[Path], list[str]]:
    """The episodes of a folder in which a person took over; capsules are written out as episodes.

    Args:
        folder: of trial episodes and incident capsules.
        cache: where capsules become episodes, each once.

    Returns:
        The episodes, and a sentence for each file that teaches nothing.

    Raises:
        RunError: there is no such folder, or nobody took over in any of its files.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder of corrections; give trial episodes or capsules.")
    found: list[Path] = []
    paths = sorted(folder.glob("*.h5"))
    twice = superseded(paths)
    left_out = [f"{path.name}: {copy.name} is trimmed from it" for path, copy in twice.items()]
    for path in paths:
        if path in twice:
            continue
        try:
            if is_incident(path):
                found.append(_written_out(path, cache))
                continue
            with open_episode(path) as episode:
                taken = episode.taken_over is not None and bool(episode.taken_over.any())
            if taken:
                found.append(path)
            else:
                left_out.append(f"{path.name}: nobody took over in it")
        except InputError as error:
            left_out.append(str(error))
    if not found:
        why = f"; the first: {left_out[0]}" if left_out else ""
        raise RunError(
            f"there are no corrections in {folder}: no episode or capsule (*.h5) in which a "
            f"person took over{why}"
        )
    return found, left_out


def _written_out(path: Path, cache: Path) -> Path:
    """The capsule as an episode, its frames as they came."""
    target = cache / f"{path.stem}_{sha256_of(path)[:12]}.h5"
    if target.exists():
        return target
    incident = read_incident(path)
    if incident.reason != "takeover":
        raise RunError(f"{path.name}: nobody took over in it ({incident.reason})")
    if not incident.jpegs or not len(incident.commands):
        raise RunError(f"{path.name} holds no frames or no commands, so it teaches nothing")
    words = str(incident.attributes.get("instruction") or "")
    if not words:
        raise RunError(f"{path.name} does not say what the robot was told, so it teaches nothing")
    cache.mkdir(parents=True, exist_ok=True)
    target.with_name(target.name + ".part").unlink(missing_ok=True)
    carried = {key: incident.attributes[key] for key in ("rig",) if key in incident.attributes}
    with EpisodeWriter(
        target,
        scenario=str(incident.attributes.get("scenario") or "incident"),
        instruction=words,
        action_axes=PLANAR_AXES,
        image_format="jpeg",
        takeovers=True,
        attributes={**carried, "incident": path.name},
        flush=False,
    ) as writer:
        _append_frames(writer, incident)
        return writer.finish(outcome="takeover")


def _append_frames(writer: EpisodeWriter, incident: Incident) -> None:
    released = [t for t, text in incident.events if text == RELEASED and t > incident.time]
    until = min(released, default=np.inf)
    order = np.argsort(incident.commands[:, 0], kind="stable")
    commands = incident.commands[order]
    last = -np.inf
    for index in np.argsort(incident.frame_stamps, kind="stable"):
        stamp = float(incident.frame_stamps[index])
        row = int(np.searchsorted(commands[:, 0], stamp, side="right")) - 1
        # Before the first command nothing is known to have been in force.
        if stamp <= last or row < 0:
            continue
        last = stamp
        writer.append(
            jpeg=incident.jpegs[index],
            action=commands[row, 1:],
            image_stamp=stamp,
            received_stamp=float(incident.frame_received[index]),
            action_stamp=float(commands[row, 0]),
            taken_over=incident.time <= stamp < until,
        )
