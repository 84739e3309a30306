"""The chunk schedule: which velocity is planned for this very moment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.control.chunk import ActionChunk


class ChunkSchedule:
    """Plays chunks by capture time: step k at ``capture + k * action_period``, held until k+1.

    Because a chunk is sampled at the time that has passed since its frame was *captured*, the
    model's latency is skipped, not played late. A new chunk is faded in over ``blend_time`` while
    the one before still has a valid step for the moment.

    A chunk is valid while its capture age is below ``min(horizon, chunk_timeout)``, and never for
    longer than that after it came, on the steady clock: if the clock that measures capture age
    stands still, a chunk ends all the same.
    """

    def __init__(
        self, chunk_timeout: float, future_tolerance: float = 0.02, blend_time: float = 0.1
    ) -> None:
        """Starts empty.

        Args:
            chunk_timeout: longest capture age that may still drive, seconds.
            future_tolerance: how far a capture may lie ahead of the clock, seconds.
            blend_time: seconds of fading between two chunks; 0 switches at once.
        """
        self.chunk_timeout = chunk_timeout
        self.future_tolerance = future_tolerance
        self.blend_time = blend_time
        self._chunk: ActionChunk | None = None
        self._since = 0.0
        self._previous: ActionChunk | None = None
        self._previous_since = 0.0
        self._before: ActionChunk | None = None

    @property
    def chunk(self) -> ActionChunk | None:
        """The newest chunk, valid or not."""
        return self._chunk

    @property
    def disagreement(self) -> float:
        """How much the newest chunk differs from the one before; 0 without one before."""
        if self._chunk is None or self._before is None:
            return 0.0
        return disagreement(self._before, self._chunk)

    def validity(self, chunk: ActionChunk) -> float:
        """Capture age, in seconds, at which a chunk stops being valid."""
        return min(chunk.horizon, self.chunk_timeout)

    def add(self, chunk: ActionChunk, now: float) -> None:
        """Makes ``chunk`` the one to play.

        Args:
            chunk: one without a ``problem`` and newer than the one before.
            now: steady clock, seconds.
        """
        self._before = self._chunk
        self._previous, self._previous_since = self._chunk, self._since
        self._chunk, self._since = chunk, now

    def clear(self) -> None:
        """Forgets both chunks; what comes next is not blended with them."""
        self._chunk = self._previous = self._before = None

    def remaining(self, now: float, clock: float) -> float:
        """Seconds for which the newest chunk stays valid; 0 when it is not or there is none."""
        if self._chunk is None or not self._valid(self._chunk, self._since, now, clock):
            return 0.0
        return self.validity(self._chunk) - max(clock - self._chunk.stamp, now - self._since)

    def sample(self, now: float, clock: float) -> list[float] | None:
        """The planned velocity, blended.

        Args:
            now: steady clock, seconds.
            clock: the clock of the capture stamps, seconds.

        Returns:
            [dof], m/s and rad/s; None when no chunk is valid.
        """
        chunk = self._chunk
        if chunk is None or not self._valid(chunk, self._since, now, clock):
            return None
        new: list[float] = chunk.at(clock - chunk.stamp).tolist()
        old = self._previous
        if old is None:
            return new
        faded = now - self._since
        if faded >= self.blend_time or not self._valid(old, self._previous_since, now, clock):
            self._previous = None
            return new
        share = max(faded, 0.0) / self.blend_time
        before: list[float] = old.at(clock - old.stamp).tolist()
        return [share * b + (1 - share) * a for a, b in zip(before, new, strict=True)]

    def _valid(self, chunk: ActionChunk, since: float, now: float, clock: float) -> bool:
        limit = self.validity(chunk)
        age = clock - chunk.stamp
        return -self.future_tolerance <= age < limit and now - since < limit


def disagreement(before: ActionChunk, after: ActionChunk, weights: Sequence[float] = ()) -> float:
    """How much two consecutive chunks differ where both plan the same moment.

    Args:
        before: the older chunk.
        after: the newer chunk, on the same axes.
        weights: [dof] factor per axis that makes m/s and rad/s comparable; none means 1.

    Returns:
        Root mean square difference over the steps of ``after`` that begin within ``before``;
        0 when they do not overlap.
    """
    shift = after.stamp - before.stamp
    steps = np.arange(len(after.velocities)) * after.action_period + shift
    index = np.floor(steps / before.action_period + 1e-6).astype(int)
    both = (index >= 0) & (index < len(before.velocities))
    if not both.any() or before.velocities.shape[1] != after.velocities.shape[1]:
        return 0.0
    difference = after.velocities[both] - before.velocities[index[both]]
    if len(weights):
        difference = difference * np.asarray(weights)
    return float(np.sqrt(np.mean(np.square(difference, dtype=np.float64))))
