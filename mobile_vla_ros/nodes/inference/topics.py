"""The topics and services of inference_node."""

from mobile_vla_ros.nodes.wiring.program import VELOCITY, Topic

HEARS = (
    Topic("image", "sensor_msgs/Image", "the camera; image/compressed with image_transport"),
    Topic("~/instruction", "std_msgs/String", "what to do, in words; empty: stand"),
)
TELLS = (
    Topic("cmd_vel", VELOCITY, "m/s and rad/s, at control_rate; not with dry_run"),
    Topic(
        "~/chunk",
        "trajectory_msgs/MultiDOFJointTrajectory",
        "the policy's own output, stamped when its newest frame was captured",
    ),
    Topic("~/plan", "nav_msgs/Path", "that chunk as a path in base_frame"),
    Topic("~/state", "std_msgs/String", "what it does, or why it stands; latched"),
    Topic("~/event", "std_msgs/String", "requests as they come, for incident files"),
    Topic("~/overlay/compressed", "sensor_msgs/CompressedImage", "what it sees and intends"),
    Topic("~/features", "sensor_msgs/Image", "the frame's feature, while somebody listens"),
    Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "1 Hz"),
)
ANSWERS = (
    Topic("~/enable", "std_srvs/SetBool", "whether it may drive; true ends a stop"),
    Topic("~/stop", "std_srvs/Trigger", "stops at once, until ~/enable true"),
    Topic("~/reset", "std_srvs/Trigger", "empties the window, leaves 'arrived'"),
    Topic("~/mark", "std_srvs/Trigger", "keeps the last seconds as an incident"),
)
