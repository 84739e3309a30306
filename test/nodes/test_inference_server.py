"""The node with its policy behind a socket: it drives, and it stands when the server is gone."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from rig import Rig

pytestmark = pytest.mark.ros

SERVING = Path(__file__).parents[1] / "serving"
TOKEN = "a-token-for-tests"


class Server:
    """`mobile_vla serve` with a model that does as it is told."""

    def __init__(self, folder: Path, behaviour: str = "echo") -> None:
        self.folder = folder
        (folder / "policy.txt").write_text(behaviour)
        (folder / "token").write_text(TOKEN)
        self.port = 0
        self.process: subprocess.Popen | None = None

    def start(self) -> None:
        program = textwrap.dedent(
            f"""
            import sys
            from mobile_vla_ros.serving import server
            double = ({sys.executable!r}, {str(SERVING / "model_double.py")!r})
            server.PolicyServer.__init__.__defaults__ = (double,)
            from mobile_vla_ros.cli.main import main
            main(["serve", "policy.txt", "--port", "{self.port}", "--token-file", "token"])
            """
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", program],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=open(self.folder / "serve.log", "a"),  # noqa: SIM115
            text=True,
        )
        line = self.process.stdout.readline()
        assert "ready on ws://" in line, (self.folder / "serve.log").read_text()
        self.port = int(line.split(":")[2])

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


@pytest.fixture
def server(tmp_path):
    one = Server(tmp_path)
    one.start()
    yield one
    one.kill()


def drive(rig: Rig, server: Server, **parameters):
    return rig.start_node(
        "",
        double=False,
        server=f"ws://127.0.0.1:{server.port}",
        instruction="go",
        image_timeout=0.5,
        **parameters,
    )


def test_it_drives_stands_when_the_server_is_gone_and_drives_on_when_it_is_back(
    rig, server
) -> None:
    drive(rig, server, token_file=str(rig.tmp_path / "token"))
    rig.start_camera()
    rig.wait_until_moving()
    assert rig.chunks
    server.kill()
    rig.wait_for_state("stopped: server lost")
    heard = len(rig.commands)
    rig.wait(lambda: len(rig.commands) > heard + 10, "zeros that keep coming")
    assert not any(any(velocities) for _, velocities in rig.commands[heard:])
    server.start()
    rig.wait_for_state("driving")


def test_a_wrong_token_is_a_sentence_and_an_end(rig, server) -> None:
    wrong = rig.tmp_path / "wrong"
    wrong.write_text("another-token")
    node = drive(rig, server, token_file=str(wrong))
    assert rig.wait_for_exit(node, 20.0) == 2
    assert "refuses the token" in rig.log("node")


def test_a_server_that_is_not_there_yet_is_waited_for_by_name(rig, server) -> None:
    server.kill()
    drive(rig, server, token_file=str(rig.tmp_path / "token"))
    rig.wait(lambda: "stopped: server lost" in rig.states, "it says that the server is lost")
    server.start()
    rig.start_camera()
    rig.wait_for_state("driving")
