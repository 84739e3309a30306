"""What recorder_node says of itself: its parameters, when they may change, its topics."""

from __future__ import annotations

from collections.abc import Iterable

from rclpy.parameter import Parameter

from mobile_vla_ros.axes import AXES, PLANAR_AXES
from mobile_vla_ros.episodes.names import check_scenario
from mobile_vla_ros.episodes.recording import IDLE, MODES, Recording
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.wiring.capture_time import STAMP_SOURCES
from mobile_vla_ros.nodes.wiring.parameters import Declared
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Topic
from mobile_vla_ros.nodes.wiring.rig import EXPOSURE_MODE, RIG_PARAMETERS

PARAMETERS = (
    Declared("directory", "~/episodes", "folder that episodes are written to; made when missing"),
    Declared(
        "scenario",
        "",
        "name of what is recorded, e.g. 1box_left; '' = what the plan proposes",
        live=True,
    ),
    Declared(
        "instruction",
        "",
        "what the robot is told in these episodes; '' = what the plan says for the scenario",
        live=True,
    ),
    Declared(
        "plan",
        "",
        "collection plan (see collection.yaml): targets and instructions, proposes what is"
        " missing; '' = none",
    ),
    Declared(
        "mode",
        "rate",
        "which frames become rows: rate = nearest to a fixed rate, frame = all of them,"
        " key_press = one at each press of a driving key (as old episodes were made)",
        options=MODES,
    ),
    Declared("rate", 10.0, "rows per second in mode rate, Hz", 0.1, 240.0),
    Declared(
        "episode_length",
        0,
        "rows after which an episode is saved by itself; 0 = until saved (18 with key_press ="
        " the length of the old episodes)",
        0,
        10_000_000,
        live=True,
    ),
    Declared("outcome", "", "written into the next saved file, e.g. success", live=True),
    Declared(
        "image_format",
        "raw",
        "raw = pixels as they came (2.8 MB per 720p frame, opened by every old script), jpeg ="
        " about a ninth of the bytes; a compressed topic is stored as it came",
        options=("raw", "jpeg"),
    ),
    Declared("jpeg_quality", 90, "of image_format jpeg", 1, 100),
    Declared(
        "action_axes",
        list(PLANAR_AXES),
        f"velocities that a row carries, in column order; of {', '.join(AXES)}",
    ),
    Declared(
        "frame_period",
        0.4,
        "spacing at which a policy trained on these episodes takes frames, s; noted in the file",
        0.001,
        60.0,
    ),
    Declared(
        "guard",
        "cmd_vel_guard",
        "name of the guard node, whose takeovers are marked in the rows; '' = none",
    ),
    Declared("odom", True, "keep odometry when the topic has some at the start of an episode"),
    Declared(
        "image_transport",
        "raw",
        "compressed = the image topic + /compressed",
        options=("raw", "compressed"),
    ),
    Declared(
        "image_reliability",
        "auto",
        "auto = as the camera offers",
        options=("auto", "reliable", "best_effort"),
    ),
    Declared(
        "stamp_source",
        "header",
        "capture time: header = the camera's stamp, receipt = when the frame arrived",
        options=STAMP_SOURCES,
    ),
    Declared("clock_offset", 0.0, "added to the camera's stamps, s", -1e9, 1e9),
    Declared("camera_id", "", "names the camera or its calibration in the file"),
    *RIG_PARAMETERS,
    EXPOSURE_MODE,
    Declared(
        "queue_frames",
        60,
        "frames that may wait for the disk; each takes an image of memory (2.8 MB at 720p)",
        2,
        10_000,
    ),
)
HEARS = (
    Topic("image", "sensor_msgs/Image", "frames; with image_transport compressed: + /compressed"),
    Topic("cmd_vel", VELOCITY, "the commands that rows carry, m/s and rad/s"),
    Topic("odom", "nav_msgs/Odometry", "kept when the topic has some at the start"),
    Topic("teleop_key", "geometry_msgs/TwistStamped", "presses of driving keys, mode key_press"),
    Topic("cmd_vel_guard/taken_over", "std_msgs/Bool", "whether a person drives"),
)
TELLS = (Topic("~/status", "std_msgs/String", "JSON: state, counts, progress, room"),)
ANSWERS = (
    Topic("~/start", "std_srvs/Trigger", "begins an episode"),
    Topic("~/save", "std_srvs/Trigger", "ends it; answers when it is safe on the disk"),
    Topic("~/discard", "std_srvs/Trigger", "ends it and removes it"),
)


def refusal(changes: Iterable[Parameter], recording: Recording) -> str:
    """Why a change of parameters cannot be accepted; '' when it can."""
    declared = {parameter.name: parameter for parameter in PARAMETERS}
    for change in changes:
        parameter = declared.get(change.name)
        if parameter is None:
            continue
        sentence = parameter.problem(change.value)
        if not parameter.live:
            sentence = f"parameter {change.name} is read at the start: restart the recorder"
        elif change.name != "outcome" and recording.state != IDLE:
            # What is in the file's head must be true of every row below it.
            sentence = (
                f"an episode of '{recording.label.scenario}' is being recorded: save or discard"
                f" it before changing {change.name}"
            )
        elif change.name == "scenario" and change.value:
            try:
                check_scenario(change.value)
            except InputError as error:
                sentence = str(error)
        if sentence:
            return sentence
    return ""
