"""Writes the parameter files of config/ from the nodes' declarations.

    .venv/bin/python scripts/write_config.py

A test compares what lies in config/ with what this writes.
"""

from __future__ import annotations

import importlib
import json
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
COMMENT_COLUMN = 34
WIDTH = 110

# program (a file of mobile_vla_ros/nodes) -> the name its node has
PROGRAMS = {
    "inference_node": "mobile_vla",
    "cmd_vel_guard": "cmd_vel_guard",
    "camera_node": "camera",
    "recorder_node": "episode_recorder",
    "teleop_node": "teleop",
    "trial_node": "trial_manager",
    "sim_node": "sim",
    "replay_node": "replay",
    "pattern_node": "pattern",
    "session_node": "recording_session",
    "operator_node": "operator",
    "gamepad_node": "gamepad",
}

# A line above a parameter, where a list is long.
HEADINGS = {
    "inference_node": {
        "checkpoint": "the policy",
        "instruction": "what it is to do",
        "control_rate": "rates and axes",
        "base_frame": "messages",
        "max_linear": "limits",
        "image_timeout": "when it stops",
        "blend_time": "one chunk after the other",
        "warn_blind_distance": "warnings",
    }
}


@dataclass(frozen=True)
class Part:
    """The parameters of one node in a file.

    Attributes:
        program: a file of mobile_vla_ros/nodes.
        values: other values than the defaults.
        only: the parameters that stand there; empty means all.
        commented: parameters that stand there as a comment, since others give them.
    """

    program: str
    values: dict = field(default_factory=dict)
    only: tuple[str, ...] = ()
    commented: tuple[str, ...] = ()


# file of config/ -> the lines above, the parts
FILES = {
    "inference.yaml": (
        "Parameters of inference_node (node `mobile_vla`) and of cmd_vel_guard; every value is the"
        " default. What a launch argument says goes before what stands here.",
        [Part("inference_node", commented=("checkpoint",)), Part("cmd_vel_guard")],
    ),
    "camera.yaml": (
        "Parameters of camera_node (node `camera`); every value is the default.",
        [Part("camera_node")],
    ),
    "recorder.yaml": (
        "Parameters of recorder_node (node `episode_recorder`) and of camera_node when episodes"
        " are collected; every value is the default.\n"
        "ros2 run mobile_vla_ros recorder_node --ros-args --params-file THIS_FILE",
        [Part("recorder_node"), Part("camera_node")],
    ),
    "teleop.yaml": (
        "Parameters of teleop_node (node `teleop`); every value is the default.\n"
        "ros2 run mobile_vla_ros teleop_node --ros-args --params-file THIS_FILE",
        [Part("teleop_node")],
    ),
    "operator.yaml": (
        "Parameters of operator_node (node `operator`), the operator's page, and of gamepad_node;"
        " every value is the default.\n"
        "ros2 run mobile_vla_ros operator_node --ros-args --params-file THIS_FILE",
        [Part("operator_node"), Part("gamepad_node")],
    ),
    "trial.yaml": (
        "What trial.launch.py sets apart from its arguments: the policy waits for ~/start of the"
        " trial manager, whose heartbeat is the guard's deadman (no manager, no motion). See"
        " inference.yaml and recorder.yaml for what else may stand here.",
        [
            Part("inference_node", {"enabled": False}, only=("enabled",)),
            Part(
                "cmd_vel_guard",
                {"deadman_required": True},
                only=("takeover_release", "deadman_required"),
            ),
            Part("recorder_node", only=("mode", "rate")),
            Part(
                "trial_node",
                only=(
                    "note",
                    "verdict_timeout",
                    "record",
                    "incidents",
                    "incident_before",
                    "incident_after",
                    "field_seed",
                ),
            ),
        ],
    ),
}


def declarations(program: str) -> tuple:
    """The parameters of a program, as it declares them."""
    return importlib.import_module(f"mobile_vla_ros.nodes.{program}").PARAMETERS


def contents(file: str) -> str:
    """What ``config/<file>`` is to hold."""
    head, parts = FILES[file]
    body = []
    for part in parts:
        body += ["", f"/**/{PROGRAMS[part.program]}:", "  ros__parameters:", *_parameters(part)]
    lines = [
        line
        for paragraph in head.split("\n")
        for line in textwrap.wrap(paragraph, 98, initial_indent="# ", subsequent_indent="# ")
    ]
    if any("[live]" in line for line in body):
        lines.append("# [live]: may be changed while the node runs, with ros2 param set")
    lines.append("# Written by scripts/write_config.py from the nodes' declarations.")
    return "\n".join([*lines, *body]) + "\n"


def _parameters(part: Part) -> Iterable[str]:
    headings = HEADINGS.get(part.program, {})
    for declared in declarations(part.program):
        if part.only and declared.name not in part.only:
            continue
        if declared.name in headings and not part.only:
            yield from ("", f"    # -- {headings[declared.name]}")
        value = json.dumps(part.values.get(declared.name, declared.default))
        mark = "# " if declared.name in part.commented else ""
        yield from _beside(f"    {mark}{declared.name}: {value}", _comment(declared))


def _comment(declared) -> str:
    words = [declared.description]
    if not all(option in declared.description for option in declared.options):
        words.append(f"({' | '.join(declared.options)})")
    return f"{'[live] ' if declared.live else ''}{' '.join(words)}"


def _beside(line: str, comment: str) -> Iterable[str]:
    """The line with its comment, which goes on below itself when it is long."""
    column = max(COMMENT_COLUMN, len(line) + 2)
    first, *others = textwrap.wrap(comment, WIDTH - column - 2)
    yield f"{line:<{column}}# {first}"
    for other in others:
        yield f"{'':<{column}}# {other}"


def main() -> None:
    sys.path.insert(0, str(REPOSITORY))
    for file in FILES:
        (REPOSITORY / "config" / file).write_text(contents(file), encoding="utf-8")
        print(f"config/{file}")


if __name__ == "__main__":
    main()
