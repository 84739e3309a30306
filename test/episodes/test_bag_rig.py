"""Where the camera stood, as far as a bag says it: lens, height, tilt; what it does not say."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore
from test_export_mcap import RIG, episode

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.export_mcap import export_mcap
from mobile_vla_ros.episodes.import_bag import import_bag
from mobile_vla_ros.planar import optical_turn
from mobile_vla_ros.rig import Rig, rig_of

STORE = get_typestore(Stores.ROS2_JAZZY)
T = STORE.types
FRAME = "front_optical_frame"
LEVEL = (0.0, 0.0, 0.0, 1.0)
Link = tuple[str, str, tuple[float, float, float], tuple[float, ...]]


def header(frame: str, row: int = 0) -> Any:
    return T["std_msgs/msg/Header"](
        T["builtin_interfaces/msg/Time"](1_700_000_000 + row, 0), frame
    )


def info(focal: float, model: str = "plumb_bob", width: int = 64) -> Any:
    k = np.array([focal, 0, width / 2, 0, focal, 24, 0, 0, 1], np.float64)
    region = T["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    p = np.insert(k.reshape(3, 3), 3, 0, axis=1).ravel()
    return T["sensor_msgs/msg/CameraInfo"](
        header(FRAME), 48, width, model, np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, region
    )


def transforms(*links: Link) -> Any:
    return T["tf2_msgs/msg/TFMessage"](
        [
            T["geometry_msgs/msg/TransformStamped"](
                header(parent),
                child,
                T["geometry_msgs/msg/Transform"](
                    T["geometry_msgs/msg/Vector3"](*place),
                    T["geometry_msgs/msg/Quaternion"](*turn),
                ),
            )
            for parent, child, place, turn in links
        ]
    )


def bag(path: Path, *said: tuple[str, str, Any], frame: str = FRAME) -> Path:
    """Three pictures with commands, and what else is said at the beginning."""
    zero = T["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:

        def write(row: float, topic: str, kind: str, message: Any) -> None:
            connection = next(
                (c for c in writer.connections if c.topic == topic), None
            ) or writer.add_connection(topic, kind, typestore=STORE)
            when = round((1_700_000_000 + row) * 1e9)
            writer.write(connection, when, STORE.serialize_cdr(message, kind))

        for topic, kind, message in said:
            write(0.0, topic, kind, message)
        for row in range(3):
            write(
                row,
                "/cmd_vel",
                "geometry_msgs/msg/Twist",
                T["geometry_msgs/msg/Twist"](zero, zero),
            )
            pixels = np.full(48 * 64 * 3, row, np.uint8)
            picture = T["sensor_msgs/msg/Image"](
                header(frame, row), 48, 64, "rgb8", 0, 64 * 3, pixels
            )
            write(row + 0.01, "/front/image_raw", "sensor_msgs/msg/Image", picture)
    return path


def rig_from(path: Path, out: Path, **options: Any) -> Rig:
    result = import_bag(path, out, scenario="1box_left", instruction="go", rate=0, **options)
    with open_episode(result.path) as file:
        return rig_of(file.attributes)


def lens(focal: float = 32.0, model: str = "plumb_bob") -> tuple[str, str, Any]:
    return "/front/camera_info", "sensor_msgs/msg/CameraInfo", info(focal, model)


def stands(*links: Link, topic: str = "/tf_static") -> tuple[str, str, Any]:
    return topic, "tf2_msgs/msg/TFMessage", transforms(*links)


def test_what_was_exported_comes_back_with_its_rig(tmp_path: Path) -> None:
    export_mcap([episode(tmp_path / "a.h5")], tmp_path / "a.mcap")
    found = rig_from(tmp_path / "a.mcap", tmp_path)
    assert found == Rig("/camera/image_raw/compressed", 16, 12, 0.30, 12.0, 90.0)
    assert (RIG.mount_height, RIG.tilt, RIG.field_of_view) == (0.30, 12.0, 90.0)


def test_a_bag_without_lens_and_place_says_only_camera_and_frame_size(tmp_path: Path) -> None:
    path = bag(tmp_path / "bag")
    assert rig_from(path, tmp_path) == Rig("/front/image_raw", 64, 48)


def test_the_height_is_counted_from_the_floor_along_the_robots_own_description(
    tmp_path: Path,
) -> None:
    tilted = optical_turn(math.radians(10))
    path = bag(
        tmp_path / "bag",
        lens(),
        stands(
            ("base_footprint", "base_link", (0.0, 0.0, 0.08), LEVEL),
            ("base_link", "front_link", (0.2, 0.0, 0.25), LEVEL),
            ("front_link", FRAME, (0.01, 0.0, 0.0), tilted),
        ),
    )
    assert rig_from(path, tmp_path) == Rig("/front/image_raw", 64, 48, 0.33, 10.0, 90.0)


def test_a_height_above_no_floor_is_no_height_but_the_tilt_is_one(tmp_path: Path) -> None:
    path = bag(
        tmp_path / "bag",
        stands(
            ("base_link", "front_link", (0.2, 0.0, 0.25), LEVEL),
            ("front_link", FRAME, (0.0, 0.0, 0.0), optical_turn(0.0)),
        ),
    )
    assert rig_from(path, tmp_path) == Rig("/front/image_raw", 64, 48, tilt=0.0)


def test_pictures_named_after_the_cameras_body_say_no_tilt(tmp_path: Path) -> None:
    links = ("base_footprint", "front_link", (0.0, 0.0, 0.3), LEVEL)
    path = bag(tmp_path / "bag", stands(links), frame="front_link")
    assert rig_from(path, tmp_path) == Rig("/front/image_raw", 64, 48, 0.3)


@pytest.mark.parametrize(
    "said",
    [
        lens(0.0),
        lens(float("nan")),
        lens(32.0, "equidistant"),
        ("/rear/camera_info", "sensor_msgs/msg/CameraInfo", info(32.0)),
        stands(("base_footprint", FRAME, (0.0, 0.0, 0.3), LEVEL), topic="/other/tf_static"),
        stands(("base_footprint", FRAME, (0.0, 0.0, float("nan")), LEVEL)),
        stands((FRAME, "loop", (0.0, 0.0, 0.3), LEVEL), ("loop", FRAME, (0, 0, 0.3), LEVEL)),
    ],
)
def test_what_is_not_calibrated_not_of_this_camera_or_no_number_is_not_said(
    tmp_path: Path, said: tuple[str, str, Any]
) -> None:
    assert rig_from(bag(tmp_path / "bag", said), tmp_path) == Rig("/front/image_raw", 64, 48)


def test_what_a_person_says_goes_before_what_the_bag_says(tmp_path: Path) -> None:
    told = Rig(mount_height=0.5, exposure="fixed")
    found = rig_from(bag(tmp_path / "bag", lens()), tmp_path, rig=told)
    assert found == Rig("/front/image_raw", 64, 48, 0.5, None, 90.0, "fixed")
