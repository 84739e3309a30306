"""From chunks to commands: plain Python and numpy, time is a parameter everywhere."""

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.diagnostics import DriveDiagnostics, blind_distance
from mobile_vla_ros.control.guard import CommandGuard, GuardCommand, GuardSettings
from mobile_vla_ros.control.limiter import Limits, VelocityLimiter
from mobile_vla_ros.control.pilot import Command, Pilot, PilotSettings
from mobile_vla_ros.control.schedule import ChunkSchedule
from mobile_vla_ros.control.window import FrameWindow
from mobile_vla_ros.planar import integrate

__all__ = [
    "AXES",
    "ActionChunk",
    "ChunkSchedule",
    "Command",
    "CommandGuard",
    "DriveDiagnostics",
    "FrameWindow",
    "GuardCommand",
    "GuardSettings",
    "Limits",
    "Pilot",
    "PilotSettings",
    "VelocityLimiter",
    "blind_distance",
    "integrate",
]
