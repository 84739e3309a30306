from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from installation import LAUNCHER, NODES, install

sys.path.insert(0, str(NODES))

from rig import Rig

pytestmark = [pytest.mark.ros, pytest.mark.launch_ros]


@pytest.fixture
def prefix(tmp_path, monkeypatch) -> Path:
    """An installed package whose inference_node has the double for a model."""
    return install(
        tmp_path,
        monkeypatch,
        "cmd_vel_guard",
        programs={"inference_node": str(NODES / "driven_by_double.py")},
    )


def launch(rig: Rig, prefix: Path, *arguments: str) -> subprocess.Popen:
    path = prefix / "share" / "mobile_vla_ros" / "launch" / "inference.launch.py"
    return rig.start("-c", LAUNCHER, str(path), *arguments, name="node")


def end(rig: Rig, process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGINT)
    rig.wait_for_exit(process, 20.0)


@pytest.mark.parametrize("instruction", ["off", "1", "go: left", "null"])
def test_an_instruction_stays_the_text_that_it_is(
    ros_domain, tmp_path, prefix, instruction
) -> None:
    with Rig(tmp_path, "bot") as rig:
        process = launch(
            rig,
            prefix,
            f"checkpoint:={rig.behaviour('forward:0.2')}",
            f"instruction:={instruction}",
            "namespace:=bot",
            "autostart:=false",
        )
        rig.wait_for_state("unconfigured")
        assert rig.get_parameter("instruction").string_value == instruction
        end(rig, process)


def test_what_is_not_given_is_left_to_the_params_file_and_the_guard_stands_between(
    ros_domain, tmp_path, prefix
) -> None:
    with Rig(tmp_path) as rig:
        parameters = rig.write_parameters(
            {
                "instruction": "from the file",
                "max_linear": 0.15,
                "image_timeout": 0.5,
                "chunk_timeout": 0.9,
                "device": "from the file too",
            }
        )
        policy: list = []
        rig.hear_velocities("policy_cmd_vel", policy)
        rig.hear_velocities("base", rig.commands)
        process = launch(
            rig,
            prefix,
            f"checkpoint:={rig.behaviour('forward:0.2')}",
            f"params_file:={parameters}",
            "image_topic:=image",
            "cmd_vel_topic:=base",
            "guard:=true",
            "device:=cpu",
        )
        rig.start_camera()
        rig.wait(lambda: rig.commands and rig.commands[-1][1][0] == pytest.approx(0.15), "speed")
        rig.wait(lambda: policy, "the policy in front of the guard")
        assert rig.get_parameter("instruction").string_value == "from the file"
        assert rig.get_parameter("device").string_value == "cpu"

        # a crash: the guard stands in, the node comes back, and does not move by itself
        (node,) = _processes("driven_by_double")
        os.kill(node, signal.SIGKILL)
        rig.wait(lambda: not any(rig.commands[-1][1]), "zero")
        rig.wait_for_state("disabled")
        heard = len(rig.commands)
        rig.wait(lambda: len(rig.commands) > heard + 25, "zeros")
        assert not any(any(velocities) for _, velocities in rig.commands[heard:])
        assert rig.enable(True).success
        rig.wait(lambda: rig.commands[-1][1][0] == pytest.approx(0.15), "speed again")
        end(rig, process)
        rig.wait(lambda: not any(rig.commands[-1][1]), "zero at the end")


def test_a_bad_checkpoint_ends_the_launch(ros_domain, tmp_path, prefix) -> None:
    with Rig(tmp_path) as rig:
        process = launch(rig, prefix, f"checkpoint:={rig.behaviour('refuse')}")
        rig.wait_for_exit(process, 30.0)
        assert "the test says that it is no good" in rig.log()


def test_room_for_images_is_set_unless_the_user_has_done_so(
    ros_domain, tmp_path, prefix, monkeypatch
) -> None:
    with Rig(tmp_path) as rig:
        checkpoint = f"checkpoint:={rig.behaviour('forward:0.2')}"
        process = launch(rig, prefix, checkpoint, "autostart:=false")
        rig.wait_for_state("unconfigured")
        (node,) = _processes("driven_by_double")
        environment = Path(f"/proc/{node}/environ").read_bytes().decode().split("\0")
        profiles = prefix / "share" / "mobile_vla_ros" / "config" / "fastdds.xml"
        given = [e for e in environment if e.startswith("FASTRTPS_DEFAULT_PROFILES_FILE=")]
        assert given
        assert Path(given[0].split("=", 1)[1]).samefile(profiles)
        end(rig, process)


def _processes(word: str) -> list[int]:
    """Process ids, among those of this domain, whose command line has `word`."""
    domain = f"ROS_DOMAIN_ID={os.environ['ROS_DOMAIN_ID']}\0".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            environment = (entry / "environ").read_bytes()
        except OSError:
            continue
        if word.encode() in command and domain in environment:
            found.append(int(entry.name))
    return found
