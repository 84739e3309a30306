"""What another checkpoint would have commanded in an incident."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mobile_vla_ros.episodes.incident import Incident, IncidentError
from mobile_vla_ros.planar import integrate

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
        full_window: bool [N], whether the replay had as many frames as it wants; before that its
            memory began later than the robot's did.
        path_gap: float64 [N], metres between the ends of the two chunks if played to the end.
        frames: frames in the capsule.
    """

    axes: tuple[str, ...]
    stamps: np.ndarray
    recorded: np.ndarray
    replayed: np.ndarray
    full_window: np.ndarray
    path_gap: np.ndarray
    frames: int

    def summary(self) -> dict[str, object]:
        """Differences per axis over the frames with a full window (all, when none is full)."""
        use = self.full_window if self.full_window.any() else np.ones_like(self.full_window)
        difference = np.abs(self.replayed - self.recorded)[use]
        return {
            "frames": self.frames,
            "compared": int(use.sum()),
            "full_window": bool(self.full_window.any()),
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
    """Streams the capsule's frames through a policy, as the robot would have seen them.

    Args:
        incident: the capsule.
        policy: the other checkpoint; it must be able to drive.
        instruction: in place of the recorded one.

    Raises:
        IncidentError: no frames, no chunks, no instruction, or no axis in common.
        PolicyError: the policy cannot drive.
    """
    policy.require_driving()
    words = instruction or str(incident.attributes.get("instruction") or "")
    if not words:
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
    stream = policy.stream(words)
    ours = [policy.config.action_axes.index(axis) for axis in axes]
    theirs = [incident.axes.index(axis) for axis in axes]
    rows: list[tuple[float, np.ndarray, np.ndarray, bool, float]] = []
    for index in np.argsort(incident.frame_stamps, kind="stable"):
        stamp = float(incident.frame_stamps[index])
        chunk = stream.step(incident.image(int(index)), stamp)
        match = np.flatnonzero(np.abs(incident.chunk_stamps - stamp) < _SAME_STAMP)
        if not len(match):
            continue
        recorded = incident.chunks[match[-1]]
        gap = _end(recorded, incident.axes, incident.action_period) - _end(
            chunk.velocities, chunk.axes, chunk.action_period
        )
        rows.append(
            (
                stamp,
                recorded[0, theirs],
                chunk.velocities[0, ours],
                chunk.frames == policy.config.window_size,
                float(np.hypot(*gap)),
            )
        )
    if not rows:
        raise IncidentError("no chunk of the incident belongs to one of its frames")
    stamps, recorded_rows, replayed_rows, full, gaps = zip(*rows, strict=True)
    return IncidentReplay(
        axes=axes,
        stamps=np.array(stamps),
        recorded=np.array(recorded_rows, np.float32),
        replayed=np.array(replayed_rows, np.float32),
        full_window=np.array(full),
        path_gap=np.array(gaps),
        frames=len(incident.jpegs),
    )


def _end(velocities: np.ndarray, axes: Sequence[str], period: float) -> np.ndarray:
    return integrate(velocities, tuple(axes), period)[-1, :2]
