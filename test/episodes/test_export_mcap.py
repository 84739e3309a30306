"""Recordings as MCAP: read back by mcap's own decoder and by rosbags, message by message."""

import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode
from mobile_vla_ros.episodes.export_mcap import export_mcap
from mobile_vla_ros.episodes.incident import Incident, write_incident
from mobile_vla_ros.planar import optical_turn, yaw_of
from mobile_vla_ros.rig import Rig
from mobile_vla_ros.trials.record import TrialRecord, record_to_json

START = 1_700_000_000.25
FRAMES = np.random.default_rng(7).integers(0, 256, (9, 12, 16, 3), dtype=np.uint8)
RIG = Rig("cam", 16, 12, 0.30, 12.0, 90.0, "locked")


def episode(path: Path, **options: Any) -> Path:
    given = {"scenario": "1box_left", "instruction": "왼쪽", "odom": True, **options}
    attributes = {"rig": RIG.to_json()}
    with EpisodeWriter(path, **given, attributes=attributes, flush=False) as writer:
        for row, image in enumerate(FRAMES):
            stamp = START + row * 0.1
            writer.append(
                image=image,
                action=[row / 10, 0.25, -row / 20],
                event="stop_action" if row == 8 else "start_action" if row else "episode_start",
                image_stamp=stamp,
                received_stamp=stamp + 0.02,
                action_stamp=stamp - 0.01,
                odom=None if row < 2 else [row, 2.0, 0.5, 0.3, 0.0, -0.1, stamp + 0.005],
            )
        return writer.finish(outcome="success")


def incident(path: Path) -> Path:
    jpegs = tuple(cv2.imencode(".jpg", image)[1].tobytes() for image in FRAMES)
    times = START + np.arange(9) * 0.1
    chunks = np.random.default_rng(1).normal(0, 0.2, (9, 10, 2)).astype(np.float32)
    capsule = Incident(
        reason="stopped: camera silent",
        time=float(times[6]),
        jpegs=jpegs,
        frame_stamps=times - 0.05,
        frame_received=times,
        chunks=chunks,
        chunk_stamps=times - 0.05,
        chunk_received=times + 0.03,
        axes=("linear.x", "angular.z"),
        action_period=0.4,
        commands=np.column_stack([times + 0.01, np.full((9, 3), 0.1)]),
        odometry=np.column_stack([times, np.arange(54).reshape(9, 6) / 10]),
        events=((float(times[0]), "driving"), (float(times[6]), "stopped: camera silent")),
        feature_stamps=np.zeros(0),
        features=np.zeros((0, 0), np.float32),
        attributes={"instruction": "go", "checkpoint": "demo"},
    )
    return write_incident(path, capsule)


def by_mcap(path: Path) -> dict[str, list[Any]]:
    """(record, decoded message) by topic, by the mcap library."""
    found: dict[str, list[Any]] = {}
    with path.open("rb") as stream:
        reader = make_reader(stream, decoder_factories=[DecoderFactory()])
        for _, channel, record, message in reader.iter_decoded_messages():
            found.setdefault(channel.topic, []).append((record, message))
    return found


def by_rosbags(path: Path) -> dict[str, list[Any]]:
    """(nanoseconds, decoded message) by topic, by rosbags."""
    found: dict[str, list[Any]] = {}
    with AnyReader([path]) as reader:
        for connection, time, data in reader.messages():
            message = reader.deserialize(data, connection.msgtype)
            found.setdefault(connection.topic, []).append((time, message))
    return found


def seconds(stamp: Any) -> float:
    return stamp.sec + (getattr(stamp, "nanosec", None) or getattr(stamp, "nanosecond", 0)) * 1e-9


@pytest.mark.parametrize("read", [by_mcap, by_rosbags])
def test_an_episode_is_read_back_message_by_message(tmp_path: Path, read: Any) -> None:
    source = episode(tmp_path / "a.h5")
    result = export_mcap([source], tmp_path / "a.mcap")
    found = read(tmp_path / "a.mcap")
    assert {topic: len(messages) for topic, messages in found.items()} == result.topics
    assert result.topics == {
        "/camera/image_raw/compressed": 9,
        "/camera/camera_info": 9,
        "/cmd_vel": 9,
        "/odom": 7,
        "/tf": 7,
        "/tf_static": 1,
        "/mobile_vla/instruction": 1,
        "/events": 2,
        "/diagnostics": 1,
    }
    with open_episode(source) as recorded:
        for row, (_, message) in enumerate(found["/camera/image_raw/compressed"]):
            pixels = cv2.imdecode(np.frombuffer(bytes(message.data), np.uint8), 1)[..., ::-1]
            assert np.array_equal(pixels, recorded.image(row))
            assert message.format == "png"
            assert seconds(message.header.stamp) == pytest.approx(recorded.image_stamps[row])
        for row, (_, message) in enumerate(found["/cmd_vel"]):
            twist = [message.linear.x, message.linear.y, message.angular.z]
            assert np.allclose(twist, recorded.actions[row])
        for row, (_, message) in enumerate(found["/odom"], 2):
            turn = message.pose.pose.orientation
            assert message.pose.pose.position.x == row
            assert yaw_of(turn.x, turn.y, turn.z, turn.w) == pytest.approx(0.5)
            assert seconds(message.header.stamp) == pytest.approx(START + row * 0.1 + 0.005)
            assert (message.header.frame_id, message.child_frame_id) == ("odom", "base_link")
    assert found["/mobile_vla/instruction"][0][1].data == "왼쪽"
    assert [message.data for _, message in found["/events"]] == ["episode_start", "stop_action"]
    info = found["/camera/camera_info"][0][1]
    assert (info.width, info.height, info.k[0]) == (16, 12, pytest.approx(8.0))  # 90 degrees
    placed = found["/tf_static"][0][1].transforms[0]
    assert placed.transform.translation.z == pytest.approx(0.30)
    assert placed.child_frame_id == info.header.frame_id == "camera"


def test_messages_stand_in_the_order_and_at_the_times_they_were_heard(tmp_path: Path) -> None:
    source = episode(tmp_path / "a.h5")
    export_mcap([source], tmp_path / "a.mcap")
    found = by_mcap(tmp_path / "a.mcap")
    records = [record for record, _ in found["/camera/image_raw/compressed"]]
    heard = [round((START + row * 0.1 + 0.02) * 1e9) for row in range(9)]
    assert [record.log_time for record in records] == pytest.approx(heard, abs=1000)
    assert [record.publish_time for record in records] == pytest.approx(
        [time - 20_000_000 for time in heard], abs=1000
    )
    assert [record.sequence for record in records] == list(range(9))


@pytest.mark.parametrize("read", [by_mcap, by_rosbags])
def test_a_capsule_brings_the_plans_that_were_never_driven(tmp_path: Path, read: Any) -> None:
    source = incident(tmp_path / "incident.h5")
    export_mcap([source], tmp_path / "i.mcap")
    found = read(tmp_path / "i.mcap")
    assert len(found["/mobile_vla/chunk"]) == len(found["/mobile_vla/plan"]) == 9
    chunk, plan = found["/mobile_vla/chunk"][8][1], found["/mobile_vla/plan"][8][1]
    assert len(chunk.points) == 10
    assert seconds(chunk.points[9].time_from_start) == pytest.approx(3.6)
    assert list(chunk.joint_names) == [chunk.header.frame_id] == ["base_link"]
    assert len(plan.poses) == 11
    first = chunk.points[0].velocities[0]
    place = plan.poses[1].pose.position
    assert math.hypot(place.x, place.y) == pytest.approx(abs(first.linear.x) * 0.4, rel=0.02)
    assert [message.data for _, message in found["/events"]][-1] == "stopped: camera silent"
    assert found["/mobile_vla/instruction"][0][1].data == "go"
    status = found["/diagnostics"][0][1].status[0]
    assert {pair.key: pair.value for pair in status.values}["reason"] == "stopped: camera silent"


def test_compressed_frames_stay_byte_for_byte(tmp_path: Path) -> None:
    source = episode(tmp_path / "a.h5", image_format="jpeg")
    export_mcap([source], tmp_path / "a.mcap")
    with open_episode(source) as recorded:
        for row, (_, message) in enumerate(
            by_mcap(tmp_path / "a.mcap")["/camera/image_raw/compressed"]
        ):
            assert (bytes(message.data), message.format) == (recorded.jpeg(row), "jpeg")


def test_a_trial_is_a_path_with_what_happened_on_it(tmp_path: Path) -> None:
    record = TrialRecord(
        "t-1",
        "1box_left",
        "go left",
        "demo",
        "failure",
        cause="touched the box",
        started=START,
        ended=START + 3,
        path=((0, 0, 0, 0), (1, 0.5, 0, 0), (2, 0.5, 0.5, 1.0)),
        stops=({"reason": "stopped: camera silent", "start": 1.0, "duration": 0.5},),
    )
    export_mcap([record_to_json(record)], tmp_path / "t.mcap")
    found = by_mcap(tmp_path / "t.mcap")
    assert len(found["/odom"]) == 3
    assert [message.data for _, message in found["/events"]] == [
        "trial t-1 begins",
        "stopped: camera silent",
        "goes on",
        "failure: touched the box",
    ]
    assert len(found["/mobile_vla/driven_path"][0][1].poses) == 3


def test_several_recordings_have_topics_of_their_own(tmp_path: Path) -> None:
    sources = [episode(tmp_path / "2 b.h5"), incident(tmp_path / "incident.h5")]
    result = export_mcap(sources, tmp_path / "both.mcap")
    assert {topic.split("/")[1] for topic in result.topics} == {"r_2_b", "incident"}


def test_the_same_recordings_give_the_same_bytes(tmp_path: Path) -> None:
    source = episode(tmp_path / "a.h5")
    for name in ("x.mcap", "y.mcap"):
        export_mcap([source], tmp_path / name)
    assert (tmp_path / "x.mcap").read_bytes() == (tmp_path / "y.mcap").read_bytes()


def test_what_goes_wrong_leaves_no_file(tmp_path: Path) -> None:
    source = episode(tmp_path / "a.h5")
    (tmp_path / "broken.h5").write_bytes(source.read_bytes()[:3000])
    with pytest.raises(EpisodeError, match="truncated"):
        export_mcap([source, tmp_path / "broken.h5"], tmp_path / "x.mcap")
    with pytest.raises(EpisodeError, match=r"must end in .mcap"):
        export_mcap([source], tmp_path / "x.bag")
    (tmp_path / "y.mcap").write_bytes(b"mine")
    with pytest.raises(EpisodeError, match="is not overwritten"):
        export_mcap([source], tmp_path / "y.mcap")
    assert (tmp_path / "y.mcap").read_bytes() == b"mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "broken.h5", "y.mcap"]


def test_a_tilted_camera_looks_down_and_its_pictures_right_is_the_robots_right() -> None:
    x, y, z, w = optical_turn(math.radians(30))
    turn = np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )
    forward = [math.cos(math.radians(30)), 0, -math.sin(math.radians(30))]
    assert turn @ [0, 0, 1] == pytest.approx(forward)
    assert turn @ [1, 0, 0] == pytest.approx([0, -1, 0])
