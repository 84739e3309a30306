"""Writes SROS2 policies from the nodes' declarations: who may publish, hear, offer and call what.

    .venv/bin/python scripts/write_sros2.py
    .venv/bin/python scripts/write_sros2.py --namespace robot1 --out my_policies

Names are those that the launch files give. A test compares config/sros2 with what this writes.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

REPOSITORY = Path(__file__).resolve().parents[1]
POLICIES = REPOSITORY / "config" / "sros2"
# Of the schema of ros2/sros2 (sros2/policy/schemas/policy.xsd).
VERSION = "0.2.0"

# file -> the lines above, the programs that it lets in
FILES = {
    "robot.xml": (
        "The nodes of a robot in use. Only the guard may publish cmd_vel.",
        (
            "camera_node",
            "cmd_vel_guard",
            "inference_node",
            "recorder_node",
            "session_node",
            "trial_node",
            "teleop_node",
            "gamepad_node",
            "operator_node",
            "tools.doctor_node",
        ),
    ),
    "workbench.xml": (
        "The nodes that stand in for a robot or play one back: for a desk, not for a robot.",
        (
            "sim_node",
            "replay_node",
            "pattern_node",
            "tools.director_node",
            "tools.probe_node",
            "tools.watch_node",
        ),
    ),
}
LIFECYCLE = ("inference_node",)
# What rclpy makes for every node, and for every lifecycle node.
EVERY_TELLS = ("/rosout", "/parameter_events")
EVERY_HEARS = ("/clock", "/parameter_events")
EVERY_ANSWERS = (
    "~/describe_parameters",
    "~/get_parameter_types",
    "~/get_parameters",
    "~/get_type_description",
    "~/list_parameters",
    "~/set_parameters",
    "~/set_parameters_atomically",
)
LIFECYCLE_TELLS = ("~/transition_event",)
LIFECYCLE_ANSWERS = (
    "~/change_state",
    "~/get_available_states",
    "~/get_available_transitions",
    "~/get_state",
    "~/get_transition_graph",
)
# A velocity that is meant for the base goes to the guard.
GUARDED = {"inference_node": "policy_cmd_vel", "teleop_node": "teleop_cmd_vel"}
FIELD = {"state": "mobile_vla/state", "instruction": "mobile_vla/instruction"}


@dataclass(frozen=True)
class Layout:
    """The names of one robot.

    Attributes:
        namespace: of its nodes; '' for none.
        image: topic of the camera's pictures.
        small: topic of the small picture that goes over the air.
    """

    namespace: str = ""
    image: str = "camera/image_raw"
    small: str = "camera/policy_image"

    def enclave(self, node: str) -> str:
        """Where a node's keys lie below the keystore's `enclaves`."""
        return "/".join(filter(None, ("/mobile_vla", self.namespace.strip("/"), node)))


@dataclass(frozen=True)
class Rights:
    """What one node may do; names as in its profile.

    Attributes:
        node: its name.
        tells, hears: topics.
        answers, asks: services.
    """

    node: str
    tells: tuple[str, ...]
    hears: tuple[str, ...]
    answers: tuple[str, ...]
    asks: tuple[str, ...]


def rights(program: str, layout: Layout) -> Rights:
    """What a program needs, from what it declares and what rclpy adds."""
    declared: Any = importlib.import_module(f"mobile_vla_ros.nodes.{program}").PROGRAM
    lifecycle = program in LIFECYCLE
    return Rights(
        declared.node,
        _sorted(
            EVERY_TELLS,
            LIFECYCLE_TELLS if lifecycle else (),
            (_told(program, topic.name, layout) for topic in declared.tells),
        ),
        _sorted(EVERY_HEARS, *(_heard(program, topic.name, layout) for topic in declared.hears)),
        _sorted(
            EVERY_ANSWERS,
            LIFECYCLE_ANSWERS if lifecycle else (),
            (service.name for service in declared.answers),
        ),
        _sorted(service.name for service in declared.asks),
    )


def _sorted(*names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted({name for some in names for name in some}))


def _told(program: str, name: str, layout: Layout) -> str:
    if name == "cmd_vel":
        return GUARDED.get(program, name)
    if name in ("image", "image/compressed"):
        return name.replace("image", layout.image, 1)
    if program == "camera_node" and name == "policy_image/compressed":
        return f"{layout.small}/compressed"
    if name == "camera_info":
        place, mark, _ = layout.image.rpartition("/")
        return f"{place}{mark}{name}"
    return FIELD.get(name, name) if program == "sim_node" else name


def _heard(program: str, name: str, layout: Layout) -> list[str]:
    if name == "image":
        raw = [layout.image, layout.small]
        return [*raw, *(f"{topic}/compressed" for topic in raw)]
    return [FIELD.get(name, name) if program == "sim_node" else name]


def contents(file: str, layout: Layout) -> str:
    """What ``config/sros2/<file>`` is to hold."""
    about, programs = FILES[file]
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', f"<!-- {about}"]
    lines += ["     Written by scripts/write_sros2.py from the nodes' declarations. -->"]
    lines += [f"<policy version={quoteattr(VERSION)}>", "  <enclaves>"]
    for program in programs:
        lines += _enclave(rights(program, layout), layout)
    return "\n".join([*lines, "  </enclaves>", "</policy>", ""])


def _enclave(one: Rights, layout: Layout) -> Iterator[str]:
    namespace = f"/{layout.namespace.strip('/')}"
    yield f"    <enclave path={quoteattr(layout.enclave(one.node))}>"
    yield "      <profiles>"
    yield f"        <profile ns={quoteattr(namespace)} node={quoteattr(one.node)}>"
    yield from _list("topic", "publish", one.tells)
    yield from _list("topic", "subscribe", one.hears)
    yield from _list("service", "reply", one.answers)
    yield from _list("service", "request", one.asks)
    yield "        </profile>"
    yield "      </profiles>"
    yield "    </enclave>"


def _list(kind: str, right: str, names: Iterable[str]) -> Iterator[str]:
    lines = [f"            <{kind}>{escape(name)}</{kind}>" for name in names]
    if lines:
        yield f'          <{kind}s {right}="ALLOW">'
        yield from lines
        yield f"          </{kind}s>"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    default = Layout()
    parser.add_argument("--namespace", default=default.namespace, help="of the robot's nodes")
    parser.add_argument("--image", default=default.image, help="topic of the camera's pictures")
    parser.add_argument("--small", default=default.small, help="topic of the small pictures")
    parser.add_argument("--out", type=Path, default=POLICIES, help="folder")
    chosen = parser.parse_args(arguments)
    layout = Layout(chosen.namespace, chosen.image, chosen.small)
    chosen.out.mkdir(parents=True, exist_ok=True)
    for file in FILES:
        (chosen.out / file).write_text(contents(file, layout), encoding="utf-8")
        print(chosen.out / file)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(REPOSITORY))
    sys.exit(main())
