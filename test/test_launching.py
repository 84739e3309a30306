from __future__ import annotations

import pytest
import yaml

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.launching import (
    LaunchArgumentError,
    check_sections,
    check_typed,
    parameter_value,
    speaks_to,
)

FILE = "/opt/share/mobile_vla_ros/launch/inference.launch.py"
KNOWN = ("checkpoint", "dry_run", "enabled", "seed", "rate", "params_file", "instruction")
KINDS = {"dry_run": bool, "enabled": bool, "seed": int, "rate": float}


def check(*typed: str) -> None:
    command = ["ros2", "launch", "mobile_vla_ros", "inference.launch.py", *typed]
    check_typed(FILE, command, KNOWN, KINDS, files=("params_file",))


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("dry_runn:=true", "there is no launch argument 'dry_runn': did you mean 'dry_run'?"),
        ("enable:=false", "there is no launch argument 'enable': did you mean 'enabled'?"),
        (
            "velocity:=0.1",
            "there is no launch argument 'velocity': --show-args lists those there are",
        ),
        ("dry_run:=yes", "launch argument dry_run is 'yes': it must be true or false"),
        ("seed:=abc", "launch argument seed is 'abc': it must be a whole number"),
        ("rate:=fast", "launch argument rate is 'fast': it must be a number"),
        ("params_file:=~/robot.yaml", "launch argument params_file: there is no file"),
    ],
)
def test_a_slip_is_refused_with_what_was_meant(typed: str, sentence: str) -> None:
    with pytest.raises(LaunchArgumentError, match="^" + sentence.replace("?", r"\?")):
        check("checkpoint:=policy", typed)


def test_what_is_right_passes(tmp_path) -> None:
    parameters = tmp_path / "robot.yaml"
    parameters.touch()
    check("--noninteractive", "checkpoint:=a:=b", "dry_run:=True", "seed:=-3", "rate:=2")
    check(f"params_file:={parameters}", "instruction:=off", "instruction:=go: left")


def test_arguments_of_a_launch_file_that_includes_this_one_are_its_own_affair() -> None:
    check_typed(FILE, ["ros2", "launch", "lab", "robot.launch.py", "speed:=0.1"], KNOWN, KINDS)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (
            "cmd_vel_gaurd: {ros__parameters: {deadman_required: true}}\n"
            "mobile_vla: {ros__parameters: {max_linear: 0.1}}",
            r"section '/cmd_vel_gaurd' of .* is for no node that starts: did you mean"
            r" '/\*\*/cmd_vel_guard'\?",
        ),
        (
            "robot: {ros__parameters: {max_linear: 0.1}}",
            r".* has values for /robot, but for none of the nodes that start \(mobile_vla,"
            r" cmd_vel_guard\): name a section '/\*\*/mobile_vla'",
        ),
        ("robot: [", r".*: while parsing"),
    ],
)
def test_a_parameter_file_that_a_node_would_not_read_is_refused(
    tmp_path, content: str, sentence: str
) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(content)
    with pytest.raises(LaunchArgumentError, match=f"^launch argument params_file: {sentence}"):
        check_sections("params_file", str(path), ("mobile_vla", "cmd_vel_guard"))


def test_a_parameter_file_for_more_nodes_than_start_passes(tmp_path) -> None:
    path = tmp_path / "robot.yaml"
    path.write_text(
        "/**/mobile_vla: {ros__parameters: {max_linear: 0.1}}\n"
        "/**/mobile_vla2: {ros__parameters: {max_linear: 0.1}}\n"
        "/amcl: {ros__parameters: {alpha1: 0.1}}\n"
    )
    check_sections("params_file", str(path), ("mobile_vla", "cmd_vel_guard"), "robot1")
    assert speaks_to(str(path), "mobile_vla", "robot1")
    assert not speaks_to(str(path), "cmd_vel_guard", "robot1")
    path.write_text("# all of it commented out\n")
    check_sections("params_file", str(path), ("mobile_vla", "cmd_vel_guard"))


@pytest.mark.parametrize(
    "text",
    ["plain", 'a "quoted" name', r"back\slash", "on", "1", "go: left", "it's", "왼쪽 #1", "~"],
)
def test_a_parameter_on_the_command_line_is_that_text(text: str) -> None:
    assert yaml.safe_load(parameter_value(text)) == text


def test_a_name_that_ros_2_cannot_take_is_said() -> None:
    with pytest.raises(InputError, match=r"episode_\\udcff.h5 is not UTF-8.*rename"):
        parameter_value("episode_\udcff.h5")
