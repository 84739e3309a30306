"""From chunks to commands: plain Python and numpy, time is a parameter everywhere."""

from mobile_vla_ros.control.chunk import AXES, ActionChunk
from mobile_vla_ros.control.limiter import Limits, VelocityLimiter
from mobile_vla_ros.control.path import integrate
from mobile_vla_ros.control.pilot import Command, Pilot, PilotSettings
from mobile_vla_ros.control.schedule import ChunkSchedule
from mobile_vla_ros.control.window import FrameWindow

__all__ = [
    "AXES",
    "ActionChunk",
    "ChunkSchedule",
    "Command",
    "FrameWindow",
    "Limits",
    "Pilot",
    "PilotSettings",
    "VelocityLimiter",
    "integrate",
]
