"""The same weights, shown an incident again, command the same again."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest

from mobile_vla_ros.analysis.incident import IncidentReplay, replay_incident
from mobile_vla_ros.episodes.incident import (
    Incident,
    IncidentRing,
    read_incident,
    write_incident,
)
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.policy import load_policy
from mobile_vla_ros.policy.frames import resize_exactly

LEFT = "Navigate around obstacles and reach the front of the beverage bottle on the left"
RIGHT = LEFT.replace("left", "right")
PERIOD = 0.1


@pytest.fixture(scope="module")
def policy(golden):
    checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    return load_policy(checkpoint, device="cpu", dtype="float32")


@dataclass
class Robot:
    """Drives by a policy as the node does, and has a ring listen; a camera of 10 frames/s.

    Like the node, it looks at some of the frames only.
    """

    policy: object
    ring: IncidentRing
    words: str = LEFT
    lossless: bool = True
    now: float = 100.0
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))

    def __post_init__(self) -> None:
        self.ring.axes, self.ring.action_period = ("linear.x", "angular.z"), 0.4
        self.stream = self.policy.stream(self.words)
        self.frames = 0

    def drive(self, frames: int) -> None:
        for _ in range(frames):
            self.now += PERIOD
            self.frames += 1
            image = self.rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            stamp = self.now - 0.03
            if self.lossless:
                self.ring.add_frame(stamp, self.now, _png(image))
            else:
                seen = resize_exactly(image, self.policy.config.image_size)
                self.ring.add_frame(stamp, self.now, encode_jpeg(image, 60), seen)
            if self.frames % 3 == 0:
                continue  # the policy was at work on the one before
            chunk = self.stream.step(image, stamp)
            self.ring.add_chunk(stamp, self.now + 0.04, chunk.velocities)

    def hear(self, *events: str) -> None:
        """What ``~/event`` and ``~/state`` tell, between two frames."""
        for number, text in enumerate(events):
            self.ring.add_event(self.now + 0.05 + 0.01 * number, text)

    def reset(self) -> None:
        self.stream.reset()
        self.hear("reset", "warming_up")

    def tell(self, words: str) -> None:
        self.words, self.stream = words, self.policy.stream(words)
        self.hear(f"instruction: {words}", "warming_up")

    def disable(self) -> None:
        self.stream.reset()
        self.hear("enabled: False")
        # The next frame comes before the control loop has told the state.
        self.drive(1)
        self.hear("disabled")

    def capsule(self, tmp_path: Path) -> Incident:
        self.ring.trigger("mark", self.now)
        incident = self.ring.poll(self.now, finish=True)
        assert incident is not None
        return read_incident(write_incident(tmp_path / "incident.h5", incident))


def _png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image[..., ::-1])[1].tobytes()


@pytest.fixture
def robot(policy) -> Robot:
    ring = IncidentRing(before=60.0)
    ring.attributes = {"instruction": LEFT}
    return Robot(policy, ring)


def worst(replay: IncidentReplay) -> float:
    return float(np.abs(replay.recorded - replay.replayed)[replay.compared].max())


def test_resets_new_instructions_and_a_disable_are_honoured(robot, policy, tmp_path) -> None:
    robot.drive(40)
    robot.reset()
    robot.drive(7)
    robot.tell(RIGHT)
    robot.drive(15)
    robot.disable()
    robot.drive(4)
    robot.hear("enabled: True", "driving")
    robot.drive(10)
    robot.hear("stop", "stopped: stop service")
    robot.stream.reset()
    robot.drive(3)
    robot.hear("enabled: True")
    replay = replay_incident(robot.capsule(tmp_path), policy)
    assert worst(replay) < 1e-4
    # All but those whose window reaches back beyond the capsule's beginning.
    span = (policy.config.window_size - 1) * policy.config.frame_period
    early = replay.stamps < replay.stamps[0] + span - 1e-3
    assert replay.remembered.tolist() == (~early).tolist()
    assert replay.begins.sum() == 5  # the first one, reset, instruction, disable, stop


def test_a_stop_that_nobody_ordered_empties_the_memory_too(robot, policy, tmp_path) -> None:
    robot.drive(35)
    robot.hear("driving")
    robot.stream.reset()
    robot.hear("stopped: camera frozen")
    robot.drive(5)
    robot.hear("driving")
    robot.now += 3.0  # a gap, which no event tells
    robot.drive(12)
    replay = replay_incident(robot.capsule(tmp_path), policy)
    assert worst(replay) < 1e-4
    assert replay.remembered[-8:].all()
    assert replay.begins.sum() == 3


def test_frames_of_the_trial_before_were_seen_under_its_instruction(policy, tmp_path) -> None:
    ring = IncidentRing(before=8.0)
    robot = Robot(policy, ring, words="go")
    robot.hear("instruction: go")
    robot.drive(80)
    ring.attributes = {"instruction": LEFT}
    robot.reset()
    robot.tell(LEFT)
    robot.drive(30)
    incident = robot.capsule(tmp_path)
    assert incident.attributes["instruction_before"] == "go"
    replay = replay_incident(incident, policy)
    assert worst(replay) < 1e-4
    assert replay.stamps[replay.compared][0] < robot.now - 4.0


def test_what_was_followed_before_is_not_guessed(policy, tmp_path) -> None:
    ring = IncidentRing(before=60.0)
    ring.attributes = {"instruction": LEFT}
    robot = Robot(policy, ring, words="go")
    robot.drive(40)
    robot.tell(LEFT)
    robot.drive(40)
    replay = replay_incident(robot.capsule(tmp_path), policy)
    assert worst(replay) < 1e-4
    assert not replay.remembered[replay.stamps < 104.0].any()
    assert replay.remembered[-1]


def test_a_frame_kept_as_jpeg_is_shown_as_the_policy_saw_it(policy, tmp_path) -> None:
    ring = IncidentRing(before=60.0)
    ring.attributes = {"instruction": LEFT}
    robot = Robot(policy, ring, lossless=False)
    robot.drive(40)
    incident = robot.capsule(tmp_path)
    assert worst(replay_incident(incident, policy)) < 1e-4


def test_a_window_with_a_frame_that_the_capsule_lacks_does_not_count(
    robot, policy, tmp_path
) -> None:
    robot.drive(60)
    incident = robot.capsule(tmp_path)
    gone = 45
    kept = [index for index in range(60) if index != gone]
    incident = Incident(
        **{
            **vars(incident),
            "jpegs": tuple(incident.jpegs[index] for index in kept),
            "frame_stamps": incident.frame_stamps[kept],
            "frame_received": incident.frame_received[kept],
        }
    )
    replay = replay_incident(incident, policy)
    assert worst(replay) < 1e-4
    assert not replay.remembered.all()
    assert replay.remembered.any()
