"""Every node starts and ends in one way: help, arguments that are not its own, signals."""

from __future__ import annotations

import importlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import rclpy
from rclpy.node import Node
from recorder_harness import end, start_node
from rig import Rig

from mobile_vla_ros.nodes.wiring.given import Given
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic

PROGRAMS = (
    "inference_node",
    "camera_node",
    "cmd_vel_guard",
    "teleop_node",
    "replay_node",
    "pattern_node",
    "sim_node",
    "recorder_node",
    "session_node",
    "recorder_node",
    "trial_node",
    "trial_node",
    "tools.director_node",
    "tools.watch_node",
    "tools.doctor_node",
    "tools.probe_node",
)
PARAMETERS = (Declared("speed", 0.3, "m/s", 0.0, 1.0, live=True), Declared("frame", "base", "of"))


@pytest.mark.parametrize("module", PROGRAMS)
def test_help_names_every_parameter_and_starts_nothing(module, monkeypatch, capsys) -> None:
    monkeypatch.setattr(rclpy, "init", lambda **_: pytest.fail("it started"))
    program = importlib.import_module(f"mobile_vla_ros.nodes.{module}")
    assert program.main(["--help"]) == 0
    text = capsys.readouterr().out
    for parameter in program.PARAMETERS:
        assert f"\n  {parameter.name}  " in text
        assert parameter.description in text
    assert "\nUsage:\n" in text
    assert program.PROGRAM.module == module


def test_the_manual_says_defaults_ranges_and_topics() -> None:
    program = Program(
        node="base",
        module="base_node",
        about="Drives.",
        parameters=PARAMETERS,
        hears=(Topic("cmd_vel", "geometry_msgs/Twist", "m/s and rad/s"),),
    )
    text = program.manual()
    assert "ros2 run mobile_vla_ros base_node" in text
    assert "  speed  0.3  (0 to 1; may change while it runs)\n      m/s\n" in text
    assert "Subscribes to:\n  cmd_vel  geometry_msgs/Twist\n      m/s and rad/s\n" in text
    assert "Publishes:" not in text


@pytest.fixture
def node_given(ros_domain: int, tmp_path: Path) -> Iterator:
    """Makes a node `guard` in `/robot` with a command line; returns what went astray of that."""
    contexts = []

    def given(*arguments: str) -> list[str]:
        context = rclpy.Context()
        contexts.append(context)
        rclpy.init(args=["--ros-args", *arguments], context=context)
        node = Node("guard", namespace="robot", context=context)
        declare(node, PARAMETERS)
        stray = Given.of(["--ros-args", *arguments]).astray(node, ["speed", "frame"])
        node.destroy_node()
        return [one.sentence for one in stray]

    yield given
    for context in contexts:
        rclpy.shutdown(context=context)


@pytest.mark.ros
def test_what_was_given_and_changes_nothing_is_told_with_what_was_meant(
    node_given, tmp_path: Path
) -> None:
    own, foreign = tmp_path / "own.yaml", tmp_path / "foreign.yaml"
    own.write_text("/**/guard: {ros__parameters: {speed: 0.5}}\n")
    foreign.write_text("gaurd: {ros__parameters: {speed: 0.5}}\n")
    assert node_given("--params-file", str(own), "-p", "use_sim_time:=false") == []
    assert node_given("--params-file", str(foreign)) == [
        f"parameter file {foreign} has values for /gaurd, but none for this node, /robot/guard:"
        " name its section '/**/guard'"
    ]
    assert node_given("-p", "gaurd:speed:=0.5") == [
        "parameter speed was given to 'gaurd', but this node is 'guard': write -p speed:=..."
    ]
    assert node_given("-p", "guard:speed:=0.5") == []
    assert node_given("-p", "sped:=0.5", "-p", "checkpoint:=x") == [
        "there is no parameter 'checkpoint': --help lists those there are",
        "there is no parameter 'sped': did you mean 'speed'?",
    ]


def refused(*arguments: str) -> str:
    """Starts a guard that does not start; what it said."""
    done = subprocess.run(
        [sys.executable, "-m", "mobile_vla_ros.nodes.cmd_vel_guard", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 2, done
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.ros
def test_a_guard_whose_parameters_reach_nobody_does_not_start(
    ros_domain: int, tmp_path: Path
) -> None:
    path = tmp_path / "guard.yaml"
    path.write_text("cmd_vel_gaurd: {ros__parameters: {deadman_required: true}}\n")
    assert "cmd_vel_guard: not started: parameter file" in refused(
        "--ros-args", "--params-file", str(path)
    )
    # One section that is right does not make up for one that is misspelt.
    path.write_text(
        "cmd_vel_guard: {ros__parameters: {rate: 60.0}}\n"
        "cmd_vel_gaurd: {ros__parameters: {deadman_required: true}}\n"
    )
    assert "did you mean '/**/cmd_vel_guard'?" in refused("--ros-args", "--params-file", str(path))
    assert "did you mean 'deadman_required'?" in refused(
        "--ros-args", "-p", "deadman_requird:=true"
    )


def test_an_argument_that_nobody_reads_is_refused() -> None:
    assert "'-p' is not understood" in refused("-p", "deadman_required:=true")


def test_what_ros_does_not_understand_is_one_sentence() -> None:
    said = refused("--ros-args", "--params-file", "/no/such/file.yaml").splitlines()[-1]
    assert said.startswith("cmd_vel_guard: ROS cannot start: ")
    assert "/no/such/file.yaml" in said


@pytest.mark.ros
def test_a_node_under_nohup_outlives_its_terminal(ros_domain: int, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Rig(tmp_path) as rig:
            process = start_node("cmd_vel_guard")
            rig.wait(lambda: rig.commands, "the guard's zeros")
            process.send_signal(signal.SIGHUP)
            heard = len(rig.commands)
            rig.wait(lambda: len(rig.commands) > heard + 10, "more of them")
            assert process.poll() is None
            assert end(process) == 0
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.ros
def test_a_second_node_of_one_name_says_so(ros_domain: int, tmp_path: Path) -> None:
    with Rig(tmp_path) as rig:
        rig.start("-m", "mobile_vla_ros.nodes.cmd_vel_guard", name="node")
        rig.start("-m", "mobile_vla_ros.nodes.cmd_vel_guard", name="second")
        rig.wait(
            lambda: all(
                "a second node of this name, /cmd_vel_guard, runs" in rig.log(name)
                for name in ("node", "second")
            ),
            "the word of both",
        )
