"""What a node was given on its command line, and what of it is for nobody: typing errors."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import yaml
from rclpy.node import Node

from mobile_vla_ros.nodes.wiring.parameters import ParameterError
from mobile_vla_ros.parameter_files import matches, misspelt, sections

_FILE = "--params-file"
_RULE = ("-p", "--param")
# Likeness of a misspelt name: a file for several nodes has names that are merely similar.
_NEAR = 0.85
_HELP = ("-h", "--help")


@dataclass(frozen=True)
class Stray:
    """Something that was given and changes nothing.

    Attributes:
        sentence: what, and what was probably meant.
        meant: whether it was surely meant for this node; a file that several nodes share may hold
            parameters of another.
    """

    sentence: str
    meant: bool = True


@dataclass(frozen=True)
class Given:
    """A node's command line, taken apart.

    Attributes:
        own: what stands outside of ``--ros-args ... --``.
        ros: what stands inside.
    """

    own: tuple[str, ...]
    ros: tuple[str, ...]

    @classmethod
    def of(cls, arguments: Sequence[str]) -> Given:
        own: list[str] = []
        ros: list[str] = []
        into = own
        for word in arguments:
            if word == "--ros-args":
                into = ros
            elif word == "--" and into is ros:
                into = own
            else:
                into.append(word)
        return cls(tuple(own), tuple(ros))

    @property
    def asks_for_help(self) -> bool:
        return any(word in _HELP for word in (*self.own, *self.ros))

    def check(self) -> None:
        """Raises:
        ParameterError: an argument that nobody reads.
        """
        if self.own:
            raise ParameterError(
                f"'{self.own[0]}' is not understood: parameters (-p NAME:=VALUE) and remappings"
                " come after --ros-args, and --help lists them"
            )

    def astray(self, node: Node, known: Sequence[str]) -> list[Stray]:
        """What changes nothing: files and rules for other nodes, misspelt names.

        Args:
            node: the node, with its parameters declared.
            known: names that a misspelt one may have meant.
        """
        return [
            *self._foreign_files(node),
            *self._foreign_rules(node),
            *_misspelt(node, [*known, "use_sim_time"]),
        ]

    def _after(self, *options: str) -> Iterator[str]:
        for place, word in enumerate(self.ros[:-1]):
            if word in options:
                yield self.ros[place + 1]

    def _foreign_files(self, node: Node) -> Iterator[Stray]:
        name = node.get_fully_qualified_name()
        for path in self._after(_FILE):
            try:
                found = sections(path)
            except (OSError, ValueError, yaml.YAMLError):
                continue  # rcl has read it in its own way
            if found and not any(matches(section, name) for section in found):
                yield Stray(
                    f"parameter file {path} has values for {', '.join(found)}, but none for this"
                    f" node, {name}: name its section '/**/{node.get_name()}'"
                )
                continue
            for section in found:
                if not matches(section, name) and misspelt(section, node.get_name()):
                    yield Stray(
                        f"parameter file {path} has values for {section}, which is no node here:"
                        f" did you mean '/**/{node.get_name()}'?"
                    )

    def _foreign_rules(self, node: Node) -> Iterator[Stray]:
        for rule in self._after(*_RULE):
            to, colon, name = rule.partition(":=")[0].rpartition(":")
            section = to if "/" in to else f"/**/{to}"
            if colon and not matches(section, node.get_fully_qualified_name()):
                yield Stray(
                    f"parameter {name} was given to '{to}', but this node is"
                    f" '{node.get_name()}': write -p {name}:=..."
                )


def _misspelt(node: Node, known: Sequence[str]) -> Iterator[Stray]:
    for name in sorted(node._parameter_overrides):  # no public way to see them
        if not node.has_parameter(name):
            near = difflib.get_close_matches(name, known, 1, _NEAR)
            hint = f"did you mean '{near[0]}'?" if near else "--help lists those there are"
            yield Stray(f"there is no parameter '{name}': {hint}", meant=bool(near))
