"""A policy that knows the simulated field: it hears what is true and never looks at a picture."""

from __future__ import annotations

import json
import math
import threading
import time

import numpy as np
import rclpy
from nav_msgs.msg import Odometry
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import String

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.planar import odometry_of
from mobile_vla_ros.sim.expert import FieldState, expert_chunk
from mobile_vla_ros.sim.layout import Layout, sample_layout


class Truth:
    """Layout and place of the robot, from `sim/outcome` and `odom`."""

    def __init__(self) -> None:
        rclpy.init()
        node = rclpy.create_node("field_expert")
        late = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        node.create_subscription(String, "sim/outcome", self._hear_outcome, late)
        node.create_subscription(Odometry, "odom", self._hear_odometry, 5)
        self._field: tuple[str, int] | None = None
        self.layout: Layout | None = None
        self.odom = (0.0, 0.0, 0.0, 0.0, 0.0)
        threading.Thread(target=rclpy.spin, args=(node,), daemon=True).start()

    def _hear_outcome(self, message: String) -> None:
        told = json.loads(message.data)
        field = (told["scenario"], told["seed"])
        if field != self._field:
            self._field = field
            self.layout = sample_layout(*field)

    def _hear_odometry(self, message: Odometry) -> None:
        x, y, yaw, vx, _, wz = odometry_of(message)
        self.odom = (x, y, yaw, vx, wz)

    def state(self) -> FieldState:
        """Waits until the field has been heard of."""
        while self.layout is None:
            time.sleep(0.01)
        x0, y0, yaw0 = self.layout.start
        x, y, yaw, vx, wz = self.odom
        place = (
            x0 + math.cos(yaw0) * x - math.sin(yaw0) * y,
            y0 + math.sin(yaw0) * x + math.cos(yaw0) * y,
            math.remainder(yaw0 + yaw, math.tau),
        )
        return FieldState(self.layout, place, (vx, wz))


class ExpertStream:
    """Gives the scripted driver's chunk from where the robot is now."""

    feature = None
    feature_distance = math.nan

    def __init__(self, truth: Truth, max_linear: float, action_period: float) -> None:
        self._truth = truth
        self._max_linear = max_linear
        self._action_period = action_period

    def reset(self) -> None:
        pass

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        del image
        state = self._truth.state()
        velocities = expert_chunk(state, 10, self._action_period, self._max_linear)
        return ActionChunk(
            velocities=velocities,
            axes=("linear.x", "angular.z"),
            stamp=stamp,
            action_period=self._action_period,
            generation=generation,
            frames=1,
            window_stamps=(stamp,),
        )
