"""The nodes: programs on top, what they share and what belongs to each of them below."""

from pathlib import Path as _Path

from mobile_vla_ros import interruption as _interruption

# Here, because it comes before rclpy, which takes most of a node's first second.
_PROGRAMS = {path.stem for path in _Path(__file__).parent.glob("*.py")}
_program = _interruption.program_of(__name__, _PROGRAMS)
if _program is not None:
    if _program in _PROGRAMS or _program.startswith("tools."):
        _interruption.end_quietly(0)
    else:
        _interruption.leave_to_parent()
