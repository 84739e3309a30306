"""ROS 2 messages as bytes (CDR), made without ROS from plain values; rosbags knows the layouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from mobile_vla_ros.planar import quaternion_of

NANOSECONDS = 1_000_000_000
BASE_FRAME = "base_link"
ODOM_FRAME = "odom"
CAMERA_FRAME = "camera"

COMPRESSED_IMAGE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
TWIST = "geometry_msgs/msg/Twist"
TRAJECTORY = "trajectory_msgs/msg/MultiDOFJointTrajectory"
ODOMETRY = "nav_msgs/msg/Odometry"
PATH = "nav_msgs/msg/Path"
STRING = "std_msgs/msg/String"
DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"
TRANSFORMS = "tf2_msgs/msg/TFMessage"


def nanoseconds(seconds: float) -> int:
    """Whole nanoseconds of a time in seconds, never below zero."""
    return max(0, round(seconds * NANOSECONDS))


class Messages:
    """Makes messages. All times are seconds, all lengths metres, all angles radians."""

    @cached_property
    def _store(self) -> Any:
        from rosbags.typesys import Stores, get_typestore

        return get_typestore(Stores.ROS2_JAZZY)

    def definition(self, kind: str) -> str:
        """The .msg text of a type, with those of its parts behind it."""
        return self._store.generate_msgdef(kind, ros_version=2)[0]

    def image(self, stamp: float, data: bytes) -> bytes:
        """A JPEG or PNG file's bytes as a CompressedImage."""
        form = "png" if data.startswith(b"\x89PNG") else "jpeg"
        pixels = np.frombuffer(data, np.uint8)
        header = self._header(stamp, CAMERA_FRAME)
        return self._bytes(COMPRESSED_IMAGE, header, form, pixels)

    def camera_info(self, stamp: float, height: int, width: int, focal: float | None) -> bytes:
        """A pinhole camera; without a focal length (pixels) it counts as not calibrated."""
        f = focal or 0.0
        k = np.array([f, 0, width / 2, 0, f, height / 2, 0, 0, 1], np.float64)
        if not focal:
            k[:] = 0
        p = np.insert(k.reshape(3, 3), 3, 0, axis=1).ravel()
        region = self._make("sensor_msgs/msg/RegionOfInterest", 0, 0, 0, 0, False)
        return self._bytes(
            CAMERA_INFO,
            self._header(stamp, CAMERA_FRAME),
            height,
            width,
            "plumb_bob" if focal else "",
            np.zeros(5 if focal else 0, np.float64),
            k,
            np.eye(3, dtype=np.float64).ravel(),
            p,
            0,
            0,
            region,
        )

    def twist(self, velocities: Mapping[str, float]) -> bytes:
        """Velocities by axis name; axes that are not there are 0."""
        return self._encode(TWIST, self._twist(velocities))

    def odometry(self, stamp: float, row: Sequence[float]) -> bytes:
        """x, y, yaw, vx, vy, wz; the covariances are not known and stay 0."""
        x, y, yaw, vx, vy, wz = map(float, row)
        pose = self._make(
            "geometry_msgs/msg/PoseWithCovariance", self._pose(x, y, yaw), np.zeros(36)
        )
        twist = self._make(
            "geometry_msgs/msg/TwistWithCovariance",
            self._twist({"linear.x": vx, "linear.y": vy, "angular.z": wz}),
            np.zeros(36),
        )
        return self._bytes(ODOMETRY, self._header(stamp, ODOM_FRAME), BASE_FRAME, pose, twist)

    def chunk(
        self, stamp: float, velocities: np.ndarray, axes: Sequence[str], period: float
    ) -> bytes:
        """Velocities [steps, axes] as the inference node publishes its chunks."""
        points = [
            self._make(
                "trajectory_msgs/msg/MultiDOFJointTrajectoryPoint",
                [],
                [self._twist(dict(zip(axes, row, strict=True)))],
                [],
                self._duration(step * period),
            )
            for step, row in enumerate(velocities.astype(np.float64).tolist())
        ]
        return self._bytes(TRAJECTORY, self._header(stamp, BASE_FRAME), [BASE_FRAME], points)

    def path(self, stamp: float, frame: str, poses: np.ndarray, times: Sequence[float]) -> bytes:
        """Poses float [N, 3] (x, y, yaw) at N times."""
        stamped = [
            self._make(
                "geometry_msgs/msg/PoseStamped", self._header(time, frame), self._pose(*pose)
            )
            for pose, time in zip(poses.astype(np.float64).tolist(), times, strict=True)
        ]
        return self._bytes(PATH, self._header(stamp, frame), stamped)

    def text(self, words: str) -> bytes:
        """A String."""
        return self._bytes(STRING, words)

    def diagnostics(self, stamp: float, name: str, values: Mapping[str, Any]) -> bytes:
        """One status that is in order, with its values as text."""
        pairs = [
            self._make("diagnostic_msgs/msg/KeyValue", key, str(value))
            for key, value in values.items()
        ]
        status = self._make("diagnostic_msgs/msg/DiagnosticStatus", 0, name, "", "", pairs)
        return self._bytes(DIAGNOSTICS, self._header(stamp, ""), [status])

    def transform(
        self,
        stamp: float,
        parent: str,
        child: str,
        place: Sequence[float],
        turn: Sequence[float],
    ) -> bytes:
        """One transform: x, y, z, and the quaternion x, y, z, w."""
        moved = self._make(
            "geometry_msgs/msg/Transform",
            self._make("geometry_msgs/msg/Vector3", *map(float, place)),
            self._make("geometry_msgs/msg/Quaternion", *map(float, turn)),
        )
        stamped = self._make(
            "geometry_msgs/msg/TransformStamped", self._header(stamp, parent), child, moved
        )
        return self._bytes(TRANSFORMS, [stamped])

    def _make(self, kind: str, *fields: Any) -> Any:
        return self._store.types[kind](*fields)

    def _bytes(self, kind: str, *fields: Any) -> bytes:
        return self._encode(kind, self._make(kind, *fields))

    def _encode(self, kind: str, message: Any) -> bytes:
        return bytes(self._store.serialize_cdr(message, kind))

    def _time(self, seconds: float) -> Any:
        whole, rest = divmod(nanoseconds(seconds), NANOSECONDS)
        return self._make("builtin_interfaces/msg/Time", whole, rest)

    def _duration(self, seconds: float) -> Any:
        whole, rest = divmod(nanoseconds(seconds), NANOSECONDS)
        return self._make("builtin_interfaces/msg/Duration", whole, rest)

    def _header(self, seconds: float, frame: str) -> Any:
        return self._make("std_msgs/msg/Header", self._time(seconds), frame)

    def _twist(self, velocities: Mapping[str, float]) -> Any:
        linear, angular = (
            self._make(
                "geometry_msgs/msg/Vector3",
                *(float(velocities.get(f"{part}.{axis}", 0.0)) for axis in "xyz"),
            )
            for part in ("linear", "angular")
        )
        return self._make(TWIST, linear, angular)

    def _pose(self, x: float, y: float, yaw: float) -> Any:
        return self._make(
            "geometry_msgs/msg/Pose",
            self._make("geometry_msgs/msg/Point", x, y, 0.0),
            self._make("geometry_msgs/msg/Quaternion", *map(float, quaternion_of(yaw))),
        )
