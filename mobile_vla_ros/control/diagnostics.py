"""What the robot's diagnostics tell: each number now, and at its worst since it was last read."""

from __future__ import annotations

import math
from collections import deque
from itertools import pairwise

from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.stats.percentiles import percentiles


class Gauge:
    """A number that is bad when it is high."""

    def __init__(self) -> None:
        """Starts without a value."""
        self.now = math.nan
        self.worst = math.nan

    def set(self, value: float) -> None:
        """Notes the present value; NaN means there is none and is never the worst."""
        self.now = value
        if not value <= self.worst and not math.isnan(value):
            self.worst = value

    def read(self) -> tuple[float, float]:
        """(now, worst since the last read); the worst starts again from now."""
        answer = (self.now, self.worst)
        self.worst = self.now
        return answer


class Counter:
    """Something that happens."""

    def __init__(self) -> None:
        """Starts at zero."""
        self.total = 0
        self._read = 0

    def add(self, count: int = 1) -> None:
        """It has happened ``count`` times."""
        self.total += count

    def read(self) -> tuple[int, int]:
        """(in all, since the last read)."""
        answer = (self.total, self.total - self._read)
        self._read = self.total
        return answer


class LostFrames:
    """Counts frames that never came, from the holes in the capture stamps, as soon as it can."""

    def __init__(self, memory: int = 15) -> None:
        """Starts without a spacing; it is known after three frames."""
        self.counter = Counter()
        self._camera = CameraClock(memory, habit=2)

    def add(self, stamp: float) -> int:
        """Notes a frame's capture stamp (seconds); returns how many were lost before it."""
        lost = self._camera.add(stamp) + self._camera.close_gap()
        self.counter.add(lost)
        return lost


def blind_distance(command_age: float, remaining: float, speed: float) -> float:
    """Metres the base travels on one frame before a newer one can change its mind.

    Args:
        command_age: seconds since that frame's capture: the frame's own age and the model's time.
        remaining: seconds for which its chunk may still drive.
        speed: m/s.

    Returns:
        Metres; 0 when nothing drives (``command_age`` is NaN).
    """
    if math.isnan(command_age):
        return 0.0
    return (max(command_age, 0.0) + max(remaining, 0.0)) * abs(speed)


class DriveDiagnostics:
    """The numbers of a driving node, gathered as they come and read once a second.

    Attributes:
        frame_age: capture age of a frame when it came, seconds.
        command_age: capture age of the frame behind the command, seconds.
        encoder: the model's time per frame, seconds.
        window_spacing: largest distance of two neighbouring window frames from the trained
            spacing, seconds.
        disagreement: how much consecutive chunks differ where they overlap.
        blind_distance: metres driven on one frame.
        feature_distance: of the last seconds' frames from those of training, in its spreads.
        clamps: ticks on which a speed limit was met.
        lost_frames: frames that never came.
    """

    def __init__(self, frame_period: float, memory: int = 600) -> None:
        """Starts empty; ``frame_period`` is the spacing the policy was trained with, seconds."""
        self.frame_period = frame_period
        self.frame_age = Gauge()
        self.command_age = Gauge()
        self.encoder = Gauge()
        self.window_spacing = Gauge()
        self.disagreement = Gauge()
        self.blind_distance = Gauge()
        self.feature_distance = Gauge()
        self.clamps = Counter()
        self.lost_frames = LostFrames()
        self._encoder_times: deque[float] = deque(maxlen=memory)

    def frame(self, stamp: float, age: float) -> None:
        """A frame has come: capture stamp and age on arrival, seconds."""
        self.frame_age.set(age)
        self.lost_frames.add(stamp)

    def chunk(
        self,
        window_stamps: tuple[float, ...],
        encoder_time: float,
        differ: float,
        unfamiliar: float = math.nan,
    ) -> None:
        """A chunk has come: stamps of its window, the model's time (s), its disagreement.

        ``unfamiliar`` is the last seconds' distance from training, NaN when unknown.
        """
        self.feature_distance.set(unfamiliar)
        self.encoder.set(encoder_time)
        self._encoder_times.append(encoder_time)
        self.disagreement.set(differ)
        steps = [b - a for a, b in pairwise(window_stamps)]
        self.window_spacing.set(max((abs(s - self.frame_period) for s in steps), default=0.0))

    def command(self, age: float, remaining: float, speed: float, clamped: bool) -> None:
        """A command has gone out: see ``Command`` and ``blind_distance``."""
        self.command_age.set(age)
        self.blind_distance.set(blind_distance(age, remaining, speed))
        if clamped:
            self.clamps.add()

    def encoder_percentiles(self) -> tuple[float, float]:
        """(p50, p99) of the model's time per frame, seconds; NaN before the first."""
        found = percentiles(self._encoder_times, (50, 99), occurred=True)
        return found["p50"], found["p99"]

    def read(self) -> dict[str, tuple[float, float]]:
        """Name -> (now, worst since the last read); for counts (in all, since the last read)."""
        return {
            "frame_age": self.frame_age.read(),
            "command_age": self.command_age.read(),
            "encoder": self.encoder.read(),
            "window_spacing": self.window_spacing.read(),
            "disagreement": self.disagreement.read(),
            "blind_distance": self.blind_distance.read(),
            "feature_distance": self.feature_distance.read(),
            "clamps": self.clamps.read(),
            "lost_frames": self.lost_frames.counter.read(),
        }
