"""Drives: the policy's node, and with guard:=true the last gate before the base.

    ros2 launch mobile_vla_ros inference.launch.py checkpoint:=/path/to/checkpoint \
        image_topic:=camera/image_raw instruction:='go to the gray basket'
"""

import os
import runpy
import sys
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobile_vla_ros.fastdds import LINKS, image_room
from mobile_vla_ros.launching import (
    LaunchArgumentError,
    check_sections,
    check_typed,
    is_typed,
    speaks_to,
)

SHARE = Path(__file__).resolve().parents[1]
NOT_GIVEN = "(as in params_file)"
DEFAULT_FILE = str(SHARE / "config" / "inference.yaml")

# launch argument -> type of the node's parameter of the same name
PARAMETERS = {
    "checkpoint": str,
    "server": str,
    "token_file": str,
    "server_certificate": str,
    "frame_quality": int,
    "backbone": str,
    "config": str,
    "image_transport": str,
    "instruction": str,
    "enabled": bool,
    "autostart": bool,
    "device": str,
    "dtype": str,
    "runtime": str,
    "dry_run": bool,
    "blind": bool,
    "exclusive": bool,
    "stamped": bool,
    "use_sim_time": bool,
}
ARGUMENTS = (
    ("checkpoint", NOT_GIVEN, "RoboVLMs .pt, Lightning .ckpt, a converted directory, or demo"),
    ("server", NOT_GIVEN, "a policy elsewhere in place of checkpoint: wss://gpu-box:8765"),
    ("token_file", NOT_GIVEN, "file with the server's token"),
    ("server_certificate", NOT_GIVEN, "CA file that the server's certificate is checked by"),
    ("frame_quality", NOT_GIVEN, "JPEG quality of frames for the server; 0 = lossless"),
    ("backbone", NOT_GIVEN, "Kosmos-2 directory; not needed by a converted directory"),
    ("config", NOT_GIVEN, "run JSON, when the one inside the checkpoint is not the right one"),
    ("params_file", DEFAULT_FILE, "parameters of the nodes"),
    ("image_topic", "camera/image_raw", "sensor_msgs/Image topic (without /compressed)"),
    ("image_transport", NOT_GIVEN, "raw or compressed"),
    ("link", "wired", "wifi: between robot and station packets get lost"),
    ("cmd_vel_topic", "cmd_vel", "where the base listens"),
    ("instruction", NOT_GIVEN, "what to do, in words; it does not move without"),
    ("enabled", NOT_GIVEN, "true, or false: wait for ~/enable"),
    ("autostart", NOT_GIVEN, "false: somebody else configures and activates the node"),
    ("guard", "false", "true: put cmd_vel_guard between the policy and the base"),
    ("device", NOT_GIVEN, "auto, cpu, cuda, cuda:1 ..."),
    ("dtype", NOT_GIVEN, "auto, float32, bfloat16, int8"),
    ("runtime", NOT_GIVEN, "auto, torch, or onnx (a directory of 'mobile_vla convert --onnx')"),
    ("dry_run", NOT_GIVEN, "true: predict and publish ~/chunk, but no velocities"),
    ("blind", NOT_GIVEN, "true: the log names no checkpoint"),
    ("exclusive", NOT_GIVEN, "true: do not drive while another publishes on cmd_vel"),
    ("stamped", NOT_GIVEN, "true: TwistStamped instead of Twist"),
    ("namespace", "", "keeps two robots on one network apart"),
    ("use_sim_time", NOT_GIVEN, "true: /clock is the time of the images"),
    ("operator", "false", "true: serve the operator's page"),
    ("operator_host", NOT_GIVEN, "address the page listens on; 0.0.0.0 needs a token"),
    ("operator_port", NOT_GIVEN, "TCP port of the page"),
    ("operator_token_file", NOT_GIVEN, "file with the token that a page must show"),
    ("operator_params", str(SHARE / "config" / "operator.yaml"), "parameters of the page's node"),
    ("gamepad", "false", "true: drive with a gamepad at this machine, without a browser"),
    ("rviz", "false", "true: open RViz on what the robot sees, plans and drives"),
)
# Launch arguments that are no parameters, and no texts.
SWITCHES = {"guard": bool, "rviz": bool, "operator": bool, "gamepad": bool}
SWITCHES |= {"operator_port": int}
# Launch arguments that decide which section of params_file is read.
CHECKED = ("params_file", "guard", "namespace")
# Exit statuses after which starting again would change nothing.
UNUSABLE = 2
DELIBERATE = (0, UNUSABLE)
RESPAWN_DELAY = 1.0
# Frames that a lossy link may have to send again; the node still takes the newest of them.
WIFI_DEPTH = 5


def check(context: LaunchContext) -> None:
    names = [name for name, _, _ in ARGUMENTS]
    kinds = {**PARAMETERS, **SWITCHES}
    check_typed(__file__, sys.argv, names, kinds, files=("params_file", "operator_params"))
    if is_typed(__file__, sys.argv):
        check_policy(context)
    check_params_file(context, others=not is_typed(__file__, sys.argv))


def check_policy(context: LaunchContext) -> None:
    """Refuses a launch that says nowhere which policy drives."""
    named = any(given(context, name) for name in ("checkpoint", "server"))
    own_file = LaunchConfiguration("params_file").perform(context) != DEFAULT_FILE
    if not named and not own_file:
        raise LaunchArgumentError(
            "no policy is named: give checkpoint:=PATH (demo: the bundled one), or server:=ADDRESS"
            " for a policy elsewhere"
        )


def check_params_file(context: LaunchContext, *more: str, others: bool = False) -> None:
    """Refuses a params_file that none of the nodes (these and `more`) reads."""
    # Whoever includes this file may ask before its arguments are declared.
    defaults = {name: default for name, default, _ in ARGUMENTS}
    value = {name: context.launch_configurations.get(name, defaults[name]) for name in CHECKED}
    nodes = ["mobile_vla", *more]
    if value["guard"].strip().lower() == "true":
        nodes.append("cmd_vel_guard")
    check_sections("params_file", value["params_file"], nodes, value["namespace"], others)


def given(context: LaunchContext, name: str) -> str | None:
    value = LaunchConfiguration(name).perform(context)
    return None if value == NOT_GIVEN else value


def inference(context: LaunchContext, **changed) -> list:
    """The node, and what is to happen when it ends."""
    parameters = {}
    for name, kind in PARAMETERS.items():
        value = given(context, name)
        if value is None:
            continue
        # value_type keeps 'off', '1' and 'go: left' the texts that they are.
        parameters[name] = (
            is_true(name, value) if kind is bool else ParameterValue(value, value_type=kind)
        )
    if chosen_link(context) == "wifi":
        parameters["image_depth"] = WIFI_DEPTH
    parameters.update(changed)
    guarded = is_true("guard", LaunchConfiguration("guard").perform(context))
    if guarded:
        # The guard tells a command that a link has held up by its stamp.
        parameters["stamped"] = True
    node = Node(
        package="mobile_vla_ros",
        executable="inference_node",
        name="mobile_vla",
        namespace=LaunchConfiguration("namespace"),
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=[
            ("image", LaunchConfiguration("image_topic")),
            ("cmd_vel", "policy_cmd_vel" if guarded else LaunchConfiguration("cmd_vel_topic")),
        ],
        output="screen",
        # Its last zeros take well under a second; the worker may be deaf to anything but SIGKILL.
        sigterm_timeout="4",
        sigkill_timeout="4",
    )

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown:
            return []
        if event.returncode in DELIBERATE:
            return [Shutdown(reason="the inference node has ended")]
        message = (
            f"inference_node ended with status {event.returncode}; it starts again, disabled:"
            " call ~/enable when the robot may move"
        )
        again = TimerAction(
            period=RESPAWN_DELAY,
            actions=[OpaqueFunction(function=inference, kwargs={"enabled": False})],
        )
        return [LogInfo(msg=message), again]

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def guard(context: LaunchContext) -> list:
    if not is_true("guard", LaunchConfiguration("guard").perform(context)):
        return []
    parameters = {}
    for name in ("stamped", "use_sim_time"):
        value = given(context, name)
        if value is not None:
            parameters[name] = is_true(name, value)
    # It refuses a file that has nothing for it.
    path, namespace = (
        LaunchConfiguration(name).perform(context) for name in ("params_file", "namespace")
    )
    files, said = [LaunchConfiguration("params_file")], []
    if not speaks_to(path, "cmd_vel_guard", namespace):
        files = []
        said = [LogInfo(msg=f"{path} has no section for cmd_vel_guard: it has its defaults")]
    node = Node(
        package="mobile_vla_ros",
        executable="cmd_vel_guard",
        name="cmd_vel_guard",
        namespace=LaunchConfiguration("namespace"),
        parameters=[*files, parameters],
        remappings=[("cmd_vel", LaunchConfiguration("cmd_vel_topic"))],
        output="screen",
        respawn=True,
        respawn_delay=RESPAWN_DELAY,
    )

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown or event.returncode != UNUSABLE:
            return []
        return [Shutdown(reason="the guard cannot work with what it was given")]

    return [*said, node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def operator(context: LaunchContext) -> list:
    if not is_true("operator", LaunchConfiguration("operator").perform(context)):
        return []
    guarded = is_true("guard", LaunchConfiguration("guard").perform(context))
    parameters: dict = {"guard": guarded}
    for name, kind in (("host", str), ("port", int), ("token_file", str)):
        if given(context, f"operator_{name}") is not None:
            place = LaunchConfiguration(f"operator_{name}")
            parameters[name] = ParameterValue(place, value_type=kind)
    stamped, transport = given(context, "stamped"), given(context, "image_transport")
    if stamped is not None:
        parameters["stamped"] = is_true("stamped", stamped)
    if transport is not None:
        parameters["image_transport"] = ParameterValue(transport, value_type=str)
    start = runpy.run_path(str(SHARE / "launch" / "operator.launch.py"))["operator"]
    names = ("namespace", "image_topic", "cmd_vel_topic")
    return start(
        LaunchConfiguration("operator_params").perform(context),
        parameters,
        *(LaunchConfiguration(name).perform(context) for name in names),
        "teleop_cmd_vel",
    )


def gamepad(context: LaunchContext) -> list:
    if not is_true("gamepad", LaunchConfiguration("gamepad").perform(context)):
        return []
    parameters = {"guard": is_true("guard", LaunchConfiguration("guard").perform(context))}
    stamped = given(context, "stamped")
    if stamped is not None:
        parameters["stamped"] = is_true("stamped", stamped)
    start = runpy.run_path(str(SHARE / "launch" / "operator.launch.py"))["gamepad"]
    names = ("namespace", "cmd_vel_topic")
    return start(
        LaunchConfiguration("operator_params").perform(context),
        parameters,
        *(LaunchConfiguration(name).perform(context) for name in names),
        "teleop_cmd_vel",
    )


def rviz(context: LaunchContext) -> list:
    if not is_true("rviz", LaunchConfiguration("rviz").perform(context)):
        return []
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError:
        raise ValueError("rviz:=true needs RViz: sudo apt install ros-$ROS_DISTRO-rviz2") from None
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            name="rviz",
            namespace=LaunchConfiguration("namespace"),
            arguments=["-d", str(SHARE / "config" / "mobile_vla.rviz")],
            remappings=[("camera/image_raw", LaunchConfiguration("image_topic"))],
            output="log",
        )
    ]


def room_for_images(context: LaunchContext) -> list:
    """Fast DDS profiles with room for images and for this link, unless the user has their own."""
    room = image_room(SHARE, os.environ, chosen_link(context))
    return [SetEnvironmentVariable(name, value) for name, value in room.items()]


def chosen_link(context: LaunchContext) -> str:
    link = LaunchConfiguration("link").perform(context)
    if link not in LINKS:
        raise LaunchArgumentError(f"launch argument link is '{link}': use {' or '.join(LINKS)}")
    return link


def is_true(name: str, value: str) -> bool:
    if value.strip().lower() not in ("true", "false"):
        raise ValueError(f"launch argument {name} is '{value}': use true or false")
    return value.strip().lower() == "true"


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=check),
            # One function, so that a bad argument is found before any process is started.
            OpaqueFunction(
                function=lambda context: [
                    *room_for_images(context),
                    *guard(context),
                    *inference(context),
                    *rviz(context),
                    *operator(context),
                    *gamepad(context),
                ]
            ),
        ]
    )
