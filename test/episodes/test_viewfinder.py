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


def test_one_unreadable_frame_keeps_no_episode_from_beginning_and_three_in_a_row_do() -> None:
    finder = seeing()
    assert finder.refuse("the image carries 17 bytes")
    assert not finder.refuse("the image carries 18 bytes")
    finder.begin(100.1)
    finder.refuse("the image carries 19 bytes")
    with pytest.raises(RecordingError, match="the image carries 19 bytes"):
        finder.begin(100.1)
    finder.see(Sight(100.1, 100.12, 9216, FORM))
    finder.begin(100.2)


def test_a_camera_that_never_sent_a_readable_frame_is_named_for_that() -> None:
    finder = Viewfinder("/image")
    finder.refuse("the compressed image is empty")
    with pytest.raises(RecordingError, match="the compressed image is empty"):
        finder.begin(100.0)


def test_with_two_publishers_no_episode_begins_and_one_that_runs_ends() -> None:
    finder = seeing()
    finder.begin(100.1)
    assert finder.changed() == ""
    finder.publishers = 2
    assert finder.changed() == "2 nodes publish /image in mid-episode"
    with pytest.raises(RecordingError, match="2 nodes publish /image: record one camera"):
        finder.begin(100.1)


def test_frames_of_two_cameras_in_turns_are_told_from_a_camera_that_was_replaced() -> None:
    finder = Viewfinder("/image")
    for k in range(4):
        finder.see(Sight(100.0 + k, 100.0 + k, 9216, FORM, ("front", "rear")[k % 2]))
    with pytest.raises(RecordingError, match="'front' and 'rear' come in turns on /image"):
        finder.begin(103.1)
    for k in range(4):
        finder.see(Sight(104.0 + k, 104.0 + k, 9216, FORM, "rear"))
    finder.begin(107.1)
    finder.see(Sight(107.2, 107.2, 9216, FORM, "front"))
    assert "frame_id changed from 'rear' to 'front'" in finder.changed()


def test_a_camera_that_numbers_its_frames_in_the_frame_id_is_one_camera() -> None:
    finder = Viewfinder("/image")
    for k in range(10):
        finder.see(Sight(100.0 + k / 10, 100.0 + k / 10, 9216, FORM, str(k)))
    finder.begin(101.0)
    finder.see(Sight(101.1, 101.1, 9216, FORM, "10"))
    assert finder.changed() == ""


def test_a_clock_that_is_set_back_in_mid_episode_is_a_change_and_an_overtaken_frame_is_none() -> (
    None
):
    finder = seeing()
    finder.begin(100.1)
    finder.see(Sight(99.9, 99.9, 9216, FORM))
    assert finder.changed() == ""
    finder.see(Sight(69.9, 69.9, 9216, FORM))
    assert finder.changed() == "the clock was set back by 30.0 s in mid-episode"


def test_what_was_seen_before_the_clock_was_set_counts_in_the_new_time() -> None:
    finder = seeing()
    finder.shift(-30.0)
    assert finder.begin(70.1).stamp == pytest.approx(seeing().newest.stamp - 30.0)


def test_another_size_or_encoding_in_mid_episode_is_a_change_and_before_it_is_none() -> None:
    finder = seeing(form=(32, 24, "rgb8"))
    finder.see(Sight(100.1, 100.12, 9216, FORM))
    finder.begin(100.2)
    finder.see(Sight(100.3, 100.32, 9216, FORM))
    assert finder.changed() == ""
    finder.see(Sight(100.4, 100.42, 3072, (64, 48, "mono8")))
    assert "changed from (64, 48, 'rgb8') to (64, 48, 'mono8')" in finder.changed()
