from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.nodes.inference.model import Frame
from mobile_vla_ros.nodes.inference.worker_client import ModelWorker
from mobile_vla_ros.nodes.wiring.images import ImageFormat

DOUBLE = Path(__file__).parents[1] / "worker_double.py"
COMMAND = (sys.executable, str(DOUBLE))
DEADLINE = 30.0


class Events:
    """Puts everything that the worker tells into one queue."""

    def __init__(self) -> None:
        self.told: queue.Queue = queue.Queue()

    def worker_ready(self, report):
        self.told.put(("ready", report))

    def worker_refused(self, sentence):
        self.told.put(("refused", sentence))

    def worker_failed(self, sentence):
        self.told.put(("failed", sentence))

    def frame_sent(self, frame):
        self.told.put(("sent", frame))

    def frame_refused(self, frame, sentence, picture):
        self.told.put(("bad_image", sentence))

    def chunk_came(self, frame, chunk, seconds, more):
        self.told.put(("chunk", frame, chunk))

    def wait_for(self, kind: str):
        deadline = time.monotonic() + DEADLINE
        while True:
            told = self.told.get(timeout=max(0.01, deadline - time.monotonic()))
            if told[0] == kind:
                return told[1:]
            assert told[0] not in ("failed", "refused"), told


def settings(behaviour: str) -> dict:
    path = Path(tempfile.mkdtemp()) / "policy"
    path.write_text(behaviour)
    return {"checkpoint": str(path), "backbone": "", "config": "", "device": "auto"}


def frame_of(image: np.ndarray, number: int, generation: int = 0) -> Frame:
    height, width, _ = image.shape
    return Frame(
        stamp=number * 0.1,
        stamp_nanoseconds=number * 100_000_000,
        generation=generation,
        instruction="go",
        form=ImageFormat("rgb8", height, width, width * 3),
        received=time.monotonic(),
    )


def plain(value: int, height: int = 72, width: int = 128) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def start(events):
    workers = []

    def start(checkpoint: str) -> ModelWorker:
        worker = ModelWorker(events, COMMAND)
        workers.append(worker)
        worker.start(settings(checkpoint))
        return worker

    yield start
    for worker in workers:
        worker.close()


def test_each_frame_comes_back_as_its_own_chunk_whatever_its_size(events, start) -> None:
    worker = start("steady")
    (report,) = events.wait_for("ready")
    assert report["policy"]["action_axes"] == ["linear.x", "angular.z"]
    for number in range(40):
        size = (72 + 8 * (number % 5), 128 + 16 * (number % 3))
        image = plain(number, *size)
        worker.offer(frame_of(image, number), image)
        frame, chunk = events.wait_for("chunk")
        assert frame.stamp_nanoseconds == number * 100_000_000
        np.testing.assert_array_equal(
            chunk.velocities, np.full((10, 2), np.float32(number / 1000))
        )


def test_a_busy_worker_gets_the_newest_whole_frame_only(events, start) -> None:
    worker = start("slow:0.2")
    events.wait_for("ready")
    seen = []
    for number in range(60):
        image = plain(number, 720, 1280)
        worker.offer(frame_of(image, number), image)
        time.sleep(0.01)
        while not events.told.empty():
            told = events.told.get()
            if told[0] == "chunk":
                seen.append(told[1:])
    while seen[-1][0].stamp != 59 * 0.1:
        seen.append(events.wait_for("chunk"))
    assert worker.replaced > 20
    assert len(seen) < 30
    for frame, chunk in seen:
        # the first and the last pixel come from the same frame
        assert chunk.velocities[0, 0] == chunk.velocities[0, 1]
        assert chunk.velocities[0, 0] == np.float32(round(frame.stamp * 10) / 1000)


def test_offering_to_a_stopped_worker_takes_no_time(events, start) -> None:
    worker = start("steady")
    events.wait_for("ready")
    os.kill(worker.process_id, signal.SIGSTOP)
    image = plain(1)
    begin = time.monotonic()
    for number in range(1000):
        worker.offer(frame_of(image, number), image)
    assert time.monotonic() - begin < 5.0
    old = worker.process_id
    worker.start(settings("steady"))
    events.wait_for("ready")
    assert worker.process_id != old
    with pytest.raises(ProcessLookupError):
        os.kill(old, 0)


@pytest.mark.parametrize(
    ("checkpoint", "told", "words"),
    [
        ("refuse", "refused", "no good"),
        ("raise_after:2", "failed", "RuntimeError: the test asked for it"),
        ("die_after:2", "failed", "exit status 3"),
    ],
)
def test_the_end_of_a_worker_is_told_with_its_reason(
    events, start, checkpoint, told, words
) -> None:
    worker = start(checkpoint)
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline:
        image = plain(1)
        worker.offer(frame_of(image, 1), image)
        try:
            event = events.told.get(timeout=0.05)
        except queue.Empty:
            continue
        if event[0] == told:
            assert words in event[1]
            return
    pytest.fail("nothing was told")


def test_a_killed_worker_is_told_with_its_signal(events, start) -> None:
    worker = start("steady")
    events.wait_for("ready")
    os.kill(worker.process_id, signal.SIGKILL)
    assert "SIGKILL" in events.told.get(timeout=DEADLINE)[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_was_killed_or_ended_leaves_nothing_behind(events, start, number) -> None:
    worker = start("steady")
    events.wait_for("ready")
    process = Path(f"/proc/{worker.process_id}")
    os.kill(worker.process_id, number)
    if number == signal.SIGSTOP:  # deaf, it is ended by the node
        worker.stop()
    deadline = time.monotonic() + DEADLINE
    while process.exists():
        assert time.monotonic() < deadline, process.joinpath("status").read_text()
        time.sleep(0.02)


def test_bytes_that_are_no_image_do_not_end_the_worker(events, start) -> None:
    worker = start("steady")
    events.wait_for("ready")
    compressed = Frame(0.0, 0, 0, "go", None, 0.0)
    worker.offer(compressed, b"not a jpeg")
    assert "neither JPEG nor PNG" in events.wait_for("bad_image")[0]
    image = plain(7)
    worker.offer(frame_of(image, 1), image)
    assert events.wait_for("chunk")[1].velocities[0, 0] == np.float32(0.007)


def test_a_worker_never_outlives_its_node_even_while_it_computes(tmp_path) -> None:
    program = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_worker_client import COMMAND, Events, ModelWorker, frame_of, plain, settings
        events = Events()
        worker = ModelWorker(events, COMMAND)
        worker.start(settings("held:60"))
        events.wait_for("ready")
        worker.offer(frame_of(plain(1), 0), plain(1))
        events.wait_for("sent")
        print(worker.process_id, flush=True)
        time.sleep(60)
        """
    )
    node = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    child = int(node.stdout.readline())
    os.kill(child, 0)
    node.kill()
    node.wait()
    deadline = time.monotonic() + DEADLINE
    while time.monotonic() < deadline and _alive(child):
        time.sleep(0.02)
    assert not _alive(child)


def _alive(process_id: int) -> bool:
    try:
        state = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state not in "ZX"
