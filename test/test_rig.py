"""The record of a camera's place: kept, read back, compared."""

import math

import pytest

from mobile_vla_ros.rig import Rig, differences, rig_of, standing_differently

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
