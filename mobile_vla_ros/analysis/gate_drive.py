"""Will a policy drive: fast enough here, in the field, and where a person had to take over?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.analysis.gate_check import Check
from mobile_vla_ros.analysis.incident import replay_incident
from mobile_vla_ros.episodes.incident import Incident, IncidentError
from mobile_vla_ros.stats.paired import mcnemar_exact

# Of the drives in the field, how many of the current one's successes may be missing.
FIELD_SHARE = 0.25
# Seconds before a takeover in which the policy was wrong, and after it in which a person showed
# what is right.
BEFORE, AFTER = 2.0, 3.0
# Below these a robot stands, or goes straight on: m/s, rad/s.
STANDING = 0.05
STRAIGHT = 0.1


def check_latency(seconds: Sequence[float], budget: float) -> Check:
    """Whether one frame takes no longer than its budget, on this machine.

    Args:
        seconds: of single frames, the first ones left out.
        budget: s.
    """
    middle, worst = float(np.median(seconds)), float(max(seconds))
    return Check(
        "latency",
        middle <= budget,
        middle,
        budget,
        f"{middle * 1000:.0f} ms a frame (median of {len(seconds)}), at worst "
        f"{worst * 1000:.0f} ms",
    )


def check_field(candidate: Sequence[bool], current: Sequence[bool]) -> Check:
    """Whether the candidate gets there about as often as the current one in the same fields."""
    ours, theirs = sum(candidate), sum(current)
    pairs = list(zip(candidate, current, strict=True))
    lost, won = pairs.count((False, True)), pairs.count((True, False))
    p = mcnemar_exact(won, lost)
    least = theirs - int(FIELD_SHARE * len(pairs))
    ok = ours >= least and not (lost > won and p < 0.05)
    value = {"successes": ours, "current": theirs, "drives": len(pairs), "p": p}
    reason = f"{ours} of {len(pairs)} drives reached the bottle, the current one {theirs}"
    return Check("closed_loop", ok, value, {"successes": least, "p": 0.05}, reason)


def check_incident(name: str, incident: Incident, policy) -> Check:
    """Whether the policy would do again what a person had to end.

    Only a takeover says that the policy was wrong, so any other capsule is reported and passes.

    Args:
        name: of the capsule's file.
        incident: the capsule.
        policy: the candidate.

    Raises:
        IncidentError: it holds no frames, no chunks or no instruction, or none of the axes.
    """
    replay = replay_incident(incident, policy)
    limit = "stops, or turns as the person did"
    recent = (replay.stamps <= incident.time) & (replay.stamps > incident.time - BEFORE)
    if not recent.any():
        raise IncidentError(f"{name} holds no chunk of the {BEFORE:g} s before its trigger")
    then = _mean(replay.recorded[recent], replay.axes)
    now = _mean(replay.replayed[recent], replay.axes)
    found = "does the same"
    if all(abs(value) < STANDING for value in now.values()):
        found = "stops"
    elif _turns_otherwise(then["angular.z"], now["angular.z"], _person(incident)):
        found = "turns the other way"
    takeover = "take" in incident.reason
    ok = not takeover or found != "does the same"
    value = {"now": found, "recorded": then, "replayed": now, "reason": incident.reason}
    return Check(f"incident {name}", ok, value, limit, f"{incident.reason}: it {found}")


def _turns_otherwise(then: float, now: float, person: float | None) -> bool:
    """Whether it turns to where the person turned; without that, against its earlier turn."""
    if person is not None and abs(person - then) > STRAIGHT:
        return (now - then) * np.sign(person - then) > STRAIGHT
    return now * then < 0 and abs(now) > STRAIGHT


def _mean(rows: np.ndarray, axes: Sequence[str]) -> dict[str, float]:
    named = dict(zip(axes, rows.mean(axis=0), strict=True))
    return {axis: float(named.get(axis, 0.0)) for axis in ("linear.x", "linear.y", "angular.z")}


def _person(incident: Incident) -> float | None:
    """How the person turned after the takeover, rad/s; None where nothing was driven."""
    time = incident.commands[:, 0]
    rows = (time > incident.time) & (time <= incident.time + AFTER)
    turned = incident.commands[rows, 3]
    moving = np.abs(incident.commands[rows, 1:]).max(axis=1, initial=0.0) > STANDING
    return float(turned[moving].mean()) if moving.any() else None
