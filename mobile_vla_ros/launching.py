"""What was typed after `ros2 launch`, checked before any process is started.

ROS 2 passes over an argument that no launch file declares, and `dry_runn:=true` would drive.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from mobile_vla_ros.errors import InputError

_MEANT = {int: "a whole number", float: "a number", bool: "true or false"}
_TRUTHS = ("true", "false", "1", "0")


class LaunchArgumentError(InputError):
    """A launch argument that is not declared, or whose value cannot be used."""


def check_typed(
    launch_file: str,
    command_line: Sequence[str],
    known: Collection[str],
    kinds: Mapping[str, type] | None = None,
    files: Collection[str] = (),
) -> None:
    """Refuses what a person has typed wrongly.

    Args:
        launch_file: path of the launch file that asks. When it is not on the command line, another
            one includes it, the arguments are that one's, and nothing is checked.
        command_line: of the process, `sys.argv`.
        known: names of the declared arguments.
        kinds: name -> int, float or bool, for those that are no texts.
        files: names of those that are files that must exist.

    Raises:
        LaunchArgumentError: the first fault, with what was probably meant.
    """
    if not any(Path(word).name == Path(launch_file).name for word in command_line):
        return
    for word in command_line:
        name, mark, value = word.partition(":=")
        if not mark:
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean '{near[0]}'?" if near else "--show-args lists those there are"
            raise LaunchArgumentError(f"there is no launch argument '{name}': {hint}")
        kind = (kinds or {}).get(name)
        if kind in _MEANT and not _is_a(kind, value):
            raise LaunchArgumentError(
                f"launch argument {name} is '{value}': it must be {_MEANT[kind]}"
            )
        if name in files and not Path(value).is_file():
            raise LaunchArgumentError(f"launch argument {name}: there is no file '{value}'")


def _is_a(kind: type, value: str) -> bool:
    if kind is bool:
        return value.strip().lower() in _TRUTHS
    try:
        kind(value)
    except ValueError:
        return False
    return True
