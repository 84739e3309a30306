"""A camera's numbers: read from ROS's calibration file, or from what it sees across."""

from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.nodes.camera.calibration import (
    CalibrationError,
    model_of_view,
    read_calibration,
)
from mobile_vla_ros.rig import Rig

GOOD = """
image_width: 640
image_height: 360
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [400.0, 0, 320, 0, 410.0, 180, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
"""


def test_a_calibration_file_is_read_and_scaled_to_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(GOOD)
    model = read_calibration(path)
    assert model.source == "calibrated"
    assert (model.k[0, 0], model.d[1], model.p[1, 1]) == (400, -0.2, 410)
    half = model.sized(320, 180)
    assert (half.k[0, 0], half.k[1, 2], half.p[0, 2]) == (200, 90, 160)
    assert np.array_equal(half.d, model.d)
    with pytest.raises(CalibrationError, match="640x360, the frames are 640x480"):
        model.sized(640, 480)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is no YAML"),
        ("- 1", "is no YAML of a camera"),
        ("image_width: 640", "no image_width and image_height"),
        (GOOD.replace("data: [400.0, 0, 320,", "data: ["), "no usable camera_matrix"),
        (GOOD.replace("400.0", "0.0"), "no focal length"),
        (GOOD.replace("400.0", ".nan"), "camera_matrix is not finite"),
    ],
)
def test_what_is_wrong_with_a_calibration_is_said(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(CalibrationError, match=words):
        read_calibration(path)
    with pytest.raises(CalibrationError, match="cannot read the calibration"):
        read_calibration(tmp_path / "none.yaml")


def test_a_view_gives_a_nominal_lens_and_nothing_gives_zeros() -> None:
    nominal = model_of_view(Rig(width=640, height=360, field_of_view=90.0))
    assert nominal.source == "nominal"
    assert (nominal.k[0, 0], nominal.k[1, 2]) == pytest.approx((320.0, 180.0))
    unknown = model_of_view(Rig(width=640, height=360))
    assert (unknown.source, unknown.distortion_model) == ("unknown", "")
    assert not unknown.k.any()
