"""Which frames become rows, with which commands; no ROS, no disk, no clock."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mobile_vla_ros.cadence import CameraClock
from mobile_vla_ros.episodes.held_values import HeldValues
from mobile_vla_ros.episodes.recorded_row import Counts, Label, Row
from mobile_vla_ros.episodes.recording import (
    IDLE,
    RECORDING,
    SAVING,
    Recording,
    RecordingError,
    RecordingSettings,
)
from mobile_vla_ros.episodes.stamp_clocks import SenderClock, StampClock
from mobile_vla_ros.episodes.take import RatePicker

LEFT = Label("1box_left", "go left")
RIGHT = Label("1box_right", "go right")


@dataclass
class ListSink:
    """Keeps what it is given; refuses rows while `room` is 0."""

    room: int = 10**9
    begun: list[tuple[int, Label]] = field(default_factory=list)
    rows: list[tuple[Row, Any]] = field(default_factory=list)
    finished: list[tuple[int, Counts, bool, str]] = field(default_factory=list)
    discarded: list[int] = field(default_factory=list)

    def begin(self, episode: int, label: Label) -> None:
        self.begun.append((episode, label))

    def offer(self, row: Row, image: Any, counts: Counts) -> bool:
        if self.room <= 0:
            return False
        self.room -= 1
        self.rows.append((row, image))
        return True

    def finish(self, episode: int, counts: Counts, complete: bool, outcome: str) -> None:
        self.finished.append((episode, counts, complete, outcome))

    def discard(self, episode: int) -> None:
        self.discarded.append(episode)

    @property
    def stamps(self) -> list[float]:
        return [row.image_stamp for row, _ in self.rows]


def every_frame(**changes: Any) -> tuple[Recording, ListSink]:
    sink = ListSink()
    return Recording(RecordingSettings(mode="frame", **changes), sink), sink


def test_a_row_carries_the_command_in_force_when_the_frame_was_captured() -> None:
    recording, sink = every_frame(action_axes=("linear.x", "angular.z"))
    recording.start(LEFT, 0.0)
    recording.command(1.0, [0.1, 0, 0, 0, 0, 0.5])
    recording.command(2.0, [0.2, 0, 0, 0, 0, -0.5])
    recording.frame(1.9, 2.1, "captured before the second command, arrived after it")
    recording.frame(2.5, 2.6, "later")
    (first, _), (second, _) = sink.rows
    np.testing.assert_allclose(first.action, [0.1, 0.5])
    assert first.action_stamp == 1.0
    np.testing.assert_allclose(second.action, [0.2, -0.5])
    assert second.image_stamp - second.action_stamp == pytest.approx(0.5)
    assert second.action.dtype == np.float32


def test_before_any_command_the_robot_stands_and_the_row_says_so() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, None)
    row, _ = sink.rows[0]
    assert not row.action.any()
    assert math.isnan(row.action_stamp)


def test_events_tell_start_motion_and_standstill_apart() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, None)
    recording.command(1.5, [0.1, 0, 0, 0, 0, 0])
    recording.frame(2.0, 2.0, None)
    recording.command(2.5, [0.0] * 6)
    recording.frame(3.0, 3.0, None)
    events = [row.event for row, _ in sink.rows]
    assert events == ["episode_start", "start_action", "stop_action"]


def test_a_frame_captured_before_the_start_is_not_part_of_the_episode() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 10.0)
    assert not recording.frame(9.99, 10.05, "seen under the scenario before")
    assert recording.frame(10.01, 10.06, "seen under this one")
    assert sink.stamps == [10.01]


def test_frames_between_two_episodes_go_to_neither() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, None)
    recording.save()
    recording.frame(2.0, 2.0, None)
    recording.ended(1)
    recording.frame(3.0, 3.0, None)
    recording.start(RIGHT, 3.5)
    recording.frame(3.4, 3.6, None)
    recording.frame(4.0, 4.0, None)
    assert [(row.episode, row.image_stamp) for row, _ in sink.rows] == [(1, 1.0), (2, 4.0)]
    assert sink.begun == [(1, LEFT), (2, RIGHT)]


def test_a_full_queue_drops_counts_and_never_repeats_a_frame() -> None:
    recording, sink = every_frame()
    sink.room = 2
    recording.start(LEFT, 0.0)
    for k in range(5):
        recording.frame(1.0 + k, 1.0 + k, k)
    sink.room = 1
    recording.frame(9.0, 9.0, 9)
    assert [image for _, image in sink.rows] == [0, 1, 9]
    recording.written(1, 3)
    assert recording.counts == Counts(received=6, written=3, dropped=3)
    assert recording.counts.in_flight == 0


def test_received_is_written_plus_dropped_plus_in_flight() -> None:
    recording, _ = every_frame()
    recording.start(LEFT, 0.0)
    for k in range(4):
        recording.frame(1.0 + k, 1.0 + k, None)
    recording.written(1, 1)
    assert recording.counts == Counts(received=4, written=1)
    assert recording.counts.in_flight == 3


@pytest.mark.parametrize("mode", ["rate", "frame"])
@pytest.mark.parametrize("jump", [-0.8, -5.0])
def test_frames_after_a_clock_was_set_back_are_counted_until_it_has_caught_up(mode, jump) -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(mode=mode, rate=10.0), sink)
    recording.start(LEFT, 100.0)
    true = [100.0 + 0.1 * step for step in range(100)]
    for time in true:
        recording.frame(time if time < 102.0 else time + jump, time, None)
    stamps = [row.image_stamp for row, _ in sink.rows]
    assert stamps == sorted(set(stamps))
    # what came while the clock was behind the last row stands nowhere but in the count
    assert recording.counts.dropped == pytest.approx(-jump / 0.1, abs=2)
    assert recording.counts.received == len(stamps) + recording.counts.dropped
    assert len(true) - recording.counts.received <= 2


def test_a_clock_that_is_set_between_two_episodes_takes_what_was_heard_along() -> None:
    recording, sink = every_frame()
    recording.command(99.0, [0.1, 0, 0, 0, 0, 0])
    recording.odometry(99.5, [1, 2, 3, 4, 5, 6])
    recording.shift(-30.0)
    recording.start(LEFT, 70.0)
    recording.frame(70.1, 70.1, None)
    (row, _) = sink.rows[0]
    assert row.action_stamp == 69.0
    np.testing.assert_allclose(row.odom, [1, 2, 3, 4, 5, 6, 69.5])


def test_a_repeated_or_backward_stamp_is_dropped_and_counted() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    for stamp in (1.0, 1.0, 0.9, 1.1):
        recording.frame(stamp, 2.0, None)
    assert sink.stamps == [1.0, 1.1]
    assert recording.counts.dropped == 2


def test_an_episode_of_eighteen_rows_saves_itself() -> None:
    recording, sink = every_frame(episode_length=18)
    recording.start(LEFT, 0.0)
    for k in range(30):
        recording.frame(1.0 + k, 1.0 + k, None)
    assert len(sink.rows) == 18
    assert recording.state == SAVING
    (episode, counts, complete, outcome) = sink.finished[0]
    assert (episode, counts.received, complete, outcome) == (1, 18, True, "")


def test_dropped_rows_do_not_count_towards_the_length() -> None:
    recording, sink = every_frame(episode_length=3)
    sink.room = 1
    recording.start(LEFT, 0.0)
    for k in range(3):
        recording.frame(1.0 + k, 1.0 + k, None)
    assert recording.state == RECORDING
    sink.room = 9
    recording.frame(5.0, 5.0, None)
    recording.frame(6.0, 6.0, None)
    assert recording.state == SAVING
    assert len(sink.rows) == 3


def test_requests_that_do_not_fit_are_refused_with_a_sentence() -> None:
    recording, _ = every_frame()
    with pytest.raises(RecordingError, match="start one first"):
        recording.save()
    with pytest.raises(RecordingError, match="nothing to discard"):
        recording.discard()
    recording.start(LEFT, 0.0)
    with pytest.raises(RecordingError, match="save or discard it first"):
        recording.start(RIGHT, 0.0)
    recording.save()
    with pytest.raises(RecordingError, match="saving"):
        recording.start(RIGHT, 0.0)


def test_a_discarded_episode_leaves_the_recording_idle_and_the_next_one_counts_anew() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, None)
    recording.discard()
    recording.ended(1)
    assert recording.state == IDLE
    assert sink.discarded == [1]
    recording.start(LEFT, 2.0)
    assert recording.counts == Counts()


def test_an_answer_about_an_older_episode_changes_nothing() -> None:
    recording, _ = every_frame()
    recording.start(LEFT, 0.0)
    recording.discard()
    recording.ended(1)
    recording.start(LEFT, 0.0)
    recording.written(1, 7)
    recording.ended(1)
    assert recording.state == RECORDING
    assert recording.counts.written == 0


def test_ten_rows_a_second_are_picked_from_thirty_frames_with_jitter() -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(rate=10.0), sink)
    rng = np.random.default_rng(0)
    stamps = np.arange(300) / 30 + rng.uniform(-0.004, 0.004, 300) + 1.0
    for stamp in stamps[:30]:
        recording.frame(stamp, stamp, None)
    recording.start(LEFT, stamps[30])
    for stamp in stamps[30:]:
        recording.frame(stamp, stamp, None)
    assert len(sink.rows) == 90
    assert np.diff(sink.stamps) == pytest.approx(0.1, abs=0.009)
    assert recording.counts.lost == 0


def test_a_camera_slower_than_the_rate_has_every_frame_recorded() -> None:
    picker = RatePicker(10.0)
    assert all(picker.takes(k * 0.2, 0.2) for k in range(50))


def test_after_a_pause_of_the_camera_no_burst_of_rows_follows() -> None:
    picker = RatePicker(10.0)
    taken = [t for t in (0.0, 0.1, 5.03, 5.06, 5.1, 5.13, 5.2) if picker.takes(t, 0.033)]
    assert taken == [0.0, 0.1, 5.03, 5.1, 5.2]


@given(st.lists(st.floats(0.001, 0.5), min_size=2, max_size=200), st.floats(1.0, 60.0))
def test_whatever_the_camera_does_there_are_no_more_rows_than_the_rate_allows(
    gaps: list[float], rate: float
) -> None:
    picker, clock, now, taken = RatePicker(rate), CameraClock(), 0.0, []
    for gap in gaps:
        now += gap
        clock.add(now)
        if picker.takes(now, clock.interval):
            taken.append(now)
    assert len(taken) <= (now - taken[0]) * rate + 2


def test_frames_that_never_came_are_counted_from_the_gap_in_the_stamps() -> None:
    recording, _ = every_frame()
    recording.start(LEFT, 0.0)
    for k in [*range(20), 23, *range(24, 30)]:
        recording.frame(1.0 + k / 30, 2.0, None)
    assert recording.counts.lost == 3


def test_a_command_counts_from_its_sending_when_the_clocks_agree() -> None:
    clock = SenderClock()
    assert clock.time(10.0, 10.001) == 10.0
    assert clock.time(11.0, 11.2) == 11.0  # read late on a busy machine


@pytest.mark.parametrize("offset", [0.3, -0.3])
def test_a_command_counts_from_its_arrival_when_the_clocks_differ(offset: float) -> None:
    clock = SenderClock()
    for now in (10.0, 11.0, 12.0):
        assert clock.time(now + offset, now + 0.001) == now + 0.001


def test_a_gap_at_the_end_of_an_episode_is_counted() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    for k in [*range(20), 22]:
        recording.frame(1.0 + k / 30, 2.0, None)
    recording.save()
    assert sink.finished[0][1].lost == 2


def test_an_event_and_a_gap_about_the_same_frames_are_counted_once() -> None:
    recording, _ = every_frame()
    recording.start(LEFT, 0.0)
    for k in [*range(20), 23, 24]:
        recording.frame(1.0 + k / 30, 2.0, None)
    recording.message_lost(3)
    assert recording.counts.lost == 3


def test_a_key_press_makes_a_row_with_the_command_that_starts_with_it() -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(mode="key_press"), sink)
    recording.start(LEFT, 0.0)
    recording.frame(1.00, 1.01, "a")
    recording.frame(1.10, 1.11, "b")
    recording.command(0.9, [9.0] * 6)
    recording.press(1.12, [0.5, 0, 0, 0, 0, 0])
    assert [(image, row.action[0], row.action_stamp) for row, image in sink.rows] == [
        ("b", 0.5, 1.12)
    ]


def test_two_presses_in_one_frame_take_two_frames() -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(mode="key_press"), sink)
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, "a")
    recording.press(1.01, [0.1, 0, 0, 0, 0, 0])
    recording.press(1.02, [0.2, 0, 0, 0, 0, 0])
    assert [image for _, image in sink.rows] == ["a"]
    recording.frame(1.1, 1.1, "b")
    recording.frame(1.2, 1.2, "c")
    assert [(image, round(float(row.action[0]), 3)) for row, image in sink.rows] == [
        ("a", 0.1),
        ("b", 0.2),
    ]


def test_a_press_does_not_take_a_picture_from_long_ago() -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(mode="key_press"), sink)
    recording.start(LEFT, 0.0)
    recording.frame(1.0, 1.0, "old")
    recording.press(3.0, [0.1, 0, 0, 0, 0, 0])
    assert sink.rows == []
    recording.frame(3.1, 3.1, "fresh")
    assert [image for _, image in sink.rows] == ["fresh"]


def test_presses_in_other_modes_make_no_rows() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.press(1.0, [0.1, 0, 0, 0, 0, 0])
    assert sink.rows == []


def test_odometry_is_held_with_its_own_stamp() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(0.5, 0.5, None)
    recording.odometry(1.0, [1, 2, 0.3, 0.4, 0, 0.5])
    recording.odometry(2.0, [5, 5, 0, 0, 0, 0])
    recording.frame(1.5, 2.5, None)
    assert sink.rows[0][0].odom is None
    np.testing.assert_allclose(sink.rows[1][0].odom, [1, 2, 0.3, 0.4, 0, 0.5, 1.0])


def test_held_values_keep_their_history_and_forget_the_rest() -> None:
    held = HeldValues(history=1.0)
    for k in range(2000):
        held.add(k * 0.01, k)
    assert held.at(19.991)[1] == 1999
    assert held.at(19.0)[1] == 1900
    assert held.at(-1.0) is None
    assert len(held._times) < 300


def test_a_late_command_is_sorted_into_its_place() -> None:
    held = HeldValues()
    held.add(1.0, "a")
    held.add(3.0, "c")
    held.add(2.0, "b")
    assert [held.at(t)[1] for t in (1.5, 2.5, 3.5)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"mode": "sometimes"}, "mode"),
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"episode_length": -1}, "episode_length"),
        ({"action_axes": ("linear.q",)}, "linear.q"),
        ({"action_axes": ()}, "action_axes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict, fragment: str) -> None:
    with pytest.raises(RecordingError, match=fragment):
        RecordingSettings(**changes)


@pytest.mark.parametrize("mode", ["rate", "frame"])
def test_one_stamp_from_the_future_costs_that_frame_and_no_other(mode: str) -> None:
    sink = ListSink()
    recording = Recording(RecordingSettings(mode=mode, rate=20.0), sink)
    recording.start(LEFT, 100.0)
    for k in range(60):
        now = 100.0 + k / 20
        recording.frame(now + (3e8 if k == 20 else 0.0), now + 0.001, k)
    recording.save()
    assert [image for _, image in sink.rows] == [k for k in range(60) if k != 20]
    counts = sink.finished[0][1]
    assert (counts.received, counts.dropped, counts.lost) == (60, 1, 0)


def test_one_stamp_from_long_ago_costs_that_frame_and_no_other() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 100.0)
    for k in range(60):
        now = 100.0 + k / 20
        recording.frame(0.0 if k == 20 else now, now + 0.001, k)
    recording.save()
    assert [image for _, image in sink.rows] == [k for k in range(60) if k != 20]
    assert (sink.finished[0][1].dropped, sink.finished[0][1].lost) == (1, 0)


def test_a_frame_that_cannot_be_recorded_is_counted_and_leaves_no_gap() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    for k in range(40):
        if k % 5 == 4:
            recording.leave_out()
        else:
            recording.frame(1.0 + k / 30, 1.0 + k / 30, k)
    recording.save()
    counts = sink.finished[0][1]
    assert (counts.received, counts.dropped, counts.lost) == (40, 8, 0)


@pytest.mark.parametrize("stamp", [lambda k: 0.0, lambda k: -float(k), lambda k: k / 1e6])
def test_values_are_forgotten_by_count_when_their_times_do_not_tell(stamp) -> None:
    held = HeldValues(most=1000)
    for k in range(10_000):
        held.add(stamp(k), k)
    assert len(held) <= 1100


def test_values_of_a_whole_file_are_all_kept() -> None:
    held = HeldValues(math.inf, most=None)
    for k in range(30_000):
        held.add(float(k), k)
    assert held.at(0.5) == (0.0, 0)


@pytest.mark.parametrize("offset", [3600.0, -8e6, -3.0])
def test_odometry_of_another_clock_counts_from_its_arrival(offset: float) -> None:
    clock = StampClock()
    assert [clock.time(now + offset, now) for now in (10.0, 11.0, 12.0)] == [10.0, 11.0, 12.0]
    assert not clock.agrees


def test_odometry_of_this_clock_counts_from_its_stamp_but_for_one_that_is_far_off() -> None:
    clock = StampClock()
    stamps = [10.0, 10.1, 3e8, 10.3, 0.0, 10.5]
    times = [clock.time(stamp, 10.05 + k / 10) for k, stamp in enumerate(stamps)]
    assert times == pytest.approx([10.0, 10.1, 10.25, 10.3, 10.45, 10.5])
    assert clock.agrees


def test_a_camera_that_dies_in_mid_episode_is_news_within_a_second_and_spoils_completeness() -> (
    None
):
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    now = 0.0
    for number in range(20):
        now = 0.1 * number
        recording.frame(now, now, number)
        assert recording.watch(now + 0.05) == ""
    assert recording.watch(now + 0.7) == ""
    assert recording.watch(now + 0.85) == ""
    assert "sent nothing for 0.9 s" in recording.watch(now + 0.9)
    assert recording.watch(now + 1.5) == ""
    recording.frame(now + 3.0, now + 3.0, "back")
    assert "is back" in recording.watch(now + 3.0)
    recording.save()
    assert sink.finished[0][2] is False
    assert sink.finished[0][1].lost > 0
    recording.ended(1)
    assert recording.watch(now + 9.0) == ""
    recording.start(LEFT, now + 9.0)
    recording.frame(now + 9.1, now + 9.1, "next episode")
    recording.save()
    assert sink.finished[1][2] is True


def test_frames_that_waited_while_the_recorder_was_held_up_are_no_silence() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    recording.frame(0.1, 0.1, "before")
    assert recording.watch(2.0) == ""
    recording.frame(1.9, 2.0, "had waited")
    assert recording.watch(2.05) == ""
    recording.save()
    assert sink.finished[0][2] is True


def test_a_slow_camera_is_not_silent_between_its_frames() -> None:
    recording, sink = every_frame()
    recording.start(LEFT, 0.0)
    for number in range(10):
        recording.frame(1.0 * number, 1.0 * number, number)
        if number > 2:
            assert recording.watch(1.0 * number + 0.99) == ""
    recording.save()
    assert sink.finished[0][2] is True
