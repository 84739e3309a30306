"""The record of a camera's place: kept, read back, compared."""

import math
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter
from mobile_vla_ros.episodes.editing import gather
from mobile_vla_ros.rig import Rig, commonest, differences, mixed, rig_of, standing_differently
from mobile_vla_ros.trials.readiness import judge_rig

LOW = Rig("cam-1", 1280, 720, 0.30, 12.0, 90.0, "locked")


def test_what_is_written_is_what_is_read() -> None:
    assert rig_of({"rig": LOW.to_json()}) == LOW
    assert rig_of({"rig": Rig(mount_height=0.3).to_json()}) == Rig(mount_height=0.3)


def test_a_damaged_or_missing_record_is_an_unknown_rig() -> None:
    for told in ("{", "[1]", 7, None, '{"tilt": "steep", "width": -3, "mount_height": NaN}'):
        assert rig_of({"rig": told}) == Rig()
    assert rig_of({}, {"topic": "front"}) == Rig("front")


def test_another_height_and_tilt_are_said_in_one_sentence() -> None:
    high = Rig("cam-1", 1280, 720, 0.45, 12.0, 90.0, "locked")
    assert standing_differently(LOW, high) == (
        "recorded at 0.30 m and 12 degrees, this camera stands at 0.45 m and 12 degrees"
    )


def test_another_lens_or_exposure_is_a_difference() -> None:
    wide = Rig(field_of_view=120.0, exposure="auto")
    said = standing_differently(LOW, wide)
    assert said is not None
    assert "view 90 degrees against 120 degrees" in said
    assert "exposure locked against auto" in said


@pytest.mark.parametrize(
    "other",
    [
        Rig(),
        Rig("another", 640, 360, 0.31, 14.0, 92.0, "fixed"),
        Rig(mount_height=0.30),
    ],
)
def test_what_nobody_said_or_no_ruler_sees_is_no_difference(other: Rig) -> None:
    assert differences(LOW, other) == []
    assert standing_differently(LOW, other) is None


def test_frames_of_another_shape_are_a_difference() -> None:
    assert differences(LOW, Rig(width=640, height=480)) == ["frames 1280 x 720 against 640 x 480"]


def test_the_focal_length_follows_from_the_view() -> None:
    assert LOW.focal_length == pytest.approx(640)
    assert Rig(width=640).focal_length is None
    assert Rig(width=640, field_of_view=60).focal_length == pytest.approx(
        320 / math.tan(math.radians(30))
    )


def test_recordings_of_different_rigs_are_named() -> None:
    high = Rig("cam-1", 1280, 720, 0.45, 12.0, 90.0, "locked")
    assert mixed({"a.h5": LOW, "b.h5": LOW}) is None
    assert mixed({}) is None
    assert mixed({"a.h5": LOW, "b.h5": high}) == (
        "recordings of different rigs stand together: a.h5 and b.h5 differ in height 0.30 m "
        "against 0.45 m"
    )
    assert commonest([LOW, high, LOW]) == Rig("", 1280, 720, 0.30, 12.0, 90.0, "locked")
    assert commonest([]) == Rig()


def test_merge_refuses_episodes_of_different_rigs(tmp_path: Path) -> None:
    paths = []
    for name, rig in (("a", LOW), ("b", Rig("cam-1", 4, 4, 0.45, 12.0))):
        attributes = {"rig": rig.to_json()}
        path = tmp_path / f"{name}.h5"
        with EpisodeWriter(
            path, scenario="1box_left", instruction="go", attributes=attributes, flush=False
        ) as writer:
            writer.append(
                image=np.zeros((4, 4, 3), np.uint8),
                action=[0, 0, 0],
                image_stamp=0.0,
                received_stamp=0.0,
                action_stamp=0.0,
            )
            paths.append(writer.finish())
    with pytest.raises(EpisodeError, match=r"a.h5 and b.h5 differ in their rig: height 0.30 m"):
        gather(paths, tmp_path / "week")


def test_the_doctor_says_where_the_camera_stood() -> None:
    here = Rig(mount_height=0.45, tilt=12.0)
    assert judge_rig(LOW, here).level == "warning"
    assert judge_rig(LOW, here).text == (
        "recorded at 0.30 m and 12 degrees, this camera stands at 0.45 m and 12 degrees"
    )
    assert judge_rig(LOW, Rig()).level == judge_rig(Rig(), here).level == "ok"
    assert "stands alike" in judge_rig(LOW, Rig(mount_height=0.31, tilt=11.0)).text
