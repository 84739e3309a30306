"""Field trials: the policy behind the guard, the recorder, and the trial manager.

    ros2 launch mobile_vla_ros trial.launch.py checkpoint:=/path/to/checkpoint plan:=plan.json

The policy starts disabled; ~/start of the trial manager lets it drive, trial by trial. With
field:=sim the robot is the simulated one, every start is set up by itself, and with
unattended:=true the whole plan is driven without anybody.
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

from mobile_vla_ros.launching import check_typed_with_inference

HERE = Path(__file__).resolve().parent
SHARE = HERE.parent
# Exit status of a node that cannot work with what it was given: starting again changes nothing.
UNUSABLE = 2

# launch argument -> (type, default, description) of the trial manager's parameter
TRIAL = {
    "directory": (str, "~/trials", "trials.jsonl, episodes, incidents and starts go there"),
    "plan": (str, "", "plan of 'mobile_vla trials plan'"),
    "key": (str, "", "key file of a blind plan"),
    "scenario": (str, "", "scenario of a trial without a plan"),
    "trial_instruction": (
        str,
        "",
        "what the policy is told in a trial without a plan; '' = as instruction",
    ),
    "time_limit": (float, "60.0", "a trial longer than this has failed, s"),
    "arrival": (str, "ask", "ask = the operator judges an arrival, success = it counts"),
    "end_on_takeover": (bool, "false", "a takeover ends the trial as a failure"),
    "shadow": (bool, "false", "a person drives, the policy only watches"),
    "field": (str, "", "name of a simulated field's node, which is started too, e.g. sim"),
    "unattended": (bool, "false", "with a field: drive the whole plan without anybody"),
    "judge": (str, "", "topic of a judge; '' = the field's outcome, if there is a field"),
    "keys": (bool, "false", "read verdicts from this terminal"),
}
NOT_GIVEN = "(as in the parameter files)"
# The same of the parameters of the trial manager and of the recorder: both keep them.
RIG = {
    "camera_id": (str, NOT_GIVEN, "names the camera in episodes and incidents"),
    "camera_height": (float, NOT_GIVEN, "metres from the floor to the lens"),
    "camera_tilt": (float, NOT_GIVEN, "degrees that the camera looks down"),
    "field_of_view": (float, NOT_GIVEN, "degrees that the camera sees across"),
    "exposure_mode": (str, NOT_GIVEN, "auto, fixed or locked"),
}


def inference_launch() -> dict:
    """What stands in the inference launch file, whose arguments are passed through."""
    return runpy.run_path(str(HERE / "inference.launch.py"))


def check(context: LaunchContext) -> None:
    inference = inference_launch()
    check_typed_with_inference(__file__, sys.argv, {**TRIAL, **RIG}, inference)
    fields = [LaunchConfiguration("field").perform(context)]
    inference["check_params_file"](
        context, "episode_recorder", "trial_manager", *filter(None, fields)
    )


def stay_blind(context: LaunchContext) -> None:
    """Who has a key file drives a blind plan: his terminal must not name the checkpoints."""
    not_given = inference_launch()["NOT_GIVEN"]
    settings = context.launch_configurations
    if settings.get("key") and settings.get("blind", not_given) == not_given:
        settings["blind"] = "true"


def nodes(context: LaunchContext) -> list:
    def text(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    def value(name: str, kind: type) -> ParameterValue:
        return ParameterValue(LaunchConfiguration(name), value_type=kind)

    directory = Path(text("directory")).expanduser()
    transport = text("image_transport")
    transport = transport if transport in ("raw", "compressed") else "raw"
    parameters = {
        name.removeprefix("trial_"): value(name, kind) for name, (kind, _, _) in TRIAL.items()
    }
    rig = {
        name: value(name, kind) for name, (kind, _, _) in RIG.items() if text(name) != NOT_GIVEN
    }
    if not text("trial_instruction"):
        parameters["instruction"] = value("instruction", str)
    remappings = [
        ("image", LaunchConfiguration("image_topic")),
        ("cmd_vel", LaunchConfiguration("cmd_vel_topic")),
    ]
    common = {
        "namespace": LaunchConfiguration("namespace"),
        "remappings": remappings,
        "output": "screen",
        "respawn": True,
        "respawn_delay": 1.0,
    }
    field = []
    if text("field"):
        field = [
            Node(
                package="mobile_vla_ros",
                executable="sim_node",
                name=text("field"),
                namespace=LaunchConfiguration("namespace"),
                remappings=[*remappings, ("state", "mobile_vla/state")],
                parameters=[LaunchConfiguration("params_file")],
                output="screen",
            )
        ]
    own = [
        Node(
            package="mobile_vla_ros",
            executable="recorder_node",
            name="episode_recorder",
            parameters=[
                LaunchConfiguration("params_file"),
                {
                    "directory": str(directory / "episodes"),
                    "image_format": "jpeg",
                    "image_transport": transport,
                    **rig,
                },
            ],
            **common,
        ),
        Node(
            package="mobile_vla_ros",
            executable="trial_node",
            name="trial_manager",
            parameters=[
                LaunchConfiguration("params_file"),
                {**parameters, **rig, "image_transport": transport},
            ],
            **common,
        ),
    ]

    def ended(event, context: LaunchContext) -> list:
        if context.is_shutdown or event.returncode != UNUSABLE:
            return []
        return [Shutdown(reason="a node cannot work with what it was given")]

    handlers = [
        RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended)) for node in own
    ]
    return [*field, *own, *handlers]


def generate_launch_description() -> LaunchDescription:
    inference = inference_launch()
    changed = {
        "guard": "true",
        "enabled": "false",
        "params_file": str(SHARE / "config" / "trial.yaml"),
        "instruction": "",
    }
    arguments = [
        DeclareLaunchArgument(name, default_value=changed.get(name, default), description=text)
        for name, default, text in inference["ARGUMENTS"]
    ]
    arguments += [
        DeclareLaunchArgument(name, default_value=default, description=text)
        for name, (_, default, text) in {**TRIAL, **RIG}.items()
    ]
    return LaunchDescription(
        [
            *arguments,
            # Before any process is started.
            OpaqueFunction(function=check),
            OpaqueFunction(function=stay_blind),
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(HERE / "inference.launch.py")),
                launch_arguments=[
                    (name, LaunchConfiguration(name)) for name, _, _ in inference["ARGUMENTS"]
                ],
            ),
            OpaqueFunction(function=nodes),
        ]
    )
