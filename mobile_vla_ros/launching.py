"""What was typed after `ros2 launch`, checked before any process is started.

ROS 2 passes over an argument that no launch file declares, and `dry_runn:=true` would drive.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.parameter_files import matches, sections

_MEANT = {int: "a whole number", float: "a number", bool: "true or false"}
# Likeness of two node's names from which one is the other misspelt.
_NEAR = 0.8
_TRUTHS = ("true", "false", "1", "0")


class LaunchArgumentError(InputError):
    """A launch argument that is not declared, or whose value cannot be used."""


def parameter_value(text: str) -> str:
    """Text as the value of ``-p NAME:=VALUE``: quoted, so that YAML takes it for that text.

    Raises:
        InputError: it is not UTF-8, as a file's name may be; ROS 2 has no way to hand that on.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        shown = text.encode("utf-8", errors="backslashreplace").decode("utf-8")
        raise InputError(f"{shown} is not UTF-8, which ROS 2 needs; rename the file") from None
    return json.dumps(text, ensure_ascii=False)


def camera_info_topic(image_topic: str) -> str:
    """Where a camera's facts stand, as image_transport expects them: beside its pictures."""
    place, mark, _ = image_topic.rpartition("/")
    return f"{place}{mark}camera_info"


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
    if not is_typed(launch_file, command_line):
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


def check_typed_with_inference(
    launch_file: str,
    command_line: Sequence[str],
    own: Mapping[str, tuple[type, str, str]],
    inference: Mapping[str, Any],
) -> None:
    """`check_typed` of a launch file that passes the inference launch file's arguments through.

    Args:
        launch_file: path of the launch file that asks.
        command_line: of the process, `sys.argv`.
        own: its own arguments, name -> (kind, default, description).
        inference: what stands in the inference launch file.

    Raises:
        LaunchArgumentError: see `check_typed`.
    """
    names = [*own, *(name for name, _, _ in inference["ARGUMENTS"])]
    kinds = {name: kind for name, (kind, _, _) in own.items()}
    kinds |= {**inference["PARAMETERS"], **inference["SWITCHES"]}
    check_typed(launch_file, command_line, names, kinds, files=("params_file",))


def is_typed(launch_file: str, command_line: Sequence[str]) -> bool:
    """Whether a launch file is on the command line; else another one includes it."""
    return any(Path(word).name == Path(launch_file).name for word in command_line)


def check_sections(
    argument: str,
    path: str,
    nodes: Collection[str],
    namespace: str = "",
    others: bool = False,
) -> None:
    """Refuses a parameter file that none of the nodes would read, or with a misspelt section.

    A file may have sections for nodes of other launch files.

    Args:
        argument: launch argument that names the file.
        path: the file.
        nodes: names of the nodes that are started with it.
        namespace: theirs.
        others: whether further nodes are started with it, whose names are not known here.

    Raises:
        LaunchArgumentError: with what was probably meant.
    """
    found = _sections(argument, path)
    deaf = [node for node in nodes if not _reads(found, node, namespace)]
    if found and len(deaf) == len(nodes) and not others:
        raise LaunchArgumentError(
            f"launch argument {argument}: {path} has values for {', '.join(found)}, but for none"
            f" of the nodes that start ({', '.join(nodes)}): name a section '/**/{deaf[0]}'"
        )
    strange = [s for s in found if not any(_reads([s], node, namespace) for node in nodes)]
    for section in strange:
        near = difflib.get_close_matches(section.rpartition("/")[2], deaf, 1, _NEAR)
        if near:
            raise LaunchArgumentError(
                f"launch argument {argument}: section '{section}' of {path} is for no node that"
                f" starts: did you mean '/**/{near[0]}'?"
            )


def speaks_to(path: str, node: str, namespace: str = "") -> bool:
    """Whether a parameter file has values for a node (see `check_sections`)."""
    return _reads(_sections("params_file", path), node, namespace)


def _sections(argument: str, path: str) -> list[str]:
    try:
        return sections(path)
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise LaunchArgumentError(f"launch argument {argument}: {path}: {reason}") from error


def _reads(found: Collection[str], node: str, namespace: str) -> bool:
    space = namespace.strip("/")
    return any(matches(section, f"/{space}/{node}" if space else f"/{node}") for section in found)


def _is_a(kind: type, value: str) -> bool:
    if kind is bool:
        return value.strip().lower() in _TRUTHS
    try:
        kind(value)
    except ValueError:
        return False
    return True
