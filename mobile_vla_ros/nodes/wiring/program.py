"""What a node's program says of itself: name, parameters, topics, services; its `--help`."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mobile_vla_ros.nodes.wiring.parameters import Declared

VELOCITY = "geometry_msgs/Twist or TwistStamped"
# Types of services that every node offers.
PARAMETERS_SET = "rcl_interfaces/SetParametersAtomically"
PARAMETERS_GOT = "rcl_interfaces/GetParameters"


@dataclass(frozen=True)
class Topic:
    """One topic or service of a node.

    Attributes:
        name: before remapping; relative, ``~/`` is below the node's name.
        type: message or service type.
        meaning: what it carries, with units.
    """

    name: str
    type: str
    meaning: str = ""


@dataclass(frozen=True)
class Program:
    """One node as a program.

    Attributes:
        node: the node's name; its complaints begin with it.
        module: below ``mobile_vla_ros.nodes``; one without a dot is a command of ``ros2 run``.
        about: what it does (the module's docstring).
        parameters: in the order of the help.
        hears, tells: topics subscribed to and published.
        answers: services offered.
        asks: services of other nodes that are called.
        strict: refuses to start with parameters that are not its own, where others warn.
    """

    node: str
    module: str
    about: str
    parameters: tuple[Declared, ...]
    hears: tuple[Topic, ...] = ()
    tells: tuple[Topic, ...] = ()
    answers: tuple[Topic, ...] = ()
    asks: tuple[Topic, ...] = ()
    strict: bool = False

    def manual(self) -> str:
        """What ``--help`` prints."""
        return "\n".join([*self._lines(), ""])

    def _lines(self) -> Iterator[str]:
        run = f"python -m mobile_vla_ros.nodes.{self.module}"
        if "." not in self.module:
            run = f"ros2 run mobile_vla_ros {self.module}"
        yield from (inspect.cleandoc(self.about), "")
        yield "Usage:"
        yield f"  {run} [--help] [--ros-args -p NAME:=VALUE ... -r TOPIC:=OTHER ...]"
        yield f"  {run} --ros-args --params-file FILE    (its section: /**/{self.node})"
        yield from ("", "Parameters:")
        for parameter in self.parameters:
            yield from _parameter_lines(parameter)
        yield from _topic_lines("Subscribes to:", self.hears)
        yield from _topic_lines("Publishes:", self.tells)
        yield from _topic_lines("Services:", self.answers)
        yield from _topic_lines("Calls:", self.asks)


def _parameter_lines(parameter: Declared) -> Iterator[str]:
    notes = []
    if parameter.options:
        notes.append(f"one of {', '.join(parameter.options)}")
    elif parameter.low is not None and parameter.high is not None:
        notes.append(f"{parameter.low:g} to {parameter.high:g}")
    if parameter.live:
        notes.append("may change while it runs")
    note = f"  ({'; '.join(notes)})" if notes else ""
    yield f"  {parameter.name}  {_written(parameter.default)}{note}"
    yield f"      {parameter.description}"


def _written(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}'" if isinstance(value, str) else str(value)


def _topic_lines(title: str, topics: Iterable[Topic]) -> Iterator[str]:
    if topics:
        yield from ("", title)
    for topic in topics:
        yield f"  {topic.name}  {topic.type}"
        if topic.meaning:
            yield f"      {topic.meaning}"
