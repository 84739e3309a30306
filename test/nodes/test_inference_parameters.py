from __future__ import annotations

import importlib
from pathlib import Path

import pytest
import yaml

from mobile_vla_ros import nodes
from mobile_vla_ros.control import Limits, PilotSettings
from mobile_vla_ros.nodes import camera_node, cmd_vel_guard, recorder_node, teleop_node
from mobile_vla_ros.nodes.inference.parameters import LIMITS, PARAMETERS, TIMES

REPOSITORY = Path(__file__).parents[2]


def written(file: str, node: str) -> dict:
    contents = yaml.safe_load((REPOSITORY / "config" / file).read_text())
    return contents[f"/**/{node}"]["ros__parameters"]


@pytest.mark.parametrize(
    ("file", "node", "parameters"),
    [
        ("inference.yaml", "mobile_vla", [p for p in PARAMETERS if p.name != "checkpoint"]),
        ("inference.yaml", "cmd_vel_guard", cmd_vel_guard.PARAMETERS),
        ("camera.yaml", "camera", camera_node.PARAMETERS),
        ("recorder.yaml", "episode_recorder", recorder_node.PARAMETERS),
        ("teleop.yaml", "teleop", teleop_node.PARAMETERS),
    ],
)
def test_the_configuration_file_holds_every_default(file, node, parameters) -> None:
    assert written(file, node) == {p.name: p.default for p in parameters}


def test_the_files_of_config_are_written_from_the_declarations(monkeypatch) -> None:
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    import write_config

    for file in write_config.FILES:
        assert (REPOSITORY / "config" / file).read_text() == write_config.contents(file), (
            f"config/{file} is out of date: run .venv/bin/python scripts/write_config.py"
        )


def test_the_defaults_are_those_of_the_pilot() -> None:
    defaults = {p.name: p.default for p in PARAMETERS}
    for settings, names in ((PilotSettings(), TIMES), (Limits(), LIMITS)):
        assert {n: defaults[n] for n in names} == {n: getattr(settings, n) for n in names}


def test_the_reference_names_every_parameter_of_every_node(monkeypatch) -> None:
    for folder in ("docs", "scripts"):
        monkeypatch.syspath_prepend(REPOSITORY / folder)
    import write_config
    import written_from_code

    reference = written_from_code.parameters()
    assert set(write_config.PROGRAMS) == {
        file.stem for file in Path(nodes.__file__).parent.glob("*.py") if file.stem[0] != "_"
    }
    for program in write_config.PROGRAMS:
        section = reference[reference.index(f"## {program} ") :].split("\n## ")[0]
        for parameter in importlib.import_module(f"{nodes.__name__}.{program}").PARAMETERS:
            assert f"| `{parameter.name}`" in section


def test_every_default_is_allowed() -> None:
    for parameter in (*PARAMETERS, *cmd_vel_guard.PARAMETERS, *camera_node.PARAMETERS):
        assert parameter.problem(parameter.default) is None
        assert parameter.description
