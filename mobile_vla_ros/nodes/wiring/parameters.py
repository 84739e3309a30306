"""Declaring a node's parameters: type, range, unit and meaning, with errors a person can use."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from mobile_vla_ros.errors import InputError

_TYPE_NAMES = {
    bool: "true or false",
    int: "a whole number",
    float: "a number with a point, such as 1.0",
    str: "text (quote it: '\"off\"')",
    list: "a list of texts",
}


class ParameterError(InputError):
    """A parameter that a node cannot work with."""


@dataclass(frozen=True)
class Declared:
    """One parameter.

    Attributes:
        name: as in `ros2 param get`.
        default: its type is the parameter's type; a list is a list of texts.
        description: what it does, with its unit.
        low, high: closed range of a number.
        options: the texts that are allowed; empty means any.
        live: may be changed while the node runs; the others count when it is configured.
    """

    name: str
    default: bool | int | float | str | list[str]
    description: str
    low: float | None = None
    high: float | None = None
    options: tuple[str, ...] = ()
    live: bool = False

    def descriptor(self) -> ParameterDescriptor:
        constraints = []
        if self.options:
            constraints.append(f"one of {', '.join(self.options)}")
        if not self.live:
            constraints.append("read when the node is configured")
        descriptor = ParameterDescriptor(
            name=self.name,
            description=self.description,
            additional_constraints="; ".join(constraints),
        )
        if self.low is not None and self.high is not None:
            if isinstance(self.default, float):
                descriptor.floating_point_range = [
                    FloatingPointRange(from_value=self.low, to_value=self.high)
                ]
            else:
                descriptor.integer_range = [
                    IntegerRange(from_value=int(self.low), to_value=int(self.high), step=1)
                ]
        return descriptor

    def problem(self, value) -> str | None:
        """Why `value` is not allowed, as one sentence; None when it is."""
        if isinstance(value, float) and not math.isfinite(value):
            return f"parameter {self.name} is {value}: it must be a finite number"
        if self.low is not None and not self.low <= value <= self.high:
            return (
                f"parameter {self.name} is {value}: it must lie between {self.low} and {self.high}"
            )
        if self.options and value not in self.options:
            return f"parameter {self.name} is '{value}': use one of {', '.join(self.options)}"
        return None


def declare(node: Node, parameters: Iterable[Declared]) -> dict:
    """Declares parameters and returns their values by name.

    Raises:
        ParameterError: a value of the wrong type, out of range, or not among the options.
    """
    values = {}
    for parameter in parameters:
        given = node._parameter_overrides.get(parameter.name)  # no public way to see it
        default = parameter.default if given is None else given.value
        # A person who writes 1 for 1.0, or 0 for a device's name, means no harm.
        if isinstance(parameter.default, float) and type(default) is int:
            default = float(default)
        elif isinstance(parameter.default, str) and type(default) is int:
            default = str(default)
        texts = not isinstance(default, list) or all(isinstance(text, str) for text in default)
        if type(default) is not type(parameter.default) or not texts:
            wanted = _TYPE_NAMES[type(parameter.default)]
            raise ParameterError(f"parameter {parameter.name} must be {wanted}")
        sentence = parameter.problem(default)
        if sentence:
            raise ParameterError(sentence)
        node.declare_parameter(
            parameter.name, default, parameter.descriptor(), ignore_override=True
        )
        values[parameter.name] = default
    return values


def present_values(node: Node, parameters: Iterable[Declared]) -> dict:
    """The values of declared parameters by name, as they are now."""
    values = {}
    for parameter in parameters:
        value = node.get_parameter(parameter.name).value
        values[parameter.name] = list(value) if isinstance(parameter.default, list) else value
    return values


def refusal(
    declared: dict[str, Declared], changes: Iterable[Parameter], configured: bool
) -> str | None:
    """Why a change of parameters cannot be accepted; None when it can.

    Args:
        declared: this node's parameters by name; names that are not in it are left alone.
        changes: what somebody wants to set.
        configured: whether the node already runs with its present values.
    """
    for change in changes:
        parameter = declared.get(change.name)
        if parameter is None:
            continue
        if configured and not parameter.live:
            return (
                f"parameter {change.name} is read when the node is configured: deactivate and"
                " clean up the node before changing it"
            )
        sentence = parameter.problem(change.value)
        if sentence:
            return sentence
    return None
