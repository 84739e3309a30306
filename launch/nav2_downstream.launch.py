"""The policy with nav2's velocity smoother and collision monitor between it and the base.

    ros2 launch mobile_vla_ros nav2_downstream.launch.py checkpoint:=/path/to/checkpoint \
        instruction:='go to the gray basket'

Needs nav2_velocity_smoother, nav2_collision_monitor and a laser scanner on `scan`. Takes the
arguments of inference.launch.py, but for cmd_vel_topic, guard and namespace.
"""

import runpy
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription, OpaqueFunction
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import LifecycleNode, Node

from mobile_vla_ros.launching import check_typed

SHARE = Path(__file__).resolve().parents[1]
PARAMETERS = str(SHARE / "config" / "nav2_downstream.yaml")
INFERENCE = str(SHARE / "launch" / "inference.launch.py")
# What this file decides itself.
DECIDED = ("cmd_vel_topic", "guard", "namespace")


def arguments() -> list[tuple[str, str, str]]:
    """Those of inference.launch.py that may be given here."""
    everything = runpy.run_path(INFERENCE)["ARGUMENTS"]
    return [entry for entry in everything if entry[0] not in DECIDED]


def check(_context: LaunchContext) -> None:
    inference = runpy.run_path(INFERENCE)
    names = [name for name, _, _ in arguments()]
    kinds = {**inference["PARAMETERS"], **inference["SWITCHES"]}
    check_typed(__file__, sys.argv, names, kinds, files=("params_file", "operator_params"))


def policy(_context: LaunchContext) -> list:
    """Included while launching: else its arguments would be listed as this file's."""
    source = PythonLaunchDescriptionSource(INFERENCE)
    given = {"cmd_vel_topic": "policy_cmd_vel"}
    return [IncludeLaunchDescription(source, launch_arguments=given.items())]


def generate_launch_description() -> LaunchDescription:
    smoother = LifecycleNode(
        package="nav2_velocity_smoother",
        executable="velocity_smoother",
        name="velocity_smoother",
        namespace="",
        parameters=[PARAMETERS],
        remappings=[("cmd_vel", "policy_cmd_vel")],
        output="screen",
    )
    monitor = LifecycleNode(
        package="nav2_collision_monitor",
        executable="collision_monitor",
        name="collision_monitor",
        namespace="",
        parameters=[PARAMETERS],
        output="screen",
    )
    # nav2's manager brings both up, and takes both down when one stops answering.
    manager = Node(
        package="nav2_lifecycle_manager",
        executable="lifecycle_manager",
        name="lifecycle_manager_base",
        parameters=[{"autostart": True, "node_names": ["velocity_smoother", "collision_monitor"]}],
        output="screen",
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=text)
                for name, default, text in arguments()
            ),
            OpaqueFunction(function=check),
            smoother,
            monitor,
            manager,
            OpaqueFunction(function=policy),
        ]
    )
