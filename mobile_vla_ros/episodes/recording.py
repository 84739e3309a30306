"""Which frame becomes a row, with which command: recording without ROS, disk or a clock.

Frames, commands and odometry come in with their times; rows go out to a sink that is handed in
(a writer process in the recorder, a list in a test). All times are seconds of one clock, the one
that the frames are stamped with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES, PLANAR_AXES
from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.episodes.held_values import HeldValues
from mobile_vla_ros.episodes.recorded_row import Counts, Label, Row, RowSink
from mobile_vla_ros.episodes.stamp_clocks import FUTURE_STAMP
from mobile_vla_ros.episodes.take import RatePicker, Take
from mobile_vla_ros.errors import InputError

MODES = ("rate", "frame", "key_press")

IDLE = "idle"
RECORDING = "recording"
SAVING = "saving"

# In key-press mode a press takes the newest frame, unless that one is older than this.
PRESS_FRAME_AGE = 0.5
# A camera that has sent nothing for so long, and for three of its own intervals, is silent, s.
CAMERA_SILENCE = 0.8


class RecordingError(InputError):
    """A request that does not fit what is being recorded; the sentence says what to do instead."""


@dataclass(frozen=True)
class RecordingSettings:
    """How rows are chosen.

    Attributes:
        mode: ``rate`` (frames nearest to a fixed rate), ``frame`` (every camera frame) or
            ``key_press`` (one row per press of a driving key).
        rate: rows per second in mode ``rate``, Hz.
        episode_length: rows after which the episode is saved by itself; 0 = until saved.
        action_axes: the velocities that a row carries, in column order.
    """

    mode: str = "rate"
    rate: float = 10.0
    episode_length: int = 0
    action_axes: tuple[str, ...] = PLANAR_AXES

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise RecordingError(f"mode must be one of {', '.join(MODES)}, not {self.mode!r}")
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise RecordingError(f"rate must be a positive number of rows/s, not {self.rate}")
        if self.episode_length < 0:
            raise RecordingError("episode_length must be 0 (until saved) or a number of rows")
        unknown = [axis for axis in self.action_axes if axis not in AXES]
        if unknown or not self.action_axes:
            raise RecordingError(f"action_axes must name some of {', '.join(AXES)}, not {unknown}")


class Recording:
    """The state of the recorder: idle, recording one episode, or waiting for it to be saved."""

    def __init__(self, settings: RecordingSettings, sink: RowSink) -> None:
        self.settings = settings
        self.state = IDLE
        self.episode = 0
        self.label = Label("", "")
        self.sink = sink
        self._commands = HeldValues()
        self._odometry = HeldValues()
        self._takeovers = HeldValues()
        self._camera = CameraClock()
        self._axes = [AXES.index(axis) for axis in settings.action_axes]
        self._newest: tuple[float, float, Any] | None = None
        self._take = Take(RatePicker(settings.rate))

    @property
    def counts(self) -> Counts:
        """Of the episode in progress, or of the last one."""
        return self._take.counts

    @property
    def accepted(self) -> int:
        """Rows handed to the sink in this episode."""
        return self._take.accepted

    @property
    def camera_interval(self) -> float:
        """Usual time between camera frames, s; 0 before two frames have come."""
        return self._camera.interval

    # Requests

    def start(self, label: Label, now: float) -> int:
        """Begins an episode; frames captured before ``now`` never become part of it.

        Returns:
            The number of the episode.

        Raises:
            RecordingError: an episode is in progress.
        """
        if self.state != IDLE:
            raise RecordingError(f"an episode is {self.state} already: save or discard it first")
        self._take = Take(RatePicker(self.settings.rate), started=now, heard=now)
        self._camera.close_gap()  # it was before this episode
        self.episode += 1
        self.label = label
        self.state = RECORDING
        self.sink.begin(self.episode, label)
        return self.episode

    def save(self, complete: bool = True, outcome: str = "") -> int:
        """Ends the episode; ``ended`` is expected when the sink has it safe.

        One whose camera has been silent is not complete.
        """
        if self.state != RECORDING:
            raise RecordingError("no episode is being recorded: start one first")
        self.state = SAVING
        self._newest = None
        self._take.lost_in_gaps += self._camera.close_gap()
        complete = complete and not self._take.silences
        self.sink.finish(self.episode, self.counts, complete, outcome)
        return self.episode

    def discard(self) -> int:
        """Drops the episode in progress; ``ended`` is expected when the sink has removed it."""
        if self.state != RECORDING:
            raise RecordingError("no episode is being recorded: there is nothing to discard")
        self.state = SAVING
        self._newest = None
        self.sink.discard(self.episode)
        return self.episode

    def watch(self, now: float) -> str:
        """News of the camera in mid-episode, to be asked for several times a second.

        Args:
            now: on the clock of the frames' arrival, s.

        Returns:
            A sentence when it has fallen silent and when it is back; else ''.
        """
        take = self._take
        if self.state != RECORDING:
            return ""
        passed = now - take.heard
        silent = passed > max(CAMERA_SILENCE, 3 * self.camera_interval)
        if silent and not take.suspected:
            # After a stall of our own its frames wait to be read: the next look tells.
            take.suspected = True
            return ""
        take.suspected = silent
        before, take.silent = take.silent, silent
        if silent and not before:
            take.silences += 1
            return (
                f"the camera has sent nothing for {passed:.1f} s in mid-episode: the episode will"
                " not be complete; discard it, or save what there is"
            )
        if before and not silent:
            return "the camera is back; the episode has a gap, and will not be complete"
        return ""

    # What the sink reports

    def written(self, episode: int, rows: int) -> None:
        """``rows`` of the episode are safe."""
        if episode == self.episode:
            self._take.written = rows

    def ended(self, episode: int) -> None:
        """The sink has finished, removed or given up the episode."""
        if episode == self.episode:
            self.state = IDLE

    # What comes from the robot

    def shift(self, by: float) -> None:
        """Between episodes: what is known now counts as so many seconds later."""
        if by:
            self._camera.shift(by)
            for held in (self._commands, self._odometry, self._takeovers):
                held.shift(by)

    def command(self, time: float, twist: Sequence[float]) -> None:
        """A velocity command: six values (linear x, y, z in m/s, angular x, y, z in rad/s)."""
        self._commands.add(time, np.asarray(twist, dtype=np.float32))

    def odometry(self, time: float, values: Sequence[float]) -> None:
        """x, y (m), yaw (rad), vx, vy (m/s), wz (rad/s) in force from ``time`` on."""
        self._odometry.add(time, np.asarray([*values, time], dtype=np.float64))

    def takeover(self, time: float, taken: bool) -> None:
        """From ``time`` on a person has taken over from the policy (or has released it)."""
        self._takeovers.add(time, taken)

    def message_lost(self, count: int) -> None:
        """The middleware says that ``count`` frames never arrived."""
        if self.state == RECORDING and self._take.seen:
            self._take.lost_in_events += count

    def leave_out(self) -> None:
        """A frame has come that cannot be recorded: it counts as received and dropped."""
        self._camera.skip()
        if self.state == RECORDING:
            self._take.seen += 1
            self._take.received += 1
            self._take.dropped += 1

    def press(self, time: float, twist: Sequence[float]) -> None:
        """A driving key was pressed; in mode ``key_press`` it makes a row with that command."""
        if self.settings.mode != "key_press" or self.state != RECORDING:
            return
        self._take.presses.append((time, np.asarray(twist, dtype=np.float32)))
        if self._newest is not None and time - self._newest[0] <= PRESS_FRAME_AGE:
            self._serve_press(*self._newest)

    def frame(self, stamp: float, received: float, image: Any) -> bool:
        """A camera frame; ``image`` is handed through to the sink.

        A stamp from the future is no measure for the next one: such a frame is left out.

        Returns:
            Whether it became a row.
        """
        if stamp > received + FUTURE_STAMP:
            self.leave_out()
            return False
        take = self._take
        take.heard = received
        missing = self._camera.add(stamp)
        # Behind its first row an episode counts frames of whatever stamp: a clock that was set
        # back would else pass for a camera that sent nothing.
        if self.state != RECORDING or (stamp < take.started and not take.accepted):
            return False
        if take.seen:
            take.lost_in_gaps += missing
        if stamp < take.last_seen:
            take.picker = RatePicker(self.settings.rate)
        take.last_seen = stamp
        take.seen += 1
        mode = self.settings.mode
        if mode == "key_press":
            self._newest = (stamp, received, image)
            return self._serve_press(stamp, received, image)
        if mode == "rate" and not take.picker.takes(stamp, self._camera.interval):
            return False
        held = self._commands.at(stamp)
        time, twist = held if held else (math.nan, np.zeros(6, np.float32))
        return self._offer(stamp, received, image, time, twist)

    def _serve_press(self, stamp: float, received: float, image: Any) -> bool:
        """Gives the frame to the oldest press that waits for one; never one frame to two."""
        take = self._take
        if not take.presses or stamp <= take.last_row:
            return False
        time, twist = take.presses.popleft()
        return self._offer(stamp, received, image, time, twist)

    def _offer(
        self, stamp: float, received: float, image: Any, time: float, twist: np.ndarray
    ) -> bool:
        take = self._take
        take.received += 1
        if stamp <= take.last_row:
            # A repeated or backward stamp would break the order of the rows.
            take.dropped += 1
            return False
        action = twist[self._axes]
        if take.accepted == 0:
            event = "episode_start"
        else:
            event = "start_action" if action.any() else "stop_action"
        held = self._odometry.at(stamp)
        odom = None if held is None else np.array([*held[1][:-1], held[0]])
        taken = self._takeovers.at(stamp)
        row = Row(
            *(self.episode, stamp, received, action, time, event),
            odom=odom,
            taken_over=taken is not None and taken[1],
        )
        if not self.sink.offer(row, image, self.counts):
            take.dropped += 1
            return False
        take.last_row = stamp
        take.accepted += 1
        if take.accepted == self.settings.episode_length:
            self.save()
        return True
