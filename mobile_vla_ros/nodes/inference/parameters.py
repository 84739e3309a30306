"""The parameters of inference_node, in the order of `config/inference.yaml`."""

from __future__ import annotations

from mobile_vla_ros.nodes.wiring.capture_time import STAMP_SOURCES
from mobile_vla_ros.nodes.wiring.parameters import Declared

LIMITS = (
    "max_linear",
    "max_angular",
    "max_linear_accel",
    "max_linear_decel",
    "max_angular_accel",
    "max_angular_decel",
)
TIMES = (
    "control_rate",
    "image_timeout",
    "max_frame_age",
    "future_tolerance",
    "frozen_timeout",
    "chunk_timeout",
    "worker_timeout",
    "arrival_speed",
    "arrival_hold",
    "blend_time",
    "max_blind_distance",
    "max_disagreement",
)
# Each is a level of control.caution.WarningLevels, as parameter warn_<name>.
WARNINGS = ("blind_distance", "window_spacing", "disagreement", "feature_distance")

PARAMETERS = (
    Declared(
        "checkpoint",
        "",
        "RoboVLMs .pt, Lightning .ckpt, converted directory, or demo (the bundled one)",
    ),
    Declared("backbone", "", "Kosmos-2 directory; '' = the one that the run file names"),
    Declared("config", "", "run JSON; '' = the one inside the checkpoint"),
    Declared("device", "auto", "auto = a GPU when there is one; or cpu, cuda, cuda:1 ..."),
    Declared("dtype", "auto", "auto, float32, bfloat16, or int8 (small memory)"),
    Declared(
        "runtime", "auto", "auto, torch, or onnx (a directory of `mobile_vla convert --onnx`)"
    ),
    Declared(
        "instruction",
        "",
        "what to do, in words; it does not move without. ~/instruction sets it too",
        live=True,
    ),
    Declared(
        "strict_instructions",
        False,
        "true = refuse an instruction that the policy was not trained with; false = only warn",
    ),
    Declared("enabled", True, "false = wait for ~/enable", live=True),
    Declared(
        "server", "", "a policy elsewhere, such as wss://gpu-box:8765, instead of checkpoint"
    ),
    Declared("token_file", "", "file with the server's token"),
    Declared("server_certificate", "", "CA file that the server's certificate is checked by"),
    Declared("frame_quality", 90, "JPEG quality of frames for the server; 0 = lossless", 0, 100),
    Declared("autostart", True, "false = somebody else configures and activates the node"),
    Declared("blind", False, "true = the log names no checkpoint, as a blind trial needs"),
    Declared("dry_run", False, "true = predict and publish ~/chunk, but no velocities at all"),
    Declared(
        "exclusive",
        False,
        "true = refuse to drive while another node publishes on cmd_vel; false = only warn",
    ),
    Declared("control_rate", 20.0, "velocities per second, Hz", 1.0, 200.0),
    Declared(
        "frame_period",
        0.0,
        "s between the frames of the window; 0 = from the run file, else 0.4",
        0.0,
        10.0,
    ),
    Declared(
        "action_period",
        0.0,
        "s between the steps of a chunk; 0 = from the run file, else 0.4",
        0.0,
        10.0,
    ),
    Declared(
        "action_axes",
        [""],
        "twist fields of the outputs, such as [linear.x, angular.z]; [''] = from the run file,"
        " else those two",
    ),
    Declared("base_frame", "base_link", "frame of velocities, chunks and plans"),
    Declared("stamped", False, "true = TwistStamped instead of Twist"),
    Declared(
        "image_transport",
        "raw",
        "compressed = the image topic + /compressed",
        options=("raw", "compressed"),
    ),
    Declared(
        "image_reliability",
        "auto",
        "auto = as the publisher offers",
        options=("auto", "reliable", "best_effort"),
    ),
    Declared(
        "image_depth",
        1,
        "images that may wait; 1 = the newest only, 5 over a network that loses packets",
        1,
        30,
    ),
    Declared(
        "stamp_source",
        "header",
        "capture time: header = the image's stamp, receipt = its arrival",
        options=STAMP_SOURCES,
    ),
    Declared(
        "clock_offset",
        0.0,
        "s added to header stamps, for a camera whose clock is known to differ",
        -3600.0,
        3600.0,
    ),
    Declared(
        "max_linear",
        0.3,
        "m/s; all axes are scaled together, so the path keeps its shape",
        0.0,
        10.0,
        live=True,
    ),
    Declared("max_angular", 1.0, "rad/s", 0.0, 20.0, live=True),
    Declared("max_linear_accel", 0.5, "m/s^2", 0.01, 50.0, live=True),
    Declared(
        "max_linear_decel",
        1.0,
        "m/s^2, of soft stops (arrived, instruction cleared)",
        0.01,
        50.0,
        live=True,
    ),
    Declared("max_angular_accel", 2.0, "rad/s^2", 0.01, 100.0, live=True),
    Declared("max_angular_decel", 4.0, "rad/s^2, of soft stops", 0.01, 100.0, live=True),
    Declared(
        "image_timeout",
        0.25,
        "s without a frame that stop the robot (a camera of less than 5 Hz needs more)",
        0.01,
        60.0,
    ),
    Declared(
        "max_frame_age", 0.5, "s from capture to arrival; older frames are a fault", 0.01, 60.0
    ),
    Declared("future_tolerance", 0.02, "s that a stamp may be ahead of our clock", 0.0, 10.0),
    Declared(
        "frozen_timeout",
        1.0,
        "s of unchanged pixels that are a fault; 0 = off (a film, a noiseless simulation)",
        0.0,
        600.0,
    ),
    Declared(
        "chunk_timeout",
        0.8,
        "s after capture for which a chunk may drive (its horizon if less)",
        0.01,
        60.0,
    ),
    Declared(
        "max_gap",
        0.0,
        "s between two frames that empty the window; 0 = twice frame_period",
        0.0,
        60.0,
    ),
    Declared(
        "worker_timeout",
        1.0,
        "s for the model's answer to a frame; ten times that for its first",
        0.05,
        600.0,
    ),
    Declared(
        "arrival_speed",
        0.05,
        "m/s and rad/s on every axis below which the policy means to stand",
        0.0,
        10.0,
    ),
    Declared("arrival_hold", 2.0, "s below arrival_speed that are an arrival", 0.0, 600.0),
    Declared("blend_time", 0.1, "s of fading from one chunk to the next; 0 = none", 0.0, 5.0),
    Declared(
        "max_blind_distance",
        0.0,
        "m that may be driven on one frame; slows down to keep it; 0 = off",
        0.0,
        100.0,
    ),
    Declared(
        "max_disagreement",
        0.0,
        "m/s and rad/s (RMS) by which consecutive plans may differ; slows down beyond; 0 = off",
        0.0,
        100.0,
    ),
    Declared(
        "warn_blind_distance",
        0.5,
        "m driven on one frame that are a warning in /diagnostics; 0 = off",
        0.0,
        100.0,
    ),
    Declared(
        "warn_window_spacing",
        0.25,
        "share of frame_period by which window frames may be off before a warning; 0 = off",
        0.0,
        10.0,
    ),
    Declared(
        "warn_disagreement",
        0.3,
        "m/s and rad/s (RMS) between consecutive plans that are a warning; 0 = off",
        0.0,
        100.0,
    ),
    Declared(
        "warn_feature_distance",
        1.35,
        "distance of 5 s of pictures from training, in its spreads, that is a warning; 0 = off",
        0.0,
        1000.0,
    ),
)
