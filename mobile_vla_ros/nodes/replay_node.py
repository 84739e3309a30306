"""Plays an episode back as camera and command topics, in real time or faster.

python -m mobile_vla_ros.nodes.replay_node --ros-args -p episode:=FILE -r cmd_vel:=replay_cmd_vel

The commands drive whatever listens to `cmd_vel`: remap them, or set commands:=false, when a robot
is on the network.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.episodes import Episode, open_episode
from mobile_vla_ros.files import home_path
from mobile_vla_ros.nodes.wiring.image_message import compressed_message, image_message
from mobile_vla_ros.nodes.wiring.parameters import Declared, ParameterError, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher, twist_of

PARAMETERS = (
    Declared("episode", "", "episode file to play (.h5)"),
    Declared("rate", 1.0, "times real time; 2.0 = twice as fast", 0.01, 1000.0),
    Declared("loop", False, "begin again at the end"),
    Declared("commands", True, "also publish the recorded commands; a robot would follow them"),
    Declared(
        "compressed", False, "publish image/compressed as it was stored, of JPEG episodes only"
    ),
    Declared("stamped", False, "true = TwistStamped instead of Twist for the commands"),
    Declared("base_frame", "base_link", "header.frame_id of a TwistStamped"),
    Declared(
        "stamps",
        "now",
        "header stamps of the images: now, or recorded",
        options=("now", "recorded"),
    ),
    Declared("frame_id", "camera", "header.frame_id of the images"),
    Declared(
        "wait",
        5.0,
        "wait this long for somebody who listens, s: what is sent before is lost",
        0.0,
        600.0,
    ),
)
PROGRAM = Program(
    node="replay",
    module="replay_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    tells=(
        Topic("image", "sensor_msgs/Image", "the recorded frames, unless compressed"),
        Topic("image/compressed", "sensor_msgs/CompressedImage", "them, as they were stored"),
        Topic("cmd_vel", VELOCITY, "the recorded commands, and a zero at the end"),
    ),
)
QUEUE_DEPTH = 5
# Discovery of a second listener takes a moment longer than that of the first.
SETTLE_SECONDS = 0.3
# A command is on its way this long, at the most, before it counts for a frame, s.
COMMAND_LEAD = 0.02


@dataclass(frozen=True)
class Moment:
    """Something to publish `time` seconds after the start: a command (row's action) or a frame."""

    time: float
    row: int
    is_frame: bool


def timeline(image_stamps: np.ndarray, action_stamps: np.ndarray, lead: float) -> list[Moment]:
    """When each frame and each command of an episode happened.

    A command that several rows share is published once, at its own time, and at least `lead`
    before the frame that it was in force at: whoever listens pairs the two by when they arrive.

    Args:
        image_stamps: float64 [T], s.
        action_stamps: float64 [T], s; NaN where no command was in force.
        lead: s of the episode's time.

    Returns:
        Times from 0, ascending.
    """
    start = float(image_stamps[0])
    moments = [Moment(float(stamp) - start, row, True) for row, stamp in enumerate(image_stamps)]
    last = None
    for row, stamp in enumerate(action_stamps):
        if stamp == last:
            continue
        last = stamp
        latest = float(image_stamps[row]) - lead
        # NaN compares false: a row without a command gets its standstill in time for its frame.
        when = float(stamp) if stamp < latest else latest
        moments.append(Moment(max(-lead, when - start), row, False))
    moments = [Moment(moment.time + lead, moment.row, moment.is_frame) for moment in moments]
    return sorted(moments, key=lambda moment: (moment.time, moment.is_frame, moment.row))


class ReplayNode(Life, Node):
    """Publishes one episode."""

    def __init__(self, **options) -> None:
        super().__init__("replay", **options)
        self._settings = declare(self, PARAMETERS)
        if not self._settings["episode"]:
            raise ParameterError("parameter episode is empty: name the file to play")
        self._episode: Episode = open_episode(home_path(self._settings["episode"]))
        compressed = self._settings["compressed"]
        if compressed and self._episode.jpeg(0) is None:
            raise ParameterError(
                f"{self._episode.path} holds raw frames: play it with compressed:=false"
            )
        self._images = self.create_publisher(
            CompressedImage if compressed else Image,
            "image/compressed" if compressed else "image",
            queued(QUEUE_DEPTH),
        )
        self._velocity = None
        if self._settings["commands"]:
            self._velocity = VelocityPublisher(
                self,
                "cmd_vel",
                stamped=self._settings["stamped"],
                frame=self._settings["base_frame"],
                qos=queued(),
            )

    def work(self, stop: StopSignal) -> int:
        """Publishes until the end, or until told to stop; the last command is always zero."""
        self._wait_for_listener(stop)
        episode, rate = self._episode, self._settings["rate"]
        self.get_logger().info(
            f"playing {episode.path}: {len(episode)} frames of '{episode.instruction}'"
        )
        moments = timeline(episode.image_stamps, episode.action_stamps, COMMAND_LEAD * rate)
        late = 0.0
        for begin in self._rounds():
            for moment in moments:
                due = begin + moment.time / rate
                late = max(late, time.monotonic() - due)
                if stop.wait(max(0.0, due - time.monotonic())):
                    break
                self._publish(moment)
            if stop.is_set():
                break
            # The last frame stays for as long as the others did.
            stop.wait(self._last_interval() / rate)
        self._stand_still()
        self.get_logger().info(f"played; at most {late * 1e3:.0f} ms behind")
        return 0

    def _rounds(self) -> Iterator[float]:
        yield time.monotonic()
        while self._settings["loop"]:
            yield time.monotonic()

    def _last_interval(self) -> float:
        stamps = self._episode.image_stamps
        return float(np.median(np.diff(stamps))) if len(stamps) > 1 else 0.0

    def _wait_for_listener(self, stop: StopSignal) -> None:
        end = time.monotonic() + self._settings["wait"]
        while not self._images.get_subscription_count() and time.monotonic() < end:
            if stop.wait(0.05):
                return
        if self._settings["wait"]:
            stop.wait(SETTLE_SECONDS)

    def _publish(self, moment: Moment) -> None:
        if not moment.is_frame:
            self._command(self._episode.actions[moment.row])
            return
        now = self.get_clock().now()
        if self._settings["stamps"] == "recorded":
            now = Time(nanoseconds=round(self._episode.image_stamps[moment.row] * 1e9))
        row, frame_id = moment.row, self._settings["frame_id"]
        if self._settings["compressed"]:
            jpeg = self._episode.jpeg(row) or b""
            self._images.publish(compressed_message(jpeg, now.to_msg(), frame_id))
        else:
            pixels = self._episode.image(row)
            self._images.publish(image_message(pixels, now.to_msg(), frame_id))

    def _command(self, action: np.ndarray) -> None:
        if self._velocity is not None:
            self._velocity.publish(twist_of(self._episode.action_axes, action.tolist()))

    def _stand_still(self) -> None:
        self._command(np.zeros(len(self._episode.action_axes)))
        if self._velocity is not None:
            self._velocity.wait_for_all_acked(0.5)

    def close(self) -> None:
        self._episode.close()


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: ReplayNode(), args)


if __name__ == "__main__":
    sys.exit(main())
