"""The parameters of operator_node."""

from __future__ import annotations

from mobile_vla_ros.nodes.wiring.parameters import Declared

PARAMETERS = (
    Declared("host", "127.0.0.1", "address to listen on; 0.0.0.0 = every network (needs a token)"),
    Declared("port", 8080, "TCP port of the page; 0 = any free one", 0, 65535),
    Declared("token_file", "", "file with the token that a page must show; '' = none"),
    Declared("certificate", "", "PEM file for https; '' = http"),
    Declared("key", "", "PEM file of the certificate's key; '' = it is in the same file"),
    Declared("show_code", True, "print the page's address as a QR code when it can be reached"),
    Declared("guard", True, "cmd_vel_guard is there; false = publish cmd_vel without it"),
    Declared("deadman", False, "publish the common deadman too, while the stick is held"),
    Declared("max_linear", 0.3, "m/s at the stick's end", 0.01, 5.0),
    Declared("max_angular", 1.0, "rad/s at the stick's end", 0.01, 10.0),
    Declared("stamped", False, "true = TwistStamped instead of Twist"),
    Declared("base_frame", "base_link", "header.frame_id of a TwistStamped"),
    Declared("plan", "", "collection plan (YAML) whose instructions the page offers; '' = none"),
    Declared(
        "image_transport",
        "raw",
        "of the camera, shown where no policy draws; compressed = the image topic + /compressed",
        options=("raw", "compressed"),
    ),
    Declared("policy", "mobile_vla", "name of the inference node"),
    Declared("recorder", "episode_recorder", "name of the recorder node"),
    Declared("trials", "trial_manager", "name of the trial node"),
    Declared("guard_name", "cmd_vel_guard", "name of the guard node"),
)
