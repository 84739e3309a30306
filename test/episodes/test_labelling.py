from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.labelling import Labelling
from mobile_vla_ros.episodes.plan import CollectionPlan, PlannedScenario
from mobile_vla_ros.episodes.recorded_row import Label
from mobile_vla_ros.episodes.recording import RecordingError
from mobile_vla_ros.errors import InputError

PLAN = CollectionPlan(
    (
        PlannedScenario("1box_left", 2, "go left", "1box_left"),
        PlannedScenario("1box_right", 2, "go right", "1box_right"),
    )
)


def test_what_a_person_sets_is_taken_and_what_is_missing_is_asked_for() -> None:
    labelling = Labelling()
    assert labelling.choose("1box_left", "go") == Label("1box_left", "go")
    with pytest.raises(RecordingError, match="set the parameter scenario first"):
        labelling.choose("", "go")
    with pytest.raises(RecordingError, match="what is the robot told in '1box_left'"):
        labelling.choose("1box_left", "")
    with pytest.raises(InputError):
        labelling.choose("a/b", "go")


def test_the_plan_proposes_what_lags_behind_until_every_target_is_reached() -> None:
    labelling = Labelling(PLAN)
    labelling.finished = {"1box_left": 1}
    assert labelling.choose("", "") == Label("1box_right", "go right")
    assert labelling.choose("1box_left", "") == Label("1box_left", "go left")
    assert labelling.choose("", "slowly") == Label("1box_right", "slowly")
    labelling.finished = {"1box_left": 2, "1box_right": 2}
    with pytest.raises(RecordingError, match="every target of the plan is reached"):
        labelling.choose("", "")
    assert labelling.proposed("", "") == Label("", "")


def test_it_tells_how_far_the_collection_is() -> None:
    labelling = Labelling(PLAN)
    labelling.finished = {"1box_left": 1, "2box_right_close": 3}
    status = labelling.status()
    assert [(entry["name"], entry["done"], entry["target"]) for entry in status["progress"]] == [
        ("1box_left", 1, 2),
        ("1box_right", 0, 2),
        ("2box_right_close", 3, 0),
    ]
    assert (status["left"], status["right"], status["next"]) == (1, 3, "1box_right")
