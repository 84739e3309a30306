"""Starting ROS in a process: arguments it does not understand, a log folder it cannot write."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions

from mobile_vla_ros.errors import InputError

# Where rcl keeps its logs: the first of these that is set, and the folder below it.
_LOG_FOLDERS = (("ROS_LOG_DIR", ""), ("ROS_HOME", "log"), ("HOME", ".ros/log"))


class MiddlewareError(InputError):
    """ROS does not start with these arguments or in this environment."""


def initialise(ros_arguments: list[str]) -> None:
    """`rclpy.init` that leaves the signals alone: whoever says last words needs the context.

    Args:
        ros_arguments: what stands after ``--ros-args``.

    Raises:
        MiddlewareError: an argument, a parameter file or the environment cannot be used.
    """
    _make_room_for_logs()
    try:
        rclpy.init(
            args=["--ros-args", *ros_arguments], signal_handler_options=SignalHandlerOptions.NO
        )
    except RuntimeError as error:  # the base of all that rcl and rclpy raise here
        # What follows is where in rcl's own source it was noticed.
        sentence = " ".join(str(error).split()).partition(", at /")[0]
        raise MiddlewareError(f"ROS cannot start: {sentence}") from error


def _make_room_for_logs() -> None:
    """Points ROS at another log folder where its own cannot be written, and says so."""
    folder = None
    for name, below in _LOG_FOLDERS:
        if os.environ.get(name):
            folder = Path(os.environ[name]).expanduser() / below
            break
    if folder is not None and _can_write(folder):
        return
    import tempfile

    os.environ["ROS_LOG_DIR"] = tempfile.mkdtemp(prefix="ros_log_")
    why = f"{folder} cannot be written" if folder else "HOME is not set"
    print(f"{why}: ROS's logs go to {os.environ['ROS_LOG_DIR']}", file=sys.stderr)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)
