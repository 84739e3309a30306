import pytest

from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.course import Course
from mobile_vla_ros.sim.live import LiveField
from mobile_vla_ros.sim.metronome import Metronome
from mobile_vla_ros.states import WAITING_FOR_INSTRUCTION

SMALL = CameraSettings(width=64, height=36)


def live(time_limit: float = 2.0, course: Course | None = None) -> LiveField:
    found = LiveField(SMALL, time_limit, course)
    found.set_up("1box_left_close", 3)
    return found


@pytest.mark.egl
def test_a_run_begins_when_the_robot_first_moves_and_can_only_then_run_out_of_time() -> None:
    field = live()
    field.advance(5.0)
    assert not field.tell()["decided"]
    field.command(0.0, 0.0, 0.0)
    field.advance(5.0)
    assert not field.tell()["decided"]
    field.command(0.05, 0.0, 0.0)
    assert not field.news
    field.advance(2.5)
    assert field.news
    assert field.tell()["reason"] == "timed out"
    assert not field.news
    field.close()


@pytest.mark.egl
def test_time_goes_on_over_fields_and_each_begins_at_its_start() -> None:
    field = live()
    field.command(0.3, 0.0, 0.0)
    field.advance(1.0)
    moved = field.odometry.x
    field.set_up("2box_right", 4)
    assert moved > 0.05
    assert field.odometry.x == pytest.approx(0.0)
    assert field.time == pytest.approx(1.0)
    assert field.tell()["scenario"] == "2box_right"
    assert field.frame().shape == (36, 64, 3)
    field.close()


@pytest.mark.egl
def test_a_course_leads_from_field_to_field() -> None:
    field = live(course=Course([("1box_right", 8)]))
    assert field.follow_course(0.0, WAITING_FOR_INSTRUCTION).field == ("1box_right", 8)
    assert field.tell()["seed"] == 8
    assert field.follow_course(1.5, WAITING_FOR_INSTRUCTION).begin
    field.advance(2.5)
    assert field.follow_course(4.0, "driving").say == ""
    assert field.follow_course(4.5, WAITING_FOR_INSTRUCTION).done
    field.close()


def test_what_repeats_keeps_its_grid_and_makes_up_for_nothing() -> None:
    beat = Metronome(0.1, 0.0)
    assert [beat.due(now) for now in (0.0, 0.05, 0.11, 0.19, 0.2)] == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert beat.due(5.0)
    assert not beat.due(4.99)
    beat.restart(5.0)
    assert not beat.due(5.05)
    assert beat.due(5.1)


@pytest.mark.egl
def test_a_field_that_asks_for_another_thing_on_the_way_says_so_once() -> None:
    field = LiveField(SMALL, 30.0)
    field.set_up("open_easy_change", 1)
    first = field.field.instruction
    asked = []
    for _ in range(60):
        vx, wz = field.field.expert(0.3)
        field.command(vx, 0.0, wz)
        field.advance(0.4)
        if field.asks_anew():
            asked.append(field.field.instruction)
    assert len(asked) == 1
    assert asked[0] != first
    assert field.tell()["instruction"] == asked[0]
    assert field.tell()["reason"] == "reached"
    field.close()
