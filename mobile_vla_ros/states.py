"""The words of ``~/state``: what the robot does, or why it stands; and those of ``~/event``."""

from __future__ import annotations

UNCONFIGURED = "unconfigured"
WARMING_UP = "warming_up"
WAITING_FOR_CAMERA = "waiting_for_camera"
WAITING_FOR_INSTRUCTION = "waiting_for_instruction"
DISABLED = "disabled"
DRIVING = "driving"
ARRIVED = "arrived"
STATES = (
    UNCONFIGURED,
    WARMING_UP,
    WAITING_FOR_CAMERA,
    WAITING_FOR_INSTRUCTION,
    DISABLED,
    DRIVING,
    ARRIVED,
)
"""Every state that is no stop."""
STOPPED = "stopped: "
"""A stop's state is this with one of ``REASONS`` behind it."""

CAMERA_SILENT = "camera silent"
CAMERA_FROZEN = "camera frozen"
FRAME_TOO_OLD = "frame too old"
CLOCK_JUMPED = "clock jumped"
CHUNK_USED_UP = "chunk used up"
MODEL_TOO_SLOW = "model too slow"
MODEL_HUNG = "model hung"
MODEL_FAILED = "model failed"
BAD_OUTPUT = "bad output"
STOP_SERVICE = "stop service"
TAKEN_OVER = "taken over"
TWO_CAMERAS = "two cameras"
UNREADABLE = "unreadable pictures"
SERVER_LOST = "server lost"
SERVER_REFUSED = "server refused"

REASONS = (
    CAMERA_SILENT,
    CAMERA_FROZEN,
    FRAME_TOO_OLD,
    CLOCK_JUMPED,
    CHUNK_USED_UP,
    MODEL_TOO_SLOW,
    MODEL_HUNG,
    MODEL_FAILED,
    BAD_OUTPUT,
    STOP_SERVICE,
    TAKEN_OVER,
    TWO_CAMERAS,
    UNREADABLE,
    SERVER_LOST,
    SERVER_REFUSED,
)
"""Every reason that may follow ``stopped: ``."""

RESET_EVENT = "reset"
STOP_EVENT = "stop"
MARK_EVENT = "mark"
INSTRUCTION_EVENT = "instruction: "
"""On ``~/event`` before an instruction that was given, perhaps the same once more."""
ENABLED_EVENT = "enabled: "
"""Before True or False."""
WORKER_EVENT = "worker restarted: "
"""Before the reason why the model's process was started anew."""
