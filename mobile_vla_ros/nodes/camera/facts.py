"""What viewers need to know beside the pictures: the lens, where it stands, the base's outline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point32, PolygonStamped, TransformStamped
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from mobile_vla_ros.nodes.camera.calibration import (
    CalibrationError,
    CameraModel,
    model_of_view,
    read_calibration,
)
from mobile_vla_ros.nodes.wiring.parameters import Declared
from mobile_vla_ros.nodes.wiring.qos import latched, queued
from mobile_vla_ros.nodes.wiring.rig import RIG_PARAMETERS, rig_of_settings
from mobile_vla_ros.planar import optical_turn

FACT_PARAMETERS = (
    Declared(
        "calibration",
        "",
        "YAML of ROS's camera_calibration, for camera_info; '' = from field_of_view",
    ),
    *RIG_PARAMETERS,
    Declared(
        "camera_forward", 0.0, "metres from the base's centre forward to the lens", -5.0, 5.0
    ),
    Declared("base_frame", "base_link", "frame of the base, for the transform and the footprint"),
    Declared("footprint_length", 0.0, "metres of the base, back to front; 0 = not said", 0, 10),
    Declared("footprint_width", 0.0, "metres of the base, side to side; 0 = not said", 0.0, 10.0),
)


class CameraFacts:
    """Publishes `camera_info` with each picture, and once the transform and the footprint.

    Args:
        node: the camera's node.
        settings: its parameters.

    Raises:
        CalibrationError: the calibration file cannot be used.
    """

    def __init__(self, node: Node, settings: Mapping[str, Any]) -> None:
        self._node = node
        self._settings = settings
        calibration = settings["calibration"]
        self._calibrated = read_calibration(calibration) if calibration else None
        self._info: CameraInfo | None = None
        self._size = (0, 0)
        self._lens = node.create_publisher(CameraInfo, "camera_info", queued(5))
        self._outline: Any = None
        self._place: Any = None
        self._say_footprint()
        self._say_place()

    def publish(self, stamp: Time, height: int, width: int) -> None:
        """Says what the lens is, for the picture of this stamp and size."""
        if (width, height) != self._size:
            self._size = (width, height)
            self._info = self._make(width, height)
        if self._info is not None:
            self._info.header.stamp = stamp
            self._lens.publish(self._info)

    def _make(self, width: int, height: int) -> CameraInfo | None:
        try:
            model = self._model(width, height)
        except CalibrationError as error:
            self._node.get_logger().error(f"no camera_info: {error}")
            return None
        if model.source == "nominal":
            self._node.get_logger().info(
                f"camera_info is nominal, from field_of_view "
                f"{self._settings['field_of_view']:g} degrees: not a calibration"
            )
        message = CameraInfo(
            width=width,
            height=height,
            distortion_model=model.distortion_model,
            d=model.d.tolist(),
            k=model.k.ravel().tolist(),
            r=model.r.ravel().tolist(),
            p=model.p.ravel().tolist(),
        )
        message.header.frame_id = self._settings["frame_id"]
        return message

    def _model(self, width: int, height: int) -> CameraModel:
        if self._calibrated is not None:
            return self._calibrated.sized(width, height)
        return model_of_view(rig_of_settings(self._settings, "", width, height))

    def _say_footprint(self) -> None:
        length, width = (self._settings[f"footprint_{side}"] for side in ("length", "width"))
        if not (length and width):
            return
        self._outline = self._node.create_publisher(PolygonStamped, "footprint", latched())
        message = PolygonStamped()
        message.header.frame_id = self._settings["base_frame"]
        message.header.stamp = self._node.get_clock().now().to_msg()
        for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1)):
            message.polygon.points.append(Point32(x=x * length / 2, y=y * width / 2))
        self._outline.publish(message)

    def _say_place(self) -> None:
        tall = self._settings["camera_height"]
        if not tall:
            return
        try:
            from tf2_msgs.msg import TFMessage
        except ImportError:
            self._node.get_logger().warning(
                "tf2_msgs is not installed, so nobody hears where the camera stands"
            )
            return
        moved = place_of_camera(self._settings, self._node.get_clock().now().to_msg())
        self._place = self._node.create_publisher(TFMessage, "/tf_static", latched())
        self._place.publish(TFMessage(transforms=[moved]))


def place_of_camera(settings: Mapping[str, Any], stamp: Time) -> TransformStamped:
    """From the base (on the floor) to the camera's optical frame (REP-103), m and rad."""
    moved = TransformStamped(child_frame_id=settings["frame_id"])
    moved.header.frame_id = settings["base_frame"]
    moved.header.stamp = stamp
    moved.transform.translation.x = settings["camera_forward"]
    moved.transform.translation.z = settings["camera_height"]
    turn = moved.transform.rotation
    turn.x, turn.y, turn.z, turn.w = optical_turn(math.radians(settings["camera_tilt"]))
    return moved
