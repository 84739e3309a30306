"""A camera with room for its images in Fast DDS.

ros2 launch mobile_vla_ros camera.launch.py source:=/dev/v4l/by-id/usb-...-video-index0
"""

import os
import sys
from pathlib import Path

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobile_vla_ros.fastdds import LINKS, image_room
from mobile_vla_ros.launching import (
    LaunchArgumentError,
    camera_info_topic,
    check_sections,
    check_typed,
)

SHARE = Path(__file__).resolve().parents[1]
NOT_GIVEN = "(as in params_file)"
ARGUMENTS = (
    ("source", NOT_GIVEN, "device, file or GStreamer pipeline; see config/camera.yaml"),
    ("params_file", str(SHARE / "config" / "camera.yaml"), "parameters of the node"),
    ("image_topic", "camera/image_raw", "where the images go"),
    ("policy_image_topic", "camera/policy_image", "where the small picture goes, if any"),
    ("link", "wired", "wifi: to a station elsewhere, over a network that loses packets"),
    ("namespace", "", "keeps two robots on one network apart"),
)


def camera(context) -> list:
    check_typed(__file__, sys.argv, [name for name, _, _ in ARGUMENTS], files=("params_file",))
    given = {
        name: LaunchConfiguration(name).perform(context) for name in ("params_file", "namespace")
    }
    check_sections("params_file", given["params_file"], ("camera",), given["namespace"])
    parameters = [LaunchConfiguration("params_file")]
    source = LaunchConfiguration("source").perform(context)
    if source != NOT_GIVEN:
        parameters.append({"source": ParameterValue(source, value_type=str)})
    link = LaunchConfiguration("link").perform(context)
    if link not in LINKS:
        raise LaunchArgumentError(f"launch argument link is '{link}': use {' or '.join(LINKS)}")
    room = image_room(SHARE, os.environ, link)
    small = f"{context.launch_configurations['policy_image_topic']}/compressed"
    actions = [SetEnvironmentVariable(name, value) for name, value in room.items()]
    actions.append(
        Node(
            package="mobile_vla_ros",
            executable="camera_node",
            name="camera",
            namespace=LaunchConfiguration("namespace"),
            parameters=parameters,
            remappings=[
                ("image", LaunchConfiguration("image_topic")),
                ("policy_image/compressed", small),
                ("camera_info", camera_info_topic(context.launch_configurations["image_topic"])),
            ],
            output="screen",
            respawn=True,
            respawn_delay=2.0,
        )
    )
    return actions


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=camera),
        ]
    )
