from __future__ import annotations

import pytest

from mobile_vla_ros.episodes.recording import RecordingError
from mobile_vla_ros.episodes.viewfinder import Sight, Viewfinder

FORM = (64, 48, "rgb8")


def seeing(stamp: float = 100.0, received: float = 100.02, form=FORM) -> Viewfinder:
    finder = Viewfinder("/image")
    finder.see(Sight(stamp, received, 9216, form))
    return finder


def test_an_episode_begins_with_a_fresh_readable_frame_of_this_clock() -> None:
    assert seeing().begin(100.1).form == FORM


def test_without_a_camera_or_with_one_that_has_stopped_none_begins() -> None:
    with pytest.raises(RecordingError, match="no image has arrived on /image"):
        Viewfinder("/image").begin(100.0)
    with pytest.raises(RecordingError, match=r"came 2\.0 s ago: is the camera running"):
        seeing().begin(102.02)


@pytest.mark.parametrize(("stamp", "behind"), [(97.0, "3.02"), (100.5, "-0.48")])
def test_with_a_camera_on_another_clock_none_begins(stamp: float, behind: str) -> None:
    with pytest.raises(RecordingError, match=f"{behind} s behind this machine's clock"):
        seeing(stamp).begin(100.1)


def test_frames_that_cannot_be_read_are_named_once_until_one_can_be() -> None:
    finder = seeing()
    assert finder.refuse("the image is 0x0")
    assert not finder.refuse("the image is 0x0")
    with pytest.raises(RecordingError, match="the image is 0x0"):
        finder.begin(100.1)
    finder.see(Sight(100.1, 100.12, 9216, FORM))
    finder.begin(100.2)


def test_another_size_or_encoding_in_mid_episode_is_a_change_and_before_it_is_none() -> None:
    finder = seeing(form=(32, 24, "rgb8"))
    finder.see(Sight(100.1, 100.12, 9216, FORM))
    finder.begin(100.2)
    finder.see(Sight(100.3, 100.32, 9216, FORM))
    assert finder.changed() == ""
    finder.see(Sight(100.4, 100.42, 3072, (64, 48, "mono8")))
    assert "changed from (64, 48, 'rgb8') to (64, 48, 'mono8')" in finder.changed()
