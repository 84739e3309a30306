"""Collects episodes: camera, keyboard and recorder in one command, run in a terminal.

    ros2 launch mobile_vla_ros record.launch.py plan:=collection.yaml directory:=~/episodes

The keyboard is read from the terminal that this runs in. Started where there is none (a service,
a script), camera and recorder run all the same, and teleop_node can be started in another place.
"""

import os
import runpy
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobile_vla_ros.fastdds import image_room
from mobile_vla_ros.launching import camera_info_topic, check_sections, check_typed

SHARE = Path(__file__).resolve().parents[1]
NOT_GIVEN = "(as in the parameter files)"

# launch argument -> type of the parameter of the same name
RECORDER = {
    "directory": str,
    "plan": str,
    "scenario": str,
    "instruction": str,
    "mode": str,
    "rate": float,
    "episode_length": int,
    "image_format": str,
    "image_transport": str,
    "stamp_source": str,
    "camera_height": float,
    "camera_tilt": float,
    "field_of_view": float,
    "exposure_mode": str,
    "use_sim_time": bool,
}
TELEOP = {
    "linear_speed": float,
    "angular_speed": float,
    "held_keys": bool,
    "strafe": bool,
    "stamped": bool,
    "use_sim_time": bool,
}
CAMERA = {
    "source": str,
    "camera_height": float,
    "camera_tilt": float,
    "field_of_view": float,
    "use_sim_time": bool,
}
ARGUMENTS = (
    ("directory", NOT_GIVEN, "folder for the episodes"),
    ("plan", NOT_GIVEN, "collection plan (YAML) with targets and instructions"),
    ("scenario", NOT_GIVEN, "what is recorded, e.g. 1box_left; else what the plan proposes"),
    ("instruction", NOT_GIVEN, "what the robot is told; else what the plan says"),
    ("mode", NOT_GIVEN, "rate, frame or key_press"),
    ("rate", NOT_GIVEN, "rows per second in mode rate"),
    ("episode_length", NOT_GIVEN, "rows after which an episode saves itself; 0 = until saved"),
    ("image_format", NOT_GIVEN, "raw or jpeg"),
    ("image_transport", NOT_GIVEN, "raw or compressed"),
    ("stamp_source", NOT_GIVEN, "header or receipt"),
    ("camera_height", NOT_GIVEN, "metres from the floor to the lens, kept in every episode"),
    ("camera_tilt", NOT_GIVEN, "degrees that the camera looks down, kept in every episode"),
    ("field_of_view", NOT_GIVEN, "degrees that the camera sees across, kept in every episode"),
    ("exposure_mode", NOT_GIVEN, "auto, fixed or locked, kept in every episode"),
    ("source", NOT_GIVEN, "what the camera node opens: number, device, file, pipeline"),
    ("linear_speed", NOT_GIVEN, "m/s of the driving keys at first"),
    ("angular_speed", NOT_GIVEN, "rad/s of the turning keys at first"),
    ("held_keys", NOT_GIVEN, "true: keys are held down instead of pressed"),
    ("strafe", NOT_GIVEN, "false: the base cannot move sideways"),
    ("stamped", NOT_GIVEN, "true: TwistStamped instead of Twist"),
    ("use_sim_time", NOT_GIVEN, "true: /clock is the time of the images"),
    ("camera", "true", "false: something else publishes the images"),
    ("teleop", "true", "false: something else publishes cmd_vel"),
    ("operator", "false", "true: serve the operator's page"),
    ("operator_host", NOT_GIVEN, "address the page listens on; 0.0.0.0 needs a token"),
    ("operator_port", NOT_GIVEN, "TCP port of the page"),
    ("operator_token_file", NOT_GIVEN, "file with the token that a page must show"),
    ("operator_params", str(SHARE / "config" / "operator.yaml"), "parameters of the page's node"),
    ("gamepad", "false", "true: drive with a gamepad at this machine, without a browser"),
    ("image_topic", "camera/image_raw", "sensor_msgs/Image topic (without /compressed)"),
    ("cmd_vel_topic", "cmd_vel", "the commands that are recorded"),
    ("teleop_topic", "", "where the keyboard's commands go; '' = cmd_vel_topic"),
    ("odom_topic", "odom", "nav_msgs/Odometry topic"),
    ("recorder_params", str(SHARE / "config" / "recorder.yaml"), "of recorder and camera"),
    ("teleop_params", str(SHARE / "config" / "teleop.yaml"), "of the keyboard"),
    ("namespace", "", "keeps two robots on one network apart"),
)
# An episode in progress is finished before the recorder ends.
FINISH_SECONDS = "20"


def check(context: LaunchContext) -> None:
    names = [name for name, _, _ in ARGUMENTS]
    kinds = {**RECORDER, **TELEOP, "camera": bool, "teleop": bool}
    kinds |= {"operator": bool, "gamepad": bool, "operator_port": int}
    files = ("recorder_params", "teleop_params", "operator_params")
    check_typed(__file__, sys.argv, names, kinds, files=files)
    namespace = LaunchConfiguration("namespace").perform(context)
    for argument, nodes in (
        ("recorder_params", ("episode_recorder", "camera")),
        ("teleop_params", ("teleop",)),
    ):
        path = LaunchConfiguration(argument).perform(context)
        check_sections(argument, path, nodes, namespace)


def parameters(context: LaunchContext, kinds: dict) -> dict:
    """Those that were given; value_type keeps 'off' and '1' the texts that they are."""
    return {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in kinds.items()
        if LaunchConfiguration(name).perform(context) != NOT_GIVEN
    }


def is_true(context: LaunchContext, name: str) -> bool:
    value = LaunchConfiguration(name).perform(context).strip().lower()
    if value not in ("true", "false", "1", "0"):
        raise ValueError(f"launch argument {name} is '{value}': use true or false")
    return value in ("true", "1")


def room_for_images(context: LaunchContext) -> list:
    """Fast DDS profiles with a segment that holds camera images, unless the user has their own."""
    room = image_room(SHARE, os.environ)
    return [SetEnvironmentVariable(name, value) for name, value in room.items()]


def recorder(context: LaunchContext) -> list:
    return [
        Node(
            package="mobile_vla_ros",
            executable="recorder_node",
            name="episode_recorder",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("recorder_params"), parameters(context, RECORDER)],
            remappings=[
                ("image", LaunchConfiguration("image_topic")),
                ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
                ("odom", LaunchConfiguration("odom_topic")),
            ],
            output="screen",
            sigterm_timeout=FINISH_SECONDS,
            sigkill_timeout=FINISH_SECONDS,
            on_exit=Shutdown(reason="the recorder has ended"),
        )
    ]


def camera(context: LaunchContext) -> list:
    if not is_true(context, "camera"):
        return []
    return [
        Node(
            package="mobile_vla_ros",
            executable="camera_node",
            name="camera",
            namespace=LaunchConfiguration("namespace"),
            parameters=[LaunchConfiguration("recorder_params"), parameters(context, CAMERA)],
            remappings=[
                ("image", LaunchConfiguration("image_topic")),
                ("camera_info", camera_info_topic(context.launch_configurations["image_topic"])),
            ],
            output="screen",
            respawn=True,
            respawn_delay=2.0,
        )
    ]


def teleop(context: LaunchContext) -> list:
    if not is_true(context, "teleop"):
        return []
    topic = LaunchConfiguration("teleop_topic").perform(context)
    node = Node(
        package="mobile_vla_ros",
        executable="teleop_node",
        name="teleop",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("teleop_params"), parameters(context, TELEOP)],
        remappings=[("cmd_vel", topic or LaunchConfiguration("cmd_vel_topic"))],
        output="screen",
    )

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown:
            return []
        if event.returncode == 0:
            return [Shutdown(reason="the keyboard has ended")]
        return [
            LogInfo(
                msg="there is no keyboard here; camera and recorder go on. In a terminal:"
                " ros2 run mobile_vla_ros teleop_node"
            )
        ]

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def operator(context: LaunchContext) -> list:
    """The page; its stick speaks to the guard where teleop_topic names one, else to the base."""
    if not is_true(context, "operator"):
        return []
    text = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    settings: dict = {"guard": bool(text["teleop_topic"])}
    kinds = {"operator_host": str, "operator_port": int, "operator_token_file": str}
    kinds |= {"plan": str, "image_transport": str, "stamped": bool}
    for name, value in parameters(context, kinds).items():
        settings[name.removeprefix("operator_")] = value
    start = runpy.run_path(str(SHARE / "launch" / "operator.launch.py"))["operator"]
    places = ("namespace", "image_topic", "cmd_vel_topic")
    return start(
        text["operator_params"],
        settings,
        *(text[name] for name in places),
        text["teleop_topic"] or "teleop_cmd_vel",
    )


def gamepad(context: LaunchContext) -> list:
    if not is_true(context, "gamepad"):
        return []
    text = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    settings = {"guard": bool(text["teleop_topic"]), **parameters(context, {"stamped": bool})}
    start = runpy.run_path(str(SHARE / "launch" / "operator.launch.py"))["gamepad"]
    return start(
        text["operator_params"],
        settings,
        text["namespace"],
        text["cmd_vel_topic"],
        text["teleop_topic"] or "teleop_cmd_vel",
    )


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=check),
            OpaqueFunction(function=room_for_images),
            OpaqueFunction(function=recorder),
            OpaqueFunction(function=camera),
            OpaqueFunction(function=teleop),
            OpaqueFunction(function=operator),
            OpaqueFunction(function=gamepad),
        ]
    )
