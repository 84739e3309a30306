"""What a launch file lists with --show-args, it takes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
from installation import REPOSITORY

from mobile_vla_ros import launching

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]

FILES = sorted((REPOSITORY / "launch").glob("*.launch.py"))


class Asked(Exception):
    """The names that a launch file takes."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.split(".")[0])
def test_every_argument_that_is_listed_is_taken(file: Path, monkeypatch) -> None:
    from launch import LaunchContext
    from launch.actions import DeclareLaunchArgument, OpaqueFunction

    def check_typed(_file, _command_line, known, *_args, **_options) -> None:
        raise Asked(*known)

    monkeypatch.setattr(launching, "check_typed", check_typed)
    described = runpy.run_path(str(file))["generate_launch_description"]()
    listed = [
        argument.name
        for argument, _ in described.get_launch_arguments_with_include_launch_description_actions()
    ]

    def run() -> None:
        context = LaunchContext()
        context.launch_configurations["checkpoint"] = "demo"
        for entity in described.entities:
            if isinstance(entity, DeclareLaunchArgument | OpaqueFunction):
                entity.execute(context)

    with pytest.raises(Asked) as asked:
        run()
    assert sorted(listed) == sorted(asked.value.args)
