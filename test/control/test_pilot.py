"""The pilot's rules, one by one, on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import ActionChunk, Limits, Pilot, PilotSettings
from mobile_vla_ros.errors import InputError

AXES = ("linear.x", "angular.z")
EPOCH = 1.7e9
PERIOD = 0.05


class Robot:
    """A pilot in a healthy world that can be made sick: camera 20 Hz, model 0.05 s."""

    def __init__(self, instruction: str = "go to the bottle", **settings) -> None:
        self.pilot = Pilot(PilotSettings(**settings), AXES)
        self.now = 0.0
        self.clock_shift = 0.0
        self.clock_held: float | None = None
        self.camera = True
        self.every = 1
        self.model = True
        self.stamp_shift = 0.0
        self.picture: int | None = None
        self.velocity = (0.2, 0.4)
        self.steps = 10
        self.ticks = 0
        self.waiting: list[tuple[float, int]] = []
        self.pilot.model_loading(0.0)
        self.pilot.model_ready(0.0)
        self.pilot.activate(0.0)
        self.pilot.set_instruction(instruction, 0.0)
        self.command = None

    @property
    def clock(self) -> float:
        held = self.clock_held
        return EPOCH + self.now + self.clock_shift if held is None else held

    def chunk(self, stamp: float, generation: int, velocity=None) -> ActionChunk:
        rows = np.full((self.steps, 2), velocity or self.velocity, np.float32)
        return ActionChunk(rows, AXES, stamp, 0.4, generation)

    def frame(self) -> bool:
        stamp = self.clock + self.stamp_shift
        picture = self.ticks if self.picture is None else self.picture
        wanted = self.pilot.frame(stamp, picture, self.now, self.clock)
        if wanted:
            self.waiting.append((stamp, self.pilot.generation))
        return wanted

    def run(self, seconds: float) -> list:
        """One frame, one result of the frame before, one tick per period."""
        commands = []
        for _ in range(round(seconds / PERIOD)):
            self.now = round(self.now + PERIOD, 9)
            self.ticks += 1
            if self.model:
                for stamp, generation in self.waiting[-1:]:
                    self.pilot.result(self.chunk(stamp, generation), self.now, self.clock)
                self.waiting.clear()
            if self.camera and self.ticks % self.every == 0:
                self.frame()
            self.command = self.pilot.tick(self.now, self.clock)
            commands.append(self.command)
        return commands

    @property
    def zero(self) -> bool:
        v = self.command.velocities
        return v is not None and not v.any()


@pytest.fixture
def robot() -> Robot:
    driving = Robot()
    driving.run(1.5)
    assert driving.pilot.state == "driving"
    assert driving.command.velocities == pytest.approx([0.2, 0.4])
    return driving


def expect_stop(robot: Robot, reason: str) -> None:
    assert robot.command.state == f"stopped: {reason}"
    assert robot.zero
    assert robot.command.hard_stop


# -- starting ------------------------------------------------------------------------------


def test_the_states_of_a_start_come_in_their_order() -> None:
    pilot = Pilot(PilotSettings(), AXES)
    assert pilot.tick(0.0, EPOCH).state == "unconfigured"
    assert pilot.tick(0.0, EPOCH).velocities is None
    pilot.model_loading(0.0)
    pilot.activate(0.0)
    assert pilot.tick(0.0, EPOCH).state == "warming_up"
    pilot.model_ready(1.0)
    assert pilot.tick(1.0, EPOCH).state == "waiting_for_camera"
    assert not pilot.frame(EPOCH, 1, 1.1, EPOCH)
    assert pilot.tick(1.1, EPOCH).state == "waiting_for_instruction"
    pilot.set_instruction("go", 1.1)
    assert pilot.frame(EPOCH + 0.1, 2, 1.2, EPOCH + 0.1)
    pilot.result(
        ActionChunk(np.ones((4, 2), np.float32), AXES, EPOCH + 0.1, 0.4, pilot.generation),
        1.25,
        EPOCH + 0.15,
    )
    assert pilot.tick(1.25, EPOCH + 0.15).state == "driving"


def test_a_start_that_is_not_enabled_says_so_and_falls_silent() -> None:
    robot = Robot()
    robot.pilot.enable(False, 0.0)
    commands = robot.run(3.0)
    assert robot.command.state == "disabled"
    assert robot.command.velocities is None
    assert not any(c.velocities.any() for c in commands if c.velocities is not None)


def test_chunks_flow_while_disabled_so_that_enabling_drives_at_once() -> None:
    robot = Robot()
    robot.pilot.enable(False, 0.0)
    robot.run(2.0)
    robot.pilot.enable(True, robot.now)
    robot.run(PERIOD)
    assert robot.command.state == "driving"
    assert robot.command.velocities.any()


# -- camera --------------------------------------------------------------------------------


def test_a_silent_camera_means_zero_within_its_timeout_and_one_period(robot: Robot) -> None:
    last = robot.now
    robot.camera = False
    commands = robot.run(0.25)
    assert robot.now - last <= 0.25 + PERIOD
    expect_stop(robot, "camera silent")
    assert all(c.state == "driving" for c in commands[:-1])


def test_zeros_keep_coming_while_a_fault_lasts(robot: Robot) -> None:
    robot.camera = False
    robot.run(0.3)
    assert all(c.velocities is not None and not c.velocities.any() for c in robot.run(60.0))


def test_driving_resumes_after_three_good_frames(robot: Robot) -> None:
    robot.camera = False
    robot.run(1.0)
    robot.camera = True
    states = [c.state for c in robot.run(0.2)]
    assert states == ["stopped: camera silent"] * 2 + ["driving"] * 2


def test_a_slow_camera_drives_with_a_longer_timeout() -> None:
    robot = Robot(image_timeout=1.0)
    robot.every = 8
    robot.run(1.0)
    assert {c.state for c in robot.run(10.0)} == {"driving"}


def test_a_frozen_camera_stops_after_its_timeout_and_resumes_when_it_moves(robot: Robot) -> None:
    robot.picture = 7
    robot.run(1.0)
    assert robot.command.state == "driving"
    robot.run(2 * PERIOD)
    expect_stop(robot, "camera frozen")
    robot.run(5.0)
    expect_stop(robot, "camera frozen")
    robot.picture = None
    robot.run(0.3)
    assert robot.command.state == "driving"


def test_a_frozen_timeout_of_zero_is_off() -> None:
    robot = Robot(frozen_timeout=0.0)
    robot.picture = 7
    robot.run(5.0)
    assert robot.command.state == "driving"


@pytest.mark.parametrize(
    ("shift", "reason"),
    [
        (-0.6, "frame too old"),
        (-1e9, "frame too old"),
        (0.1, "clock jumped"),
        (1e9, "clock jumped"),
        (-0.3, "clock jumped"),
        (float("nan"), "clock jumped"),
    ],
)
def test_one_frame_of_a_bad_stamp_is_a_stop_at_the_next_tick(robot, shift, reason) -> None:
    robot.stamp_shift = shift
    robot.run(PERIOD)
    expect_stop(robot, reason)
    robot.stamp_shift = 0.0
    robot.run(0.4)
    assert robot.command.state == "driving"


def test_a_stamp_within_the_future_tolerance_is_good(robot: Robot) -> None:
    robot.stamp_shift = 0.015
    assert {c.state for c in robot.run(2.0)} == {"driving"}


def test_a_repeated_stamp_is_no_proof_of_life(robot: Robot) -> None:
    robot.camera = False
    stamp = robot.pilot._camera.stamp
    for _ in range(5):
        assert not robot.pilot.frame(stamp, 99, robot.now, robot.clock)
        robot.run(PERIOD)
    expect_stop(robot, "camera frozen")


def test_a_result_for_a_frame_before_a_camera_gap_never_drives(robot: Robot) -> None:
    generation = robot.pilot.generation
    stamp = robot.clock
    robot.camera = robot.model = False
    robot.run(0.4)
    assert not robot.pilot.result(robot.chunk(stamp, generation), robot.now, robot.clock)


# -- clocks --------------------------------------------------------------------------------


def test_a_clock_that_goes_back_stops_and_the_old_chunk_is_gone(robot: Robot) -> None:
    generation = robot.pilot.generation
    robot.clock_shift = -100.0
    robot.camera = False
    robot.run(PERIOD)
    expect_stop(robot, "clock jumped")
    assert robot.pilot.generation > generation
    robot.camera = True
    robot.run(0.5)
    assert robot.command.state == "driving"


def test_a_simulation_whose_clock_stops_stops_and_does_not_freeze(robot: Robot) -> None:
    robot.clock_held = robot.clock
    robot.run(0.35)
    expect_stop(robot, "camera frozen")
    robot.clock_held = None


def test_a_clock_that_never_moved_never_drives_for_long() -> None:
    robot = Robot()
    robot.clock_held = 0.0
    robot.run(0.4)
    assert not any(c.velocities.any() for c in robot.run(5.0))


# -- model ---------------------------------------------------------------------------------


def test_a_model_that_hangs_is_stopped_as_slow_and_then_named_and_to_be_restarted(robot) -> None:
    robot.model = False
    robot.run(0.8 + PERIOD)
    expect_stop(robot, "model too slow")
    robot.run(0.4)
    expect_stop(robot, "model hung")
    assert robot.pilot.worker_down == "model hung"
    robot.pilot.worker_fault("model failed", robot.now)
    assert robot.pilot.worker_down == "model hung"
    robot.pilot.model_loading(robot.now)
    assert robot.pilot.worker_down is None
    robot.run(PERIOD)
    expect_stop(robot, "model hung")
    robot.pilot.model_ready(robot.now)
    robot.waiting.clear()
    robot.model = True
    robot.run(0.3)
    assert robot.command.state == "driving"


def test_the_first_result_may_take_longer() -> None:
    robot = Robot(first_result_timeout=5.0)
    robot.model = False
    robot.run(4.5)
    assert robot.command.state == "warming_up"
    robot.run(1.0)
    expect_stop(robot, "model hung")


def test_a_killed_worker_is_a_stop_at_the_next_tick(robot: Robot) -> None:
    robot.pilot.worker_fault("model failed", robot.now, "exit code -9")
    robot.run(PERIOD)
    expect_stop(robot, "model failed")
    assert robot.pilot.detail == "exit code -9"
    assert robot.pilot.detail_of(robot.pilot.state) == "exit code -9"


def test_a_stop_by_a_person_has_nothing_of_an_older_fault(robot: Robot) -> None:
    robot.pilot.worker_fault("model failed", robot.now, "exit code -9")
    robot.run(PERIOD)
    robot.pilot.stop(robot.now)
    robot.run(PERIOD)
    expect_stop(robot, "stop service")
    assert robot.pilot.detail_of(robot.pilot.state) == ""


@pytest.mark.parametrize(
    "rows",
    [
        np.full((4, 2), np.nan, np.float32),
        np.full((4, 2), np.inf, np.float32),
        np.zeros((4, 3), np.float32),
        np.zeros((0, 2), np.float32),
    ],
)
def test_bad_output_is_a_stop_at_the_next_tick(robot: Robot, rows: np.ndarray) -> None:
    chunk = ActionChunk(rows, AXES, robot.clock, 0.4, robot.pilot.generation)
    robot.camera = False
    assert not robot.pilot.result(chunk, robot.now, robot.clock)
    robot.run(PERIOD)
    expect_stop(robot, "bad output")


def test_results_that_come_too_late_are_a_model_too_slow() -> None:
    robot = Robot()
    for _ in range(5):
        robot.now += 0.05
        stamp = robot.clock
        robot.frame()
        for _ in range(18):
            robot.now += 0.05
            robot.pilot.frame(robot.clock, round(robot.now * 100), robot.now, robot.clock)
            robot.command = robot.pilot.tick(robot.now, robot.clock)
            assert robot.zero
        generation = robot.pilot.generation
        robot.pilot.result(robot.chunk(stamp, generation), robot.now, robot.clock)
    robot.command = robot.pilot.tick(robot.now, robot.clock)
    expect_stop(robot, "model too slow")


def test_a_chunk_that_ends_between_slow_frames_is_used_up() -> None:
    robot = Robot(image_timeout=2.0)
    robot.every = 20
    states = {c.state for c in robot.run(5.0)}
    assert "stopped: chunk used up" in states
    assert "stopped: model too slow" not in states


def test_three_worker_faults_in_ten_seconds_latch_until_enable_true(robot: Robot) -> None:
    for _ in range(3):
        robot.run(1.0)
        robot.pilot.worker_fault("model failed", robot.now)
        robot.pilot.model_loading(robot.now)
        robot.pilot.model_ready(robot.now)
    robot.run(30.0)
    expect_stop(robot, "model failed")
    assert robot.pilot.latched
    robot.pilot.enable(True, robot.now)
    robot.run(0.3)
    assert robot.command.state == "driving"


def test_enable_true_starts_the_count_of_worker_faults_anew(robot: Robot) -> None:
    for _ in range(3):
        robot.pilot.worker_fault("bad output", robot.now)
    robot.pilot.enable(True, robot.now)
    robot.pilot.worker_fault("bad output", robot.now)
    assert not robot.pilot.latched
    robot.run(0.3)
    assert robot.command.state == "driving"


def test_three_worker_faults_in_more_than_ten_seconds_do_not_latch(robot: Robot) -> None:
    for _ in range(4):
        robot.run(6.0)
        robot.pilot.worker_fault("model failed", robot.now)
        robot.pilot.model_loading(robot.now)
        robot.pilot.model_ready(robot.now)
    robot.run(0.5)
    assert robot.command.state == "driving"


# -- orders --------------------------------------------------------------------------------


def test_the_stop_service_is_immediate_and_latches_until_enable_true(robot: Robot) -> None:
    robot.pilot.stop(robot.now)
    robot.run(PERIOD)
    expect_stop(robot, "stop service")
    robot.pilot.set_instruction("something else", robot.now)
    robot.pilot.reset(robot.now)
    robot.run(10.0)
    expect_stop(robot, "stop service")
    robot.pilot.enable(True, robot.now)
    robot.run(0.2)
    assert robot.command.state == "driving"


def test_a_stop_lifted_before_the_next_tick_still_stops_for_one_tick(robot: Robot) -> None:
    robot.pilot.stop(robot.now)
    robot.pilot.enable(True, robot.now)
    robot.run(PERIOD)
    expect_stop(robot, "stop service")
    robot.run(0.2)
    assert robot.command.state == "driving"


@pytest.mark.parametrize(
    ("order", "state"),
    [
        (lambda pilot, now: pilot.enable(False, now), "disabled"),
        (lambda pilot, now: pilot.taken_over(True, now), "stopped: taken over"),
        (lambda pilot, now: pilot.deactivate(now), "disabled"),
    ],
)
def test_who_is_not_to_drive_sends_zeros_for_one_second_and_then_nothing(
    robot, order, state
) -> None:
    order(robot.pilot, robot.now)
    commands = robot.run(3.0)
    assert {c.state for c in commands} == {state}
    zeros = [c for c in commands if c.velocities is not None]
    assert not any(c.velocities.any() for c in zeros)
    assert len(zeros) * PERIOD == pytest.approx(1.0, abs=2 * PERIOD)
    assert all(c.velocities is None for c in commands[len(zeros) :])


def test_a_cleared_instruction_slows_down_and_then_falls_silent(robot: Robot) -> None:
    robot.pilot.set_instruction("", robot.now)
    commands = robot.run(3.0)
    speeds = [c.velocities[0] for c in commands if c.velocities is not None]
    assert speeds[:4] == pytest.approx([0.15, 0.1, 0.05, 0.0], abs=1e-6)
    assert not any(speeds[5:])
    assert {c.state for c in commands} == {"waiting_for_instruction"}
    assert robot.command.velocities is None


def test_a_changed_instruction_slows_down_until_its_own_first_chunk(robot: Robot) -> None:
    old = robot.pilot.generation
    robot.pilot.set_instruction("turn right", robot.now)
    assert robot.pilot.generation > old
    robot.velocity = (0.2, -0.4)
    stamp = robot.clock
    assert not robot.pilot.result(robot.chunk(stamp, old), robot.now, robot.clock)
    robot.waiting.clear()
    first, second = robot.run(2 * PERIOD)
    assert first.velocities[0] == pytest.approx(0.15)
    assert first.state == "driving"
    assert second.wanted == pytest.approx([0.2, -0.4])


def test_slowing_down_without_a_chunk_is_not_for_ever() -> None:
    robot = Robot(limits=Limits(max_linear_decel=0.1))
    robot.run(1.5)
    robot.pilot.set_instruction("turn right", robot.now)
    robot.model = False
    commands = robot.run(0.9)
    assert all(c.velocities.any() for c in commands[:15])
    assert commands[-1].hard_stop
    assert not commands[-1].velocities.any()


def test_the_same_instruction_again_changes_nothing(robot: Robot) -> None:
    generation = robot.pilot.generation
    robot.pilot.set_instruction("  go to the bottle ", robot.now)
    assert robot.pilot.generation == generation


@pytest.mark.parametrize(
    "order", ["stop", "reset", "enable", "set_instruction", "taken_over", "deactivate"]
)
def test_every_stop_reset_and_instruction_raises_the_generation(robot: Robot, order: str) -> None:
    before = robot.pilot.generation
    arguments = {"enable": (False,), "set_instruction": ("x",), "taken_over": (True,)}
    getattr(robot.pilot, order)(*arguments.get(order, ()), robot.now)
    assert robot.pilot.generation > before


def test_lowered_limits_slow_down(robot: Robot) -> None:
    robot.pilot.update_limits(Limits(max_linear=0.1))
    speeds = [c.velocities[0] for c in robot.run(0.2)]
    assert speeds == pytest.approx([0.15, 0.1, 0.1, 0.1])
    assert robot.command.clamped


def test_standing_still_for_the_hold_is_arrival_and_latches(robot: Robot) -> None:
    robot.velocity = (0.04, 0.04)
    robot.run(1.9)
    assert robot.command.state == "driving"
    robot.run(0.4)
    assert robot.command.state == "arrived"
    robot.velocity = (0.2, 0.0)
    assert all(c.velocities is not None for c in robot.run(10.0))
    assert robot.zero
    assert robot.command.state == "arrived"


@pytest.mark.parametrize("way", ["reset", "instruction"])
def test_arrived_ends_with_a_reset_or_a_new_instruction(robot: Robot, way: str) -> None:
    robot.velocity = (0.0, 0.0)
    robot.run(3.0)
    robot.velocity = (0.2, 0.0)
    robot.pilot.set_instruction("go to the bottle", robot.now)
    robot.run(0.5)
    assert robot.command.state == "arrived"
    if way == "reset":
        robot.pilot.reset(robot.now)
    else:
        robot.pilot.set_instruction("and back", robot.now)
    robot.run(0.3)
    assert robot.command.state == "driving"


def test_one_fast_moment_starts_the_arrival_hold_anew(robot: Robot) -> None:
    robot.velocity = (0.0, 0.0)
    robot.run(1.5)
    robot.velocity = (0.0, 0.3)
    robot.run(0.3)
    robot.velocity = (0.0, 0.0)
    robot.run(1.5)
    assert robot.command.state == "driving"


def test_a_limit_on_blind_distance_slows_down() -> None:
    robot = Robot(max_blind_distance=0.08)
    robot.run(2.0)
    assert robot.command.velocities[0] == pytest.approx(0.1, rel=0.05)


def test_the_stop_wins_over_an_earlier_takeover_and_yields_to_a_later_one(robot: Robot) -> None:
    robot.pilot.taken_over(True, robot.now)
    robot.run(3.0)
    robot.pilot.stop(robot.now)
    robot.run(PERIOD)
    expect_stop(robot, "stop service")
    robot.pilot.taken_over(False, robot.now)
    robot.pilot.taken_over(True, robot.now)
    robot.run(PERIOD)
    assert robot.command.state == "stopped: taken over"
    robot.pilot.taken_over(False, robot.now)
    robot.run(PERIOD)
    expect_stop(robot, "stop service")


@pytest.mark.parametrize("change", [{"image_timeout": 0}, {"control_rate": -1}])
def test_settings_that_switch_a_protection_off_are_refused(change) -> None:
    with pytest.raises(InputError, match=next(iter(change))):
        PilotSettings(**change)


# -- two cameras, unreadable pictures, a policy elsewhere ------------------------------------


def test_two_cameras_stop_it_until_one_is_gone_and_three_frames_were_good(robot: Robot) -> None:
    robot.pilot.two_cameras(True, robot.now)
    robot.run(1.0)
    expect_stop(robot, "two cameras")
    robot.pilot.two_cameras(False, robot.now)
    robot.run(2 * PERIOD)
    expect_stop(robot, "two cameras")
    robot.run(1.0)
    assert robot.pilot.state == "driving"


def test_one_unreadable_picture_among_good_ones_changes_nothing(robot: Robot) -> None:
    for _ in range(20):
        robot.pilot.unreadable(robot.now)
        robot.run(2 * PERIOD)
        assert robot.pilot.state == "driving"


def test_pictures_that_nobody_can_read_are_named_whether_or_not_one_was_ever_good() -> None:
    fresh = Robot()
    fresh.camera = False
    for _ in range(5):
        fresh.pilot.unreadable(fresh.now)
        fresh.run(PERIOD)
    expect_stop(fresh, "unreadable pictures")


def test_frames_whose_pictures_the_worker_cannot_read_are_named_too(robot: Robot) -> None:
    robot.model = False
    for _ in range(20):
        for stamp, _generation in robot.waiting:
            robot.pilot.skipped(stamp, robot.now, unreadable=True)
        robot.waiting.clear()
        robot.run(PERIOD)
    expect_stop(robot, "unreadable pictures")
    robot.model = True
    robot.run(1.0)
    assert robot.pilot.state == "driving"


def test_a_lost_server_stops_it_once_the_last_chunk_is_used_up(robot: Robot) -> None:
    robot.model = False
    robot.pilot.link("server lost", robot.now, "gpu-box does not answer")
    robot.run(0.6)
    assert robot.pilot.state == "driving"
    for stamp, _ in robot.waiting:
        robot.pilot.skipped(stamp, robot.now)
    robot.run(0.4)
    expect_stop(robot, "server lost")
    assert robot.pilot.detail == "gpu-box does not answer"
    robot.pilot.link(None, robot.now)
    robot.waiting.clear()
    robot.model = True
    robot.run(0.5)
    assert robot.pilot.state == "driving"


def test_a_link_has_no_other_reasons(robot: Robot) -> None:
    with pytest.raises(ValueError, match="no state of a link"):
        robot.pilot.link("model hung", robot.now)
