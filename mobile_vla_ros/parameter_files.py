"""Which nodes a ROS parameter file speaks of: its sections, and the names that they match."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

_VALUES = "ros__parameters"
# Likeness from which on two names are one, misspelt.
_NEAR = 0.85


def sections(path: str | Path) -> list[str]:
    """Names of the nodes that a parameter file has values for, as full names or patterns.

    Returns:
        such as ``/mobile_vla``, ``/robot1/camera`` or ``/**``; none of a file without sections.

    Raises:
        OSError: it cannot be read.
        yaml.YAMLError: it is no YAML.
    """
    return sorted(set(_sections(yaml.safe_load(Path(path).read_text(encoding="utf-8")), "")))


def _sections(content: object, above: str) -> Iterator[str]:
    if not isinstance(content, dict):
        return
    for key, below in content.items():
        if key == _VALUES:
            yield above or "/"
        else:
            yield from _sections(below, f"{above}/{str(key).strip('/')}")


def matches(section: str, node: str) -> bool:
    """Whether a section's values are for a node, by the rules of rcl.

    Args:
        section: full name or pattern: ``*`` is one name, ``**`` any number of them.
        node: full name, such as ``/robot1/camera``.
    """
    tokens = [
        r"(/\w+)*" if token == "**" else r"/\w+" if token == "*" else f"/{re.escape(token)}"
        for token in section.strip("/").split("/")
    ]
    return re.fullmatch("".join(tokens), node) is not None


def misspelt(section: str, node: str) -> bool:
    """Whether a section was probably meant for a node, and is not written like it.

    A name that only goes on from the other (``camera_2``) is another node's.

    Args:
        section: full name or pattern.
        node: name without its namespace.
    """
    said = section.rpartition("/")[2]
    if said.startswith(node) or node.startswith(said):
        return False
    return difflib.SequenceMatcher(None, said, node).ratio() >= _NEAR
