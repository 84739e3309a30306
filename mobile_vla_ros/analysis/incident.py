"""What another checkpoint would have commanded in an incident."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mobile_vla_ros.analysis.incident_orders import order_behind, orders_of
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.window import FrameWindow
from mobile_vla_ros.episodes.incident import Incident, IncidentError
from mobile_vla_ros.planar import integrate
from mobile_vla_ros.sampling import STAMP_ROUNDING

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy

# Stamps pass through nanosecond integers and back.
_SAME_STAMP = 1e-6


@dataclass(frozen=True)
class IncidentReplay:
    """The recorded chunks beside those of another checkpoint, on the same frames.

    Attributes:
        axes: names of the velocity columns (those both have).
        stamps: float64 [N], capture times of the frames that both have a chunk for.
        recorded: float32 [N, dof], first step of the recorded chunks, m/s and rad/s.
        replayed: float32 [N, dof], first step of the other checkpoint's chunks.
        remembered: bool [N], whether the replay remembered all that the robot did. It does not
            where the robot's memory began before the capsule.
        begins: bool [N], whether the memory began anew with this frame or since the frame before
            it: no line leads from there to here.
        path_gap: float64 [N], metres between the ends of the two chunks if played to the end.
        frames: frames in the capsule.
    """

    axes: tuple[str, ...]
    stamps: np.ndarray
    recorded: np.ndarray
    replayed: np.ndarray
    remembered: np.ndarray
    begins: np.ndarray
    path_gap: np.ndarray
    frames: int

    @property
    def compared(self) -> np.ndarray:
        """bool [N], the frames that count: those with a whole memory (all, when none has)."""
        return self.remembered if self.remembered.any() else np.ones_like(self.remembered)

    def summary(self) -> dict[str, object]:
        """Differences per axis over the frames that count."""
        use = self.compared
        difference = np.abs(self.replayed - self.recorded)[use]
        return {
            "frames": self.frames,
            "compared": int(use.sum()),
            "full_window": bool(self.remembered.any()),
            "difference": {
                axis: {"mean": float(column.mean()), "max": float(column.max())}
                for axis, column in zip(self.axes, difference.T, strict=True)
            },
            "path_gap": {
                "mean": float(self.path_gap[use].mean()),
                "max": float(self.path_gap[use].max()),
            },
        }


def replay_incident(
    incident: Incident, policy: Policy, instruction: str | None = None
) -> IncidentReplay:
    """Streams the capsule's frames through a policy, as the robot's own has seen them.

    Those are the frames with a chunk, under the instructions of their time; the memory is emptied
    where the robot's was.

    Args:
        incident: the capsule.
        policy: the other checkpoint; it must be able to drive.
        instruction: in place of the recorded ones.

    Raises:
        IncidentError: no frames, no chunks, no instruction, or no axis in common.
        PolicyError: the policy cannot drive.
    """
    policy.require_driving()
    if not (instruction or _any_instruction(incident)):
        raise IncidentError("the incident has no instruction; give one with --instruction")
    if not incident.jpegs:
        raise IncidentError("the incident holds no frames to replay")
    if not len(incident.chunks):
        raise IncidentError("the incident holds no chunks to compare with")
    axes = tuple(axis for axis in incident.axes if axis in policy.config.action_axes)
    if not axes:
        raise IncidentError(
            f"the incident's axes ({', '.join(incident.axes)}) and the checkpoint's "
            f"({', '.join(policy.config.action_axes)}) have none in common"
        )
    ours = [policy.config.action_axes.index(axis) for axis in axes]
    theirs = [incident.axes.index(axis) for axis in axes]
    rows: list[tuple[float, np.ndarray, np.ndarray, bool, bool, float]] = []
    for index, chunk, remembered, begins in _Rerun(incident, policy, instruction).chunks():
        recorded = incident.chunks[index]
        gap = _end(recorded, incident.axes, incident.action_period) - _end(
            chunk.velocities, chunk.axes, chunk.action_period
        )
        rows.append(
            (
                chunk.stamp,
                recorded[0, theirs],
                chunk.velocities[0, ours],
                remembered,
                begins,
                float(np.hypot(*gap)),
            )
        )
    if not rows:
        raise IncidentError("no chunk of the incident belongs to one of its frames")
    stamps, recorded_rows, replayed_rows, whole, fresh, gaps = zip(*rows, strict=True)
    return IncidentReplay(
        axes=axes,
        stamps=np.array(stamps),
        recorded=np.array(recorded_rows, np.float32),
        replayed=np.array(replayed_rows, np.float32),
        remembered=np.array(whole),
        begins=np.array(fresh),
        path_gap=np.array(gaps),
        frames=len(incident.jpegs),
    )


class _Rerun:
    """The course of an incident once more, with another policy.

    Args:
        incident: the capsule.
        policy: the other checkpoint.
        instruction: in place of the recorded ones.
    """

    def __init__(self, incident: Incident, policy: Policy, instruction: str | None) -> None:
        self._incident = incident
        self._policy = policy
        self._instruction = instruction
        config = policy.config
        self._period = config.frame_period
        self._span = (config.window_size - 1) * self._period
        # Which frames the robot remembered, and whether the capsule holds each.
        self._memory: FrameWindow[bool] = FrameWindow(config.window_size, self._period)
        self._stream: Any = None
        # Where the memory is known from; `_whole`: it was empty there.
        self._since: float | None = None
        self._whole = False

    def chunks(self) -> Iterator[tuple[int, ActionChunk, bool, bool]]:
        """Row of each recorded chunk with a frame, the other chunk, whether both remember alike,
        and whether the memory began anew since the one before."""
        incident = self._incident
        orders = orders_of(incident)
        done, begins, told = -1, True, False
        for index in np.argsort(incident.chunk_stamps, kind="stable"):
            stamp = float(incident.chunk_stamps[index])
            match = np.flatnonzero(np.abs(incident.frame_stamps - stamp) < _SAME_STAMP)
            answered = float(incident.chunk_received[index])
            received = float(incident.frame_received[match[-1]]) if len(match) else answered
            order = max(order_behind(orders, received, answered), done)
            if order > done:
                passed = orders[done + 1 : order + 1]
                self._begin(orders[order].instruction, any(entry.empty for entry in passed))
                done, begins = order, True
                told = self._instruction is not None or orders[order].instruction is not None
            if self._note(stamp, bool(len(match))):
                begins = True
            if not len(match):
                continue
            picture = incident.image(int(match[-1]), self._policy.config.image_size)
            chunk = self._stream.step(picture, stamp)
            yield int(index), chunk, told and self._alike(stamp, chunk), begins
            begins = False

    def _begin(self, instruction: str | None, empty: bool) -> None:
        words = self._instruction or instruction or _any_instruction(self._incident)
        if self._stream is None or words != self._stream.instruction:
            self._stream = self._policy.stream(words)
        else:
            self._stream.reset()
        self._memory.clear()
        self._since, self._whole = None, empty

    def _note(self, stamp: float, there: bool) -> bool:
        """One more frame that the robot remembered; whether it forgot the others first."""
        before = self._memory.newest
        self._memory.add(stamp, there)
        gap = 0.0 if before is None else stamp - before
        forgot = not 0 <= gap <= self._memory.max_gap + STAMP_ROUNDING
        if forgot:
            # After a gap that long there is nothing from before it.
            self._whole = True
        if self._since is None or forgot:
            self._since = stamp
        return forgot

    def _alike(self, stamp: float, chunk: ActionChunk) -> bool:
        picked = self._memory.select()
        alike = len(picked) == chunk.frames and all(there for _, there in picked)
        assert self._since is not None
        return alike and (self._whole or self._since <= stamp - self._span + STAMP_ROUNDING)


def _any_instruction(incident: Incident) -> str:
    """The trial's instruction, or the first that anything in the capsule tells."""
    told = [str(incident.attributes.get("instruction") or "")]
    told += [order.instruction or "" for order in orders_of(incident)]
    return next((words for words in told if words.strip()), "")


def _end(velocities: np.ndarray, axes: Sequence[str], period: float) -> np.ndarray:
    return integrate(velocities, tuple(axes), period)[-1, :2]
