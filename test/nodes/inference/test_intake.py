"""What is done with each message of a camera: sizes, formats, greys, and what is said of them."""

from __future__ import annotations

import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import CompressedImage, Image

from mobile_vla_ros.nodes.inference.intake import GREY_EVERY, GREY_WARNING, FrameIntake
from mobile_vla_ros.pictures import LARGEST

INFO = {"publication_sequence_number": None}


class Log:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warning(self, sentence: str, **_how) -> None:
        self.lines.append(sentence)

    error = warning


class Driver:
    """Counts what it is told."""

    def __init__(self) -> None:
        self.frames = self.unread = 0
        self.cameras = False

    def frame(self, stamp, mark, now):
        self.frames += 1

    def unreadable(self) -> None:
        self.unread += 1

    def two_cameras(self, flag: bool) -> None:
        self.cameras = flag


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def driver() -> Driver:
    return Driver()


@pytest.fixture
def intake(log, driver) -> FrameIntake:
    clock = SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=0))
    node = SimpleNamespace(get_logger=lambda: log, get_clock=lambda: clock)
    model = SimpleNamespace(replaced=0, offer=None)
    overlays = SimpleNamespace(show=lambda form, data: None)
    return FrameIntake(node, driver, model, overlays)


def raw(width: int = 8, height: int = 6, encoding: str = "rgb8", depth: int = 3) -> Image:
    size = width * height * depth
    return Image(
        width=width,
        height=height,
        step=width * depth,
        encoding=encoding,
        data=array.array("B", bytes(size)),
    )


def compressed(kind: str, colours: int = 3, suffix: str = ".jpg") -> CompressedImage:
    pixels = np.zeros((6, 8, colours), np.uint8)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    return CompressedImage(format=kind, data=array.array("B", data))


def test_a_picture_larger_than_there_is_room_for_is_refused_and_ends_nothing(
    intake, driver, log
) -> None:
    class Huge:
        """As many bytes as no camera sends, without the memory."""

        def __len__(self) -> int:
            return LARGEST + 1

    for kind in (Image, CompressedImage):
        intake.take(SimpleNamespace(header=kind().header, data=Huge()), INFO)
    assert (driver.unread, driver.frames) == (2, 0)
    assert "the image has 268435457 bytes: more than 268435456 are not read" in log.lines[0]
    assert intake.readings()["bad_images"] == 2
    intake.take(raw(), INFO)
    assert driver.frames == 1


def test_a_camera_that_changes_is_a_warning_in_diagnostics_until_it_has_changed_back(
    intake, log
) -> None:
    intake.take(raw(8, 6), INFO)
    assert intake.readings()["camera_warning"] == ""
    for _ in range(3):
        intake.take(raw(4, 6, "bgr8"), INFO)
    said = intake.readings()["camera_warning"]
    assert said.startswith("the camera changed from 8x6 rgb8 to 4x6 bgr8")
    assert log.lines == [said]
    intake.take(raw(8, 6), INFO)
    assert intake.readings()["camera_warning"] == ""


def test_a_compressed_camera_that_changes_its_format_is_a_warning_in_diagnostics(intake) -> None:
    intake.take(compressed("rgb8; jpeg compressed bgr8"), INFO)
    intake.take(compressed("rgb8; png compressed bgr8", suffix=".png"), INFO)
    said = intake.readings()["camera_warning"]
    assert "jpeg compressed bgr8 to rgb8; png compressed bgr8" in said


@pytest.mark.parametrize(
    "message", [compressed("jpeg", 1), compressed("png", 1, ".png"), raw(8, 6, "mono8", 1)]
)
def test_grey_pictures_are_a_warning_in_diagnostics(intake, message) -> None:
    for _ in range(GREY_EVERY + 1):
        intake.take(message, INFO)
    assert intake.readings()["camera_warning"] == GREY_WARNING


@pytest.mark.parametrize("cameras", [2, 3, 5])
def test_frame_ids_in_turns_are_two_cameras_however_many_there_are(
    intake, driver, cameras: int
) -> None:
    for k in range(4 * cameras):
        message = raw()
        message.header.frame_id = f"camera_{k % cameras}"
        intake.take(message, INFO)
    assert driver.cameras
