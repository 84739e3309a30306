"""From chunks to commands: plain Python and numpy, time is a parameter everywhere."""

from mobile_vla_ros.control.chunk import AXES, ActionChunk
from mobile_vla_ros.control.path import integrate
from mobile_vla_ros.control.window import FrameWindow

__all__ = ["AXES", "ActionChunk", "FrameWindow", "integrate"]
