"""What one trial leaves behind: a record that becomes one line of the log."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mobile_vla_ros.errors import InputError

OUTCOMES = ("success", "failure", "abort", "interrupted")
LOST_TIME = ("camera", "inference", "limiter", "operator", "policy")


class TrialError(InputError):
    """A trial plan, log or request that cannot be used."""


@dataclass(frozen=True)
class TrialRecord:
    """One finished trial.

    Attributes:
        trial: unique name of the trial.
        scenario: the lab's scenario name, e.g. ``1box_left_close``.
        instruction: what the policy was told.
        checkpoint: the checkpoint's name (under a blind plan its code, until the key is read).
        outcome: ``success``, ``failure``, ``abort`` (does not count) or ``interrupted`` (the
            program ended in mid-trial; does not count).
        cause: why it ended so, e.g. ``touched the box``, ``time-out``, ``arrived``.
        started, ended: wall-clock time, seconds since 1970.
        driving_time: seconds from the first non-zero command to the end.
        path: rows (t, x, y, yaw): seconds since the start, metres and radians in the frame in
            which the trial started.
        path_length: metres.
        path_source: ``odometry``, ``commands`` (integrated, so wheel slip is not seen) or
            ``none``.
        stops: ``{"reason": ..., "start": s, "duration": s}`` for each stop that was not asked for.
        interventions: how often a person took over.
        latency: ``p50``, ``p90``, ``p99``, ``max`` of frame to chunk, seconds.
        speed_clamps: how many commands the limiter cut.
        lost_time: seconds without motion, by who caused them (see ``LOST_TIME``).
        pair: name shared by the matched trials of one start, or None.
        number: position in the plan, from 1, or None.
        checkpoint_sha256: hash of the model file.
        files: further file name -> SHA-256 (run file, episode).
        episode: file name of the recorded episode, or None.
        shadow: True when a person drove and the policy only watched.
        agreement: in shadow mode, shares of frames in which policy and person agreed.
        note: what the operator wrote.
    """

    trial: str
    scenario: str
    instruction: str
    checkpoint: str
    outcome: str
    cause: str = ""
    started: float = 0.0
    ended: float = 0.0
    driving_time: float = 0.0
    path: tuple[tuple[float, float, float, float], ...] = ()
    path_length: float = 0.0
    path_source: str = "none"
    stops: tuple[Mapping[str, Any], ...] = ()
    interventions: int = 0
    latency: Mapping[str, float] = field(default_factory=dict)
    speed_clamps: int = 0
    lost_time: Mapping[str, float] = field(default_factory=dict)
    pair: str | None = None
    number: int | None = None
    checkpoint_sha256: str = ""
    files: Mapping[str, str] = field(default_factory=dict)
    episode: str | None = None
    shadow: bool = False
    agreement: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    def __post_init__(self) -> None:
        if self.outcome not in OUTCOMES:
            raise TrialError(f"outcome {self.outcome!r} is not one of {', '.join(OUTCOMES)}")

    @property
    def counts(self) -> bool:
        """Whether the trial says something about the policy (aborted ones do not)."""
        return self.outcome in ("success", "failure") and not self.shadow

    @property
    def success(self) -> bool:
        return self.outcome == "success"


_FIELDS = {item.name for item in dataclasses.fields(TrialRecord)}


def record_to_json(record: TrialRecord) -> dict[str, Any]:
    """The record as plain JSON values; numbers that are not finite become None."""
    return _plain(dataclasses.asdict(record))


def record_from_json(values: Mapping[str, Any]) -> TrialRecord:
    """A record from a line of the log; keys of later versions are left aside.

    Raises:
        TrialError: a required field is missing, holds another kind of value, or the outcome is
            unknown.
    """
    known = {key: value for key, value in values.items() if key in _FIELDS and value is not None}
    missing = [
        name
        for name in ("trial", "scenario", "instruction", "checkpoint", "outcome")
        if name not in known
    ]
    if missing:
        raise TrialError(f"a trial lacks {', '.join(missing)}")
    for name, value in known.items():
        said = _misfit(name, value)
        if said:
            raise TrialError(f"{name} must be {said}, not {json.dumps(value)[:40]}")
    known["path"] = tuple(tuple(float(v) for v in row) for row in known.get("path", ()))
    known["stops"] = tuple(known.get("stops", ()))
    return TrialRecord(**known)


def thin_path(
    path: list[tuple[float, float, float, float]], spacing: float = 0.05, most: int = 400
) -> tuple[tuple[float, float, float, float], ...]:
    """Keeps the rows of a path (t, x, y, yaw) that are ``spacing`` metres or more apart.

    The first and last row always stay; at most ``most`` rows come back.
    """
    if not path:
        return ()
    kept = [path[0]]
    for row in path[1:-1]:
        if math.hypot(row[1] - kept[-1][1], row[2] - kept[-1][2]) >= spacing:
            kept.append(row)
    if len(path) > 1:
        kept.append(path[-1])
    if len(kept) > most:
        step = (len(kept) - 1) / (most - 1)
        kept = [kept[round(index * step)] for index in range(most)]
    return tuple(tuple(round(float(value), 4) for value in row) for row in kept)  # type: ignore[misc]


def _misfit(name: str, value: Any) -> str:
    """What the field holds, if ``value`` is not that; else empty."""
    if name == "path":
        rows = isinstance(value, list) and all(
            isinstance(row, list) and len(row) == 4 and all(map(_is_number, row)) for row in value
        )
        return "" if rows else "rows of four numbers (t, x, y, yaw)"
    if name == "stops":
        entries = isinstance(value, list) and all(isinstance(item, Mapping) for item in value)
        return "" if entries else "a list of objects"
    kind = str(TrialRecord.__annotations__[name])
    if kind.startswith("Mapping"):
        if not isinstance(value, Mapping):
            return "an object"
        numbers = "float" not in kind or all(
            item is None or _is_number(item) for item in value.values()
        )
        return "" if numbers else "an object of numbers"
    if kind.startswith("bool"):
        return "" if isinstance(value, bool) else "true or false"
    if kind.startswith(("float", "int")):
        return "" if _is_number(value) else "a number"
    return "" if isinstance(value, str) else "text"


def _is_number(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return abs(value) < 1e15  # also false for NaN: no time, path or count is near that


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
