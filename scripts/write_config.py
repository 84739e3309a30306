"""Writes the parameter files of config/ from the nodes' declarations.

.venv/bin/python scripts/write_config.py
"""

from __future__ import annotations

# program (a file of mobile_vla_ros/nodes) -> the name its node has
PROGRAMS = {
    "inference_node": "mobile_vla",
    "cmd_vel_guard": "cmd_vel_guard",
    "camera_node": "camera",
    "recorder_node": "episode_recorder",
    "teleop_node": "teleop",
    "trial_node": "trial_manager",
    "sim_node": "sim",
    "replay_node": "replay",
    "pattern_node": "pattern",
    "session_node": "recording_session",
}
