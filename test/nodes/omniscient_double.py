"""A driving node that needs no camera: it counts wheel turns and knows the field by heart.

Stands in for the policy's node in tests of the field: same topics, same states.
"""

import json
import math
import sys

import rclpy
from geometry_msgs.msg import Twist
from nav_msgs.msg import Odometry
from std_msgs.msg import String

from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.planar import odometry_of
from mobile_vla_ros.sim.expert import FieldState, expert_velocities
from mobile_vla_ros.sim.layout import sample_layout


def main() -> None:
    rclpy.init()
    node = rclpy.create_node("mobile_vla")
    commands = node.create_publisher(Twist, "cmd_vel", 1)
    states = node.create_publisher(String, "mobile_vla/state", latched())
    known = {"instruction": "", "layout": None}

    def tell() -> None:
        word = "driving" if known["instruction"] else "waiting_for_instruction"
        states.publish(String(data=word))

    def heard_instruction(message: String) -> None:
        known["instruction"] = message.data
        tell()

    def heard_outcome(message: String) -> None:
        told = json.loads(message.data)
        known["layout"] = sample_layout(told["scenario"], told["seed"])

    def heard_odom(message: Odometry) -> None:
        layout = known["layout"]
        if not known["instruction"] or layout is None:
            return
        start = layout.start
        x, y, turned, vx, _, wz = odometry_of(message)
        c, s = math.cos(start[2]), math.sin(start[2])
        place = (start[0] + c * x - s * y, start[1] + s * x + c * y, start[2] + turned)
        speeds = (vx, wz)
        twist = Twist()
        twist.linear.x, twist.angular.z = expert_velocities(FieldState(layout, place, speeds))
        commands.publish(twist)

    node.create_subscription(String, "mobile_vla/instruction", heard_instruction, 10)
    node.create_subscription(String, "sim/outcome", heard_outcome, latched())
    node.create_subscription(Odometry, "odom", heard_odom, 1)
    tell()
    rclpy.spin(node)


if __name__ == "__main__":
    try:
        main()
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        sys.exit(0)
