"""The ``mobile_vla`` command: one file per subcommand; each parses, calls and prints."""

from mobile_vla_ros import interruption as _interruption

INTERRUPTED = 130
if _interruption.program_of(__name__, {"mobile_vla"}) is not None:
    _interruption.end_quietly(INTERRUPTED, "mobile_vla: interrupted")
