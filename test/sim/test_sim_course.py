import pytest

from mobile_vla_ros.sim.course import Course, CourseError
from mobile_vla_ros.sim.outcome import Outcome

PLAN = [("1box_left", 1), ("1box_right", 2)]
RUNNING = Outcome("running", False, 0.0, 0.0, 1.0, 2.0, 0.0, ())
REACHED = Outcome("reached", True, 9.0, 3.0, 0.1, 0.37, 0.0, ("left",))
POSE = (0.0, 0.0, 0.0)
WAITS = "waiting_for_instruction"


def test_each_field_is_set_up_told_watched_and_noted() -> None:
    course = Course(PLAN)
    assert course.update(0.0, "warming_up", RUNNING, POSE).field is None
    assert course.update(0.1, WAITS, RUNNING, POSE).field == PLAN[0]
    assert course.update(0.5, WAITS, RUNNING, POSE).say is None
    order = course.update(1.2, WAITS, RUNNING, POSE)
    assert order.begin
    assert order.say.endswith("on the left")
    assert course.update(2.0, "driving", RUNNING, POSE).say is None
    assert course.update(9.0, "driving", REACHED, POSE).say == ""
    assert course.runs[0].outcome is REACHED
    # Still driving under the old instruction: the next field waits until it is cleared.
    assert course.update(9.1, "driving", REACHED, POSE).field is None
    assert course.update(9.2, WAITS, REACHED, POSE).field == PLAN[1]
    assert course.update(10.3, WAITS, RUNNING, POSE).say.endswith("on the right")
    course.update(19.0, "driving", REACHED, POSE)
    assert course.update(19.1, WAITS, REACHED, POSE).done
    assert [(run.scenario, run.seed) for run in course.runs] == PLAN
    assert len(course.runs[0].path) == 2


def test_an_instruction_that_was_not_heard_is_said_again() -> None:
    course = Course(PLAN)
    course.update(0.0, WAITS, RUNNING, POSE)
    assert course.update(1.1, WAITS, RUNNING, POSE).say
    assert course.update(2.0, WAITS, RUNNING, POSE).say is None
    assert course.update(3.2, WAITS, RUNNING, POSE).say.endswith("on the left")


def test_a_driver_that_has_arrived_elsewhere_is_not_waited_for() -> None:
    course = Course(PLAN)
    course.update(0.0, WAITS, RUNNING, POSE)
    course.update(1.1, WAITS, RUNNING, POSE)
    assert not course.update(5.0, "arrived", RUNNING, POSE).conclude
    assert not course.update(6.0, "arrived", RUNNING, POSE).conclude
    assert course.update(6.6, "arrived", RUNNING, POSE).conclude


def test_a_driver_that_never_gets_ready_ends_it_with_a_sentence() -> None:
    course = Course(PLAN, ready_timeout=10.0)
    course.update(0.0, "", RUNNING, POSE)
    with pytest.raises(CourseError, match=r"did not get ready .*never heard"):
        course.update(10.1, "", RUNNING, POSE)
