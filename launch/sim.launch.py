"""A robot in the simulated field, driven by a policy.

    ros2 launch mobile_vla_ros sim.launch.py checkpoint:=demo scenario:=2box_left

With episodes:=30 it evaluates the policy on thirty fields, through the same nodes and topics as a
robot's, writes report:=result.json and plot:=paths.png, and ends. Arguments of
inference.launch.py (device, dtype, guard, ...) may be given too.
"""

import runpy
import sys
from pathlib import Path

from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    IncludeLaunchDescription,
    OpaqueFunction,
    RegisterEventHandler,
    Shutdown,
)
from launch.event_handlers import OnProcessExit
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mobile_vla_ros.bundled import for_field
from mobile_vla_ros.launching import check_typed_with_inference

SHARE = Path(__file__).resolve().parents[1]
NOT_GIVEN = "(as in params_file)"

# launch argument -> type, default, meaning; each is a parameter of sim_node of the same name
PARAMETERS = {
    "scenario": (str, "1box_left", "1box_left, 1box_right, 2box_left, 2box_right, several with ,"),
    "field": (str, "lab", "lab: boxes and a bottle; open: things, people, see tier and target"),
    "tier": (str, "easy", "of the open field: easy, medium or hard, several with ,"),
    "target": (str, "", "of the open field: what to drive to ('grey basket'), or 'stop'"),
    "seed": (int, "0", "decides where things stand and how they look"),
    "camera_rate": (float, "10.0", "frames/s"),
    "width": (int, "640", "pixels"),
    "height": (int, "360", "pixels"),
    "shadows": (bool, "false", "shadow maps: slow without a graphics card"),
    "window": (bool, "false", "show the field in a window; needs a display"),
    "latency": (float, "0.0", "seconds by which frames come late, as a slow model's answers"),
    "real_time_factor": (float, "1.0", "simulated seconds per second"),
    "episodes": (int, "0", "evaluate on so many fields, then end; 0 = drive one field"),
    "report": (str, "", "JSON file for the evaluation's result"),
    "plot": (str, "", "figure of the evaluation's paths from above"),
}


def check(context: LaunchContext) -> None:
    inference = runpy.run_path(str(SHARE / "launch" / "inference.launch.py"))
    check_typed_with_inference(__file__, sys.argv, PARAMETERS, inference)
    # The field itself takes its parameters from launch arguments alone.
    inference["check_params_file"](context)
    given = context.launch_configurations
    if "checkpoint" in given:
        own = for_field(given["checkpoint"], open_field=given.get("field") == "open")
        given["checkpoint"] = str(own)


def field(context: LaunchContext) -> list:
    """The simulated field; it tells whoever drives the scenario's own instruction."""
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=kind)
        for name, (kind, _, _) in PARAMETERS.items()
    }
    sim_time = context.launch_configurations.get("use_sim_time", NOT_GIVEN).lower()
    parameters["publish_clock"] = sim_time in ("true", "1")
    instruction = context.launch_configurations.get("instruction", NOT_GIVEN)
    parameters["announce"] = instruction == NOT_GIVEN
    node = Node(
        package="mobile_vla_ros",
        executable="sim_node",
        name="sim",
        namespace=LaunchConfiguration("namespace"),
        parameters=[parameters],
        remappings=[
            ("image", LaunchConfiguration("image_topic")),
            ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
            ("state", "mobile_vla/state"),
            ("instruction", "mobile_vla/instruction"),
            ("policy_reset", "mobile_vla/reset"),
        ],
        output="screen",
    )

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown:
            return []
        return [Shutdown(reason=f"the field has ended with status {event.returncode}")]

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def generate_launch_description() -> LaunchDescription:
    inference = IncludeLaunchDescription(
        PythonLaunchDescriptionSource(str(SHARE / "launch" / "inference.launch.py")),
        # What has no default must be handed on by name; the others are taken as they are.
        launch_arguments=[("checkpoint", LaunchConfiguration("checkpoint"))],
    )
    return LaunchDescription(
        [
            *(
                DeclareLaunchArgument(name, default_value=default, description=meaning)
                for name, (_, default, meaning) in PARAMETERS.items()
            ),
            DeclareLaunchArgument(
                "checkpoint", description="policy that drives; demo: the bundled one of the field"
            ),
            # Before any process is started.
            OpaqueFunction(function=check),
            inference,
            OpaqueFunction(function=field),
        ]
    )
