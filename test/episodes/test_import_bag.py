"""Bags are written here by rosbags, brought in, and compared frame by frame."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from mobile_vla_ros.episodes import EpisodeError, open_episode
from mobile_vla_ros.episodes.import_bag import BagTopics, import_bag
from mobile_vla_ros.pictures import ENCODINGS, rgb_image

STORE = get_typestore(Stores.ROS2_JAZZY)
TYPES = STORE.types
PERIOD = 1 / 30
START = 1_700_000_000.0
IMAGES = np.random.default_rng(4).integers(0, 256, (60, 24, 32, 3), dtype=np.uint8)


def stamp(seconds: float) -> Any:
    whole = int(seconds)
    return TYPES["builtin_interfaces/msg/Time"](whole, round((seconds - whole) * 1e9))


def header(seconds: float) -> Any:
    return TYPES["std_msgs/msg/Header"](stamp(seconds), "camera")


def twist(vx: float, wz: float) -> Any:
    vector = TYPES["geometry_msgs/msg/Vector3"]
    return TYPES["geometry_msgs/msg/Twist"](vector(vx, 0.0, 0.0), vector(0.0, 0.0, wz))


def odometry(seconds: float, x: float, yaw: float) -> Any:
    t = {name.rsplit("/", 1)[-1]: kind for name, kind in TYPES.items() if "geometry" in name}
    pose = t["Pose"](
        t["Point"](x, 2.0, 0.0), t["Quaternion"](0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
    )
    zeros = np.zeros(36)
    return TYPES["nav_msgs/msg/Odometry"](
        header(seconds),
        "base_link",
        t["PoseWithCovariance"](pose, zeros),
        t["TwistWithCovariance"](twist(0.3, 0.1), zeros),
    )


def raw_image(seconds: float, pixels: np.ndarray, encoding: str) -> Any:
    height, width = pixels.shape[:2]
    if encoding == "bgr8":
        pixels = pixels[..., ::-1]
    size = width * (ENCODINGS[encoding].pixel if encoding in ENCODINGS else 3)
    padded = np.zeros((height, size + 5), np.uint8)  # rows may be longer than their pixels
    padded[:, :size] = np.resize(pixels.reshape(height, -1), (height, size))
    return TYPES["sensor_msgs/msg/Image"](
        header(seconds), height, width, encoding, 0, padded.shape[1], padded.ravel()
    )


def write_bag(
    path: Path,
    plugin: StoragePlugin = StoragePlugin.MCAP,
    encoding: str = "rgb8",
    clock: float = 0.0,
    stamped: bool = False,
    second_camera: bool = False,
) -> list[bytes]:
    """60 frames at 30 per second, commands at 5 per second between them, odometry at 10."""
    compressed = encoding == "jpeg"
    kind = "sensor_msgs/msg/CompressedImage" if compressed else "sensor_msgs/msg/Image"
    command = "geometry_msgs/msg/TwistStamped" if stamped else "geometry_msgs/msg/Twist"
    messages: list[tuple[float, str, str, Any]] = []
    blobs = []
    for row, pixels in enumerate(IMAGES):
        time = START + row * PERIOD
        if compressed:
            blobs.append(cv2.imencode(".jpg", pixels[..., ::-1])[1].tobytes())
            picture = TYPES[kind](header(time), "jpeg", np.frombuffer(blobs[-1], np.uint8))
        else:
            picture = raw_image(time + clock, pixels, encoding)
        messages.append((time + 0.02, "/camera/image", kind, picture))
        if second_camera:
            messages.append((time + 0.02, "/rear/image", kind, picture))
    for number in range(10):
        time = START + number * 0.2 + 0.101
        content = twist(number / 10, -number / 20)
        if stamped:
            content = TYPES[command](header(time), content)
        messages.append((time, "/cmd_vel", command, content))
    for number in range(20):
        time = START - 0.01 + number * 0.1
        content = odometry(time, number / 10, 0.5)
        messages.append((time, "/odom", "nav_msgs/msg/Odometry", content))
    with Writer(path, version=9, storage_plugin=plugin) as writer:
        connections = {
            topic: writer.add_connection(topic, name, typestore=STORE)
            for topic, name in {(topic, name) for _, topic, name, _ in messages}
        }
        for time, topic, name, content in sorted(messages, key=lambda item: item[0]):
            writer.write(connections[topic], round(time * 1e9), STORE.serialize_cdr(content, name))
    return blobs


def bring_in(bag: Path, out: Path, **options: Any) -> Any:
    return import_bag(bag, out, **{"scenario": "1box_left", "instruction": "왼쪽", **options})


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8"])
def test_every_frame_of_a_bag_comes_in_with_the_command_in_force(
    tmp_path: Path, plugin: StoragePlugin, encoding: str
) -> None:
    write_bag(tmp_path / "bag", plugin, encoding)
    result = bring_in(tmp_path / "bag", tmp_path, rate=0)
    assert (result.frames, result.messages) == (60, 60)
    assert result.path.name.startswith("episode_2023111")
    with open_episode(result.path) as episode:
        assert np.array_equal(episode.images(slice(None)), IMAGES)
        stamps = START + np.arange(60) * PERIOD
        assert np.abs(episode.image_stamps - stamps).max() < 1e-6
        assert np.abs(episode.received_stamps - stamps - 0.02).max() < 1e-6
        commands = START + np.arange(10) * 0.2 + 0.101
        held = np.searchsorted(commands, stamps, side="right") - 1
        expected = np.where(held < 0, 0, held) / 10
        assert np.allclose(episode.velocities(["linear.x"])[:, 0], expected)
        assert np.allclose(episode.velocities(["angular.z"])[:, 0], -expected / 2)
        after = held >= 0
        assert np.allclose(episode.action_stamps[after], commands[held[after]])
        poses = np.searchsorted(START - 0.01 + np.arange(20) * 0.1, stamps, side="right") - 1
        assert np.allclose(episode.odom[:, 0], poses / 10)
        assert np.allclose(episode.odom[:, 1:6], [2.0, 0.5, 0.3, 0.0, 0.1])
        assert episode.instruction == "왼쪽"
        assert episode.camera == {"topic": "/camera/image", "encoding": encoding}
    assert "4 frames before the first command" in result.note


def test_compressed_frames_come_in_byte_for_byte(tmp_path: Path) -> None:
    blobs = write_bag(tmp_path / "bag", encoding="jpeg")
    with open_episode(bring_in(tmp_path / "bag", tmp_path, rate=0).path) as episode:
        assert [episode.jpeg(row) for row in range(60)] == blobs


def test_a_rate_takes_the_nearest_frames(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag")
    with open_episode(bring_in(tmp_path / "bag", tmp_path, rate=10).path) as episode:
        assert np.array_equal(episode.images(slice(None)), IMAGES[::3])


def test_stamped_commands_count_from_their_own_stamp(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", stamped=True)
    with open_episode(bring_in(tmp_path / "bag", tmp_path, rate=0).path) as episode:
        assert episode.velocities(["linear.x"])[-1, 0] == pytest.approx(0.9)


def test_a_camera_of_another_clock_is_placed_by_its_arrival(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", clock=-START + 5)
    result = bring_in(tmp_path / "bag", tmp_path, rate=0)
    assert "another clock" in result.note
    with open_episode(result.path) as episode:
        assert np.array_equal(episode.image_stamps, episode.received_stamps)
        assert episode.velocities(["linear.x"])[-1, 0] == pytest.approx(0.9)


def test_a_single_mcap_file_comes_in(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag")
    assert bring_in(next((tmp_path / "bag").glob("*.mcap")), tmp_path, rate=0).frames == 60


def test_of_two_cameras_one_must_be_named(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", second_camera=True)
    with pytest.raises(EpisodeError, match=r"several image topics .*--image-topic"):
        bring_in(tmp_path / "bag", tmp_path)
    topics = BagTopics(image="/rear/image")
    assert bring_in(tmp_path / "bag", tmp_path, topics=topics).topics.image == "/rear/image"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"topics": BagTopics(image="/none")}, "has no image topic /none; it has /camera/image"),
        ({"topics": BagTopics(cmd_vel="/none")}, "no command topic /none; it has /cmd_vel"),
        ({"scenario": "a b"}, "letters, digits"),
        ({"rate": -1.0}, "rate must be"),
    ],
)
def test_a_wrong_wish_is_said_and_leaves_nothing(
    tmp_path: Path, options: dict, sentence: str
) -> None:
    write_bag(tmp_path / "bag")
    with pytest.raises(EpisodeError, match=sentence):
        bring_in(tmp_path / "bag", tmp_path, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


@pytest.mark.parametrize("encoding", ["yuv422_yuy2", "mono16", "rgba16"])
def test_a_bag_comes_in_with_every_encoding_that_a_node_reads(
    tmp_path: Path, encoding: str
) -> None:
    write_bag(tmp_path / "bag", encoding=encoding)
    with open_episode(bring_in(tmp_path / "bag", tmp_path, rate=0).path) as episode:
        assert episode.images(slice(None)).shape == (60, *IMAGES.shape[1:3], 3)
        for row in (0, 59):
            message = raw_image(START, IMAGES[row], encoding)
            np.testing.assert_array_equal(episode.image(row), rgb_image(message))


def test_an_encoding_that_is_not_read_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    write_bag(tmp_path / "bag", encoding="bayer_rggb8")
    with pytest.raises(EpisodeError, match="bayer_rggb8"):
        bring_in(tmp_path / "bag", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


Message = tuple[float, str, str, Any]
IMAGE, PACKED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
TWIST, STAMPED = "geometry_msgs/msg/Twist", "geometry_msgs/msg/TwistStamped"


def frames(
    offset: float = 0.0, wrong: dict[int, float] | None = None, frame_id: str = "camera"
) -> list[Message]:
    """60 frames at 30 per second that arrive 20 ms later; some stamps can be replaced."""
    found: list[Message] = []
    for row, pixels in enumerate(IMAGES):
        time = START + row * PERIOD
        said = (wrong or {}).get(row, time + offset)
        message = raw_image(said, pixels, "rgb8")
        message.header.frame_id = frame_id
        found.append((time + 0.02, "/camera/image", IMAGE, message))
    return found


def packed(encode: Any, form: str = "jpeg") -> list[Message]:
    found: list[Message] = []
    for row, pixels in enumerate(IMAGES):
        time = START + row * PERIOD
        data = np.frombuffer(encode(row, pixels), np.uint8)
        found.append(
            (time + 0.02, "/camera/image", PACKED, TYPES[PACKED](header(time), form, data))
        )
    return found


def commands(offset: float | None = None, unset: bool = False) -> list[Message]:
    """Speeds 0.1, 0.2 ... at 5 per second; Twist, or TwistStamped on a clock ``offset`` ahead."""
    found: list[Message] = []
    for number in range(10):
        time = START + number * 0.2 - 0.11
        content = twist((number + 1) / 10, 0.0)
        kind = TWIST
        if offset is not None or unset:
            stamped = header(0.0 if unset else time + (offset or 0.0))
            kind, content = STAMPED, TYPES[STAMPED](stamped, content)
        found.append((time, "/cmd_vel", kind, content))
    return found


def poses(offset: float = 0.0) -> list[Message]:
    found: list[Message] = []
    for number in range(20):
        time = START + number * 0.1
        content = odometry(time + offset, number / 10, 0.5)
        found.append((time, "/odom", "nav_msgs/msg/Odometry", content))
    return found


def bag_of(path: Path, messages: list[Message], **options: Any) -> Path:
    with Writer(path, version=9, **{"storage_plugin": StoragePlugin.MCAP, **options}) as writer:
        connections = {
            key: writer.add_connection(*key, typestore=STORE)
            for key in sorted({(topic, kind) for _, topic, kind, _ in messages})
        }
        for time, topic, kind, content in sorted(messages, key=lambda item: item[0]):
            data = STORE.serialize_cdr(content, kind)
            writer.write(connections[topic, kind], round(time * 1e9), data)
    return path


def expected_speeds() -> np.ndarray:
    stamps = START + np.arange(60) * PERIOD
    return (np.floor((stamps - START + 0.11) / 0.2) + 1).clip(max=10) / 10


@pytest.mark.parametrize("offset", [-8_310_659.0, -30.0, -3.0, 2.0, 30.0, 3600.0, -START + 100])
@pytest.mark.parametrize("topic", ["camera", "commands", "odometry"])
def test_each_topic_is_asked_for_its_clock(tmp_path: Path, topic: str, offset: float) -> None:
    messages = (
        frames(offset if topic == "camera" else 0.0)
        + commands(offset if topic == "commands" else 0.0)
        + poses(offset if topic == "odometry" else 0.0)
    )
    result = bring_in(bag_of(tmp_path / "bag", messages), tmp_path, rate=0)
    name = {"camera": "/camera/image", "commands": "/cmd_vel", "odometry": "/odom"}[topic]
    assert f"arrival times on {name} in place of its stamps (another clock" in result.note
    assert "stamps are true" not in result.note
    with open_episode(result.path) as episode:
        assert len(episode) == 60
        assert episode.attributes["import_notes"] == result.note
        late = 0.02 if topic == "camera" else 0.0
        assert np.allclose(episode.image_stamps, START + np.arange(60) * PERIOD + late, atol=1e-5)
        speeds = episode.velocities(["linear.x"])[:, 0]
        assert np.abs(speeds - expected_speeds()).max() < 0.11
        assert (np.abs(speeds - expected_speeds()) > 1e-6).sum() <= 10
        assert episode.odom[-1, 0] == pytest.approx(1.9)
        age = episode.image_stamps - episode.odom[:, 6]
        assert age.min() > -1e-6
        assert age.max() < 0.15


def test_stamps_that_were_never_set_give_way_to_the_arrival(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", frames() + commands(unset=True))
    result = bring_in(bag, tmp_path, rate=0)
    assert "arrival times on /cmd_vel in place of its stamps (none was set)" in result.note


@pytest.mark.parametrize(
    "wrong", [{20: 2_000_000_000.0}, {0: 5.0}, {0: START + 99, 59: START - 9}]
)
def test_one_wrong_stamp_is_no_measure_for_the_next(tmp_path: Path, wrong: dict) -> None:
    bag = bag_of(tmp_path / "bag", frames(wrong=wrong) + commands())
    result = bring_in(bag, tmp_path, rate=0)
    assert f"{len(wrong)} stamps on /camera/image were off" in result.note
    with open_episode(result.path) as episode:
        assert np.allclose(episode.image_stamps, START + np.arange(60) * PERIOD, atol=1e-5)


def test_neither_stamp_nor_arrival_is_refused(tmp_path: Path) -> None:
    at_once = [(START, *message[1:]) for message in frames(-500.0)]
    with pytest.raises(EpisodeError, match=r"another clock.*arrived all at once"):
        bring_in(bag_of(tmp_path / "bag", at_once + commands()), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_a_bag_whose_commands_all_come_later_is_refused(tmp_path: Path) -> None:
    later = [(time + 60, *rest) for time, *rest in commands()]
    with pytest.raises(EpisodeError, match="no command on /cmd_vel was sent before"):
        bring_in(bag_of(tmp_path / "bag", frames() + later), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_both_types_on_one_topic_are_read(tmp_path: Path) -> None:
    both = commands()[:5] + commands(0.0)[5:]
    result = bring_in(bag_of(tmp_path / "bag", frames() + both), tmp_path, rate=0)
    with open_episode(result.path) as episode:
        assert np.allclose(episode.velocities(["linear.x"])[:, 0], expected_speeds())


def test_the_same_camera_packed_is_no_second_camera(tmp_path: Path) -> None:
    again = [
        (time, "/camera/image/compressed", *rest) for time, _, *rest in packed(lambda *_: b"x")
    ]
    result = bring_in(bag_of(tmp_path / "bag", frames() + again + commands()), tmp_path)
    assert result.topics.image == "/camera/image"


def test_two_cameras_on_one_topic_are_refused(tmp_path: Path) -> None:
    mixed = [
        (front, rear)[row % 2]
        for row, (front, rear) in enumerate(zip(frames(), frames(frame_id="rear"), strict=True))
    ]
    with pytest.raises(EpisodeError, match="two cameras publish on /camera/image"):
        bring_in(bag_of(tmp_path / "bag", mixed + commands()), tmp_path)


def test_a_camera_that_numbers_its_frames_in_the_frame_id_is_brought_in(tmp_path: Path) -> None:
    numbered = frames()
    for row, (_, _, _, message) in enumerate(numbered):
        message.header.frame_id = f"frame_{row}"
    assert bring_in(bag_of(tmp_path / "bag", numbered + commands()), tmp_path).frames > 10


def jpeg(_row: int, pixels: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", pixels)[1].tobytes()


def test_pictures_that_cannot_be_decoded_are_counted_and_left_out(tmp_path: Path) -> None:
    def some(row: int, pixels: np.ndarray) -> bytes:
        data = jpeg(row, pixels)
        return {3: b"", 10: data[:60], 11: b"no picture"}.get(row, data)

    result = bring_in(bag_of(tmp_path / "bag", packed(some) + commands()), tmp_path, rate=0)
    assert (result.frames, result.left_out) == (57, 3)
    assert "left out" in result.note
    with open_episode(result.path) as episode:
        assert episode.images(slice(None)).shape[0] == 57


@pytest.mark.parametrize(
    ("form", "encode"),
    [
        ("h264", lambda *_: b"\0\0\0\1\x67" + bytes(300)),
        ("16UC1; compressedDepth png", jpeg),
        ("jpeg", lambda *_: b""),
    ],
)
def test_a_topic_without_one_picture_is_refused(tmp_path: Path, form: str, encode: Any) -> None:
    bag = bag_of(tmp_path / "bag", packed(encode, form) + commands())
    with pytest.raises(EpisodeError, match=rf"none of the 60 pictures .*\({form}\)"):
        bring_in(bag, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["bag"]


def test_numbers_that_are_none_are_left_out(tmp_path: Path) -> None:
    messages = frames() + commands() + poses()
    for _, _, kind, content in messages:
        if "Odometry" in kind and content.pose.pose.position.x < 0.5:
            content.pose.pose.position.x = float("nan")
    messages[62][3].linear.x = float("inf")
    result = bring_in(bag_of(tmp_path / "bag", messages), tmp_path, rate=0)
    assert "1 messages on /cmd_vel are not numbers" in result.note
    assert "5 messages on /odom are not numbers" in result.note
    with open_episode(result.path) as episode:
        assert np.isfinite(episode.actions).all()


@pytest.mark.parametrize("plugin", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_bag_that_is_cut_off_comes_in_up_to_the_cut(
    tmp_path: Path, plugin: StoragePlugin, metadata: bool, share: float
) -> None:
    bag = bag_of(tmp_path / "bag", frames() + commands(), storage_plugin=plugin)
    if not metadata:
        (bag / "metadata.yaml").unlink()
    file = next(path for path in bag.iterdir() if path.suffix in (".mcap", ".db3"))
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    result = bring_in(bag, tmp_path, rate=0)
    assert 0.6 * share * 60 < result.frames <= 60
    assert f"{file.name} is cut off or damaged; read up to" in result.note
    with open_episode(result.path) as episode:
        assert np.array_equal(episode.image(-1), IMAGES[len(episode) - 1])
        assert not episode.complete


@pytest.mark.parametrize("mode", list(CompressionMode)[1:])
@pytest.mark.parametrize("metadata", [True, False])
def test_a_packed_bag_comes_in(tmp_path: Path, mode: CompressionMode, metadata: bool) -> None:
    bag = tmp_path / "bag"
    writer = Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(mode, CompressionFormat.ZSTD)
    messages = sorted(frames() + commands(), key=lambda item: item[0])
    with writer:
        connections = {
            key: writer.add_connection(*key, typestore=STORE)
            for key in sorted({(topic, kind) for _, topic, kind, _ in messages})
        }
        for time, topic, kind, content in messages:
            data = STORE.serialize_cdr(content, kind)
            writer.write(connections[topic, kind], round(time * 1e9), data)
    if not metadata:
        (bag / "metadata.yaml").unlink()
    result = bring_in(bag, tmp_path, rate=0)
    assert result.frames == 60
    assert ("metadata.yaml is missing" in result.note) == (not metadata)


def test_a_bag_in_several_files_comes_in(tmp_path: Path) -> None:
    bag = tmp_path / "bag"
    bag.mkdir()
    messages = sorted(frames() + commands(), key=lambda item: item[0])
    for number in range(12):
        part = bag_of(tmp_path / f"part_{number}", messages[number * 6 : number * 6 + 6])
        next(part.glob("*.mcap")).rename(bag / f"bag_{number}.mcap")
    result = bring_in(bag, tmp_path, rate=0)
    with open_episode(result.path) as episode:
        assert np.array_equal(episode.images(slice(None)), IMAGES)


def test_a_camera_that_changes_size_is_followed_to_the_change(tmp_path: Path) -> None:
    messages = frames()
    for row in range(40, 60):
        time, topic, kind, _ = messages[row]
        messages[row] = (time, topic, kind, raw_image(time, IMAGES[row][:12], "rgb8"))
    result = bring_in(bag_of(tmp_path / "bag", messages + commands()), tmp_path, rate=0)
    assert (result.frames, result.left_out) == (40, 20)
    assert "another size" in result.note


def test_what_is_no_bag_is_said(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "x.mcap").write_bytes(b"no bag at all")
    for path in (tmp_path / "empty", tmp_path / "x.mcap", tmp_path / "none"):
        with pytest.raises(EpisodeError, match=r"not a bag|does not exist"):
            bring_in(path, tmp_path)


def test_a_message_definition_that_was_damaged_is_not_believed(tmp_path: Path) -> None:
    bag = bag_of(tmp_path / "bag", frames() + commands(), storage_plugin=StoragePlugin.SQLITE3)
    file = next(bag.glob("*.db3"))
    data = file.read_bytes()
    assert data.count(b"uint32 height") >= 1
    file.write_bytes(data.replace(b"uint32 height", b"uint32 weight"))
    result = bring_in(bag, tmp_path, rate=0)
    with open_episode(result.path) as episode:
        assert np.array_equal(episode.images(slice(None)), IMAGES)
