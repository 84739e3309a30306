"""The operator's page: see, stop, drive, record and judge from a phone.

    python3 -c 'import secrets; print(secrets.token_hex(16))' > token
    ros2 launch mobile_vla_ros operator.launch.py host:=0.0.0.0 token_file:=$PWD/token

The other launch files start it beside their own nodes with operator:=true.
"""

import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction, RegisterEventHandler, Shutdown
from launch.event_handlers import OnProcessExit
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobile_vla_ros.launching import check_sections, check_typed

SHARE = Path(__file__).resolve().parents[1]
NOT_GIVEN = "(as in params_file)"

# launch argument -> type of the node's parameter of the same name
PARAMETERS = {
    "host": str,
    "port": int,
    "token_file": str,
    "certificate": str,
    "key": str,
    "guard": bool,
    "deadman": bool,
    "stamped": bool,
    "plan": str,
    "image_transport": str,
}
ARGUMENTS = (
    ("host", NOT_GIVEN, "address to listen on; 0.0.0.0 = every network (needs token_file)"),
    ("port", NOT_GIVEN, "TCP port of the page"),
    ("token_file", NOT_GIVEN, "file with the token that a page must show"),
    ("certificate", NOT_GIVEN, "PEM file for https"),
    ("key", NOT_GIVEN, "PEM file of the certificate's key"),
    ("guard", NOT_GIVEN, "false: there is no cmd_vel_guard; the stick speaks to the base"),
    ("deadman", NOT_GIVEN, "true: publish the common deadman too"),
    ("stamped", NOT_GIVEN, "true: TwistStamped instead of Twist"),
    ("plan", NOT_GIVEN, "collection plan whose instructions the page offers"),
    ("image_transport", NOT_GIVEN, "raw or compressed"),
    ("params_file", str(SHARE / "config" / "operator.yaml"), "parameters of the node"),
    ("image_topic", "camera/image_raw", "the camera, shown where no policy draws"),
    ("cmd_vel_topic", "cmd_vel", "where the base listens"),
    ("teleop_topic", "teleop_cmd_vel", "where the guard listens for a person"),
    ("namespace", "", "keeps two robots on one network apart"),
)
RESPAWN_DELAY = 1.0
# Exit status of a node that cannot work with what it was given.
UNUSABLE = 2


def operator(
    params_file: str,
    parameters: dict,
    namespace: str,
    image_topic: str,
    cmd_vel_topic: str,
    teleop_topic: str,
) -> list:
    """The page's node, and what is to happen when it ends."""
    check_sections("params_file", params_file, ("operator",), namespace)
    node = Node(
        package="mobile_vla_ros",
        executable="operator_node",
        name="operator",
        namespace=namespace,
        parameters=[params_file, parameters],
        remappings=[
            ("image", image_topic),
            ("cmd_vel", cmd_vel_topic),
            ("teleop_cmd_vel", teleop_topic),
        ],
        output="screen",
        emulate_tty=True,
        respawn=True,
        respawn_delay=RESPAWN_DELAY,
    )

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown or event.returncode != UNUSABLE:
            return []
        return [Shutdown(reason="the operator's page cannot work with what it was given")]

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def gamepad(params_file: str, parameters: dict, namespace: str, cmd_vel: str, teleop: str) -> list:
    """A gamepad without a browser."""
    node = Node(
        package="mobile_vla_ros",
        executable="gamepad_node",
        name="gamepad",
        namespace=namespace,
        parameters=[params_file, parameters],
        remappings=[("cmd_vel", cmd_vel), ("teleop_cmd_vel", teleop)],
        output="screen",
        respawn=True,
        respawn_delay=RESPAWN_DELAY,
    )
    return [node]


def alone(context: LaunchContext) -> list:
    names = [name for name, _, _ in ARGUMENTS]
    check_typed(__file__, sys.argv, names, PARAMETERS, files=("params_file",))
    given = {name: LaunchConfiguration(name).perform(context) for name in names}
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, kind in PARAMETERS.items()
        if given[name] != NOT_GIVEN
    }
    places = ("namespace", "image_topic", "cmd_vel_topic", "teleop_topic")
    return operator(given["params_file"], parameters, *(given[name] for name in places))


def generate_launch_description() -> LaunchDescription:
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=description)
                for name, default, description in ARGUMENTS
            ),
            OpaqueFunction(function=alone),
        ]
    )
