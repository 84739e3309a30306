"""A robot and a user for the recorder's tests: publishes in one process, records in another."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from geometry_msgs.msg import Twist, TwistStamped
from nav_msgs.msg import Odometry
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.nodes.wiring.image_message import compressed_message, image_message

PATIENCE = 30.0


def start_node(name: str, *parameters: str, **options: Any) -> subprocess.Popen:
    """Starts a node's process in a process group of its own."""
    arguments = [part for parameter in parameters for part in ("-p", parameter)]
    return subprocess.Popen(
        [sys.executable, "-m", f"mobile_vla_ros.nodes.{name}", "--ros-args", *arguments],
        start_new_session=True,
        **options,
    )


def end(process: subprocess.Popen, number: int = signal.SIGINT) -> int:
    """Ends a node as Ctrl-C would; kills its whole group if that does not help."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise


class Robot:
    """Publishes images, commands and odometry, and talks to the recorder."""

    def __init__(
        self,
        domain: int,
        *,
        stamped: bool = False,
        compressed: bool = False,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    ) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=domain)
        self.node = rclpy.create_node("robot", context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        kind, topic = (CompressedImage, "image/compressed") if compressed else (Image, "image")
        profile = QoSProfile(depth=30, reliability=reliability)
        self.images = self.node.create_publisher(kind, topic, profile)
        self.stamped = stamped
        self.commands = self.node.create_publisher(
            TwistStamped if stamped else Twist, "cmd_vel", profile
        )
        self.odometry = self.node.create_publisher(Odometry, "odom", profile)
        self.status: dict[str, Any] = {}
        self.statuses: list[dict[str, Any]] = []
        self.node.create_subscription(
            String,
            "episode_recorder/status",
            self._hear,
            QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL),
        )
        self.sent: dict[float, Any] = {}

    def _hear(self, message: String) -> None:
        self.status = json.loads(message.data)
        self.statuses.append(self.status)

    def now(self) -> float:
        return self.node.get_clock().now().nanoseconds * 1e-9

    def spin(self, seconds: float) -> None:
        end_time = time.monotonic() + seconds
        while (left := end_time - time.monotonic()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def wait(self, condition: Callable[[], Any], what: str) -> None:
        end_time = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end_time, f"waited in vain: {what}; {self.status}"
            self.executor.spin_once(timeout_sec=0.05)

    def wait_for_recorder(self) -> None:
        """Until it hears our images and commands, and answers."""
        self.wait(
            lambda: (
                self.images.get_subscription_count()
                and self.commands.get_subscription_count()
                and self.status
            ),
            "the recorder",
        )

    def publish_image(self, pixels: np.ndarray, *, stamp: float | None = None) -> float:
        """Publishes rgb8 pixels; returns the stamp, as the recorder will read it."""
        return self._publish(image_message(pixels), pixels, stamp)

    def publish_jpeg(self, data: bytes) -> float:
        return self._publish(compressed_message(data), data, None)

    def _publish(self, message: Any, content: Any, stamp: float | None) -> float:
        seconds = self.now() if stamp is None else stamp
        message.header.stamp.sec = int(seconds)
        message.header.stamp.nanosec = round((seconds % 1.0) * 1e9) % 1_000_000_000
        read = message.header.stamp.sec + message.header.stamp.nanosec * 1e-9
        self.images.publish(message)
        self.sent[read] = content
        return read

    def publish_frames(self, count: int, period: float = 0.02, size: tuple[int, int] = (48, 64)):
        """Publishes `count` random pictures; returns their stamps."""
        rng = np.random.default_rng(len(self.sent))
        stamps = []
        for _ in range(count):
            picture = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
            stamps.append(self.publish_image(picture))
            self.spin(period)
        return stamps

    def drive(self, forward: float, turn: float = 0.0) -> None:
        twist = Twist()
        twist.linear.x, twist.angular.z = forward, turn
        if self.stamped:
            message = TwistStamped(twist=twist)
            message.header.stamp = self.node.get_clock().now().to_msg()
            self.commands.publish(message)
        else:
            self.commands.publish(twist)

    def call(self, name: str) -> Trigger.Response:
        """Calls `~/start`, `~/save` or `~/discard`."""
        client = self.node.create_client(Trigger, f"episode_recorder/{name}")
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(Trigger.Request())
        self.wait(future.done, f"the answer of {name}")
        self.node.destroy_client(client)
        return future.result()

    def start(self) -> None:
        response = self.call("start")
        if "is the camera running" in response.message:
            # On a busy machine more than a second may have passed since the last frame.
            self.publish_frames(1)
            response = self.call("start")
        assert response.success, response.message

    def save(self) -> Path:
        response = self.call("save")
        assert response.success, response.message
        return Path(response.message.removeprefix("saved ").split(": ")[0])

    def set_parameters(self, **values: str | int) -> Any:
        client = self.node.create_client(
            SetParametersAtomically, "episode_recorder/set_parameters_atomically"
        )
        self.wait(client.service_is_ready, "the parameter service")
        parameters = []
        for name, value in values.items():
            if isinstance(value, int):
                content = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
            else:
                content = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
            parameters.append(Parameter(name=name, value=content))
        future = client.call_async(SetParametersAtomically.Request(parameters=parameters))
        self.wait(future.done, "the answer of the parameter service")
        self.node.destroy_client(client)
        return future.result().result

    def close(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self.context)
