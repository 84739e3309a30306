"""Ctrl-C while Python still imports a program ends it without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def start(tmp_path: Path, module: str, slow: str) -> subprocess.Popen[str]:
    """Starts a program whose import of the package `slow` says so and takes for ever."""
    (tmp_path / f"{slow}.py").write_text("import time\nprint('importing')\ntime.sleep(60)\n")
    path = os.pathsep.join((str(tmp_path), str(REPOSITORY)))
    return subprocess.Popen(
        [sys.executable, "-u", "-m", module],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("module", "slow", "status", "said"),
    [
        ("mobile_vla_ros.nodes.cmd_vel_guard", "rclpy", 0, ""),
        ("mobile_vla_ros.nodes.tools.doctor_node", "rclpy", 0, ""),
        ("mobile_vla_ros.cli.main", "typer", 130, "mobile_vla: interrupted\n"),
    ],
)
def test_ctrl_c_while_python_imports_is_an_end_without_a_traceback(
    tmp_path: Path, module: str, slow: str, status: int, said: str
) -> None:
    process = start(tmp_path, module, slow)
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (status, said)


def test_the_models_process_leaves_ctrl_c_to_its_node_from_the_first_moment(
    tmp_path: Path,
) -> None:
    process = start(tmp_path, "mobile_vla_ros.nodes.inference.worker", "numpy")
    assert process.stdout is not None
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.kill()
    process.communicate()


def test_whoever_only_imports_the_nodes_keeps_python_s_own_answer_to_ctrl_c() -> None:
    program = (
        "import signal, mobile_vla_ros.nodes, mobile_vla_ros.cli\n"
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=REPOSITORY)
