"""An installed package for launch tests, and a way to run its launch files."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
NODES = REPOSITORY / "test" / "nodes"

# Run as `python -c LAUNCHER FILE [name:=value ...]`.
LAUNCHER = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
arguments = [tuple(argument.split(":=", 1)) for argument in sys.argv[2:]]
source = PythonLaunchDescriptionSource(sys.argv[1])
service = LaunchService()
service.include_launch_description(
    LaunchDescription([IncludeLaunchDescription(source, launch_arguments=arguments)])
)
sys.exit(service.run())
"""


def install(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *nodes: str,
    programs: Mapping[str, str] | None = None,
) -> Path:
    """Makes an ament prefix with this package's launch and config folders and puts it in front.

    Args:
        tmp_path: the prefix is made in it.
        monkeypatch: sets AMENT_PREFIX_PATH and ROS_LOG_DIR.
        nodes: executables that are the nodes of that name.
        programs: executables that are something else: what this Python is to be given.

    Returns:
        The prefix.
    """
    prefix = tmp_path / "install"
    share = prefix / "share" / "mobile_vla_ros"
    share.mkdir(parents=True)
    for folder in ("launch", "config"):
        (share / folder).symlink_to(REPOSITORY / folder)
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    index.mkdir(parents=True)
    (index / "mobile_vla_ros").touch()
    executables = prefix / "lib" / "mobile_vla_ros"
    executables.mkdir(parents=True)
    everything = {name: f"-m mobile_vla_ros.nodes.{name}" for name in nodes} | dict(programs or {})
    for name, program in everything.items():
        script = executables / name
        script.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        script.chmod(0o755)
    others = os.environ.get("AMENT_PREFIX_PATH", "")
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{others}" if others else str(prefix))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    return prefix
