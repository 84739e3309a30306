"""A robot's environment, made as the guide says: no torch in it, and the policy runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

# Packages come over the network, and the machine may be busy.
pytestmark = pytest.mark.timeout(900)

ROOT = Path(__file__).parents[2]
DEMO = str(files("mobile_vla_ros").joinpath("data", "demo_policy"))
# What a robot's environment must not have, by the names that are imported.
LEARNING = ("torch", "transformers", "lightning", "peft", "safetensors", "onnx")
PIP = ("-m", "pip", "--disable-pip-version-check", "--quiet")


@pytest.fixture(scope="module")
def robot_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment with ``pip install '.[robot]'``."""
    asked = subprocess.run(
        [sys.executable, *PIP, "download", "--no-deps", "tokenizers", "--timeout", "10"],
        cwd=tmp_path_factory.mktemp("index"),
        capture_output=True,
    )
    if asked.returncode:
        pytest.skip("no package index to make the robot's environment from")
    folder = tmp_path_factory.mktemp("robot")
    # A copy: building leaves files behind, and tests run side by side.
    wanted = ("setup.py", "setup.cfg", "package.xml", "pyproject.toml", "README.md")
    for name in wanted:
        if (ROOT / name).is_file():
            (folder / "source").mkdir(exist_ok=True)
            shutil.copy(ROOT / name, folder / "source")
    for name in ("mobile_vla_ros", "resource", "launch", "config"):
        shutil.copytree(ROOT / name, folder / "source" / name)
    subprocess.run([sys.executable, "-m", "venv", str(folder / "venv")], check=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, *PIP, "install", ".[robot]"], cwd=folder / "source", check=True)
    return python


def in_robot(python: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        [str(python), *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_bundled_policy_runs_where_torch_is_not_installed(
    robot_python: Path, tmp_path: Path
) -> None:
    program = f"""
import importlib.util, json
import numpy as np
from mobile_vla_ros.policy import load_policy
policy = load_policy({DEMO!r})
chunk = policy.stream("go left").step(np.zeros((360, 640, 3), np.uint8), 1.0)
held = [name for name in {LEARNING!r} if importlib.util.find_spec(name)]
print(json.dumps([policy.runtime, chunk.velocities.shape, held]))
"""
    done = in_robot(robot_python, "-c", program, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["onnx", [10, 2], []]


def test_commands_work_or_say_what_they_lack(robot_python: Path, tmp_path: Path) -> None:
    mobile_vla = ("-m", "mobile_vla_ros.cli.main")
    done = in_robot(robot_python, *mobile_vla, "inspect", DEMO, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "4 graphs in float32, opset 17" in done.stdout
    checkpoint = ROOT / "test" / "fixtures" / "golden" / "mobile_vla_frozen"
    done = in_robot(robot_python, *mobile_vla, "inspect", str(checkpoint), cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    source = next(checkpoint.glob("*.ckpt"))
    for command in (("verify", "-c", str(source), "-d", "."), ("inspect", str(source))):
        done = in_robot(robot_python, *mobile_vla, *command, cwd=tmp_path)
        assert done.returncode == 2, done.stdout
        assert "Traceback" not in done.stderr
        assert "--onnx" in done.stderr
