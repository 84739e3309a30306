"""What is live is shown as new as it comes, and only a film is shown at its rate."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest

from mobile_vla_ros.nodes.camera.source import Source

FRAMES = 60


def picture(number: int) -> np.ndarray:
    """A picture whose brightness is its number."""
    return np.full((48, 64, 3), 4 * number, np.uint8)


def number_of(frame: np.ndarray) -> int:
    return round(float(frame.mean()) / 4)


class NetworkCamera(BaseHTTPRequestHandler):
    """MJPEG over HTTP: all its frames at once, then silence until the test is over."""

    over = threading.Event()

    def log_message(self, *_words) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
        self.end_headers()
        for number in range(FRAMES):
            data = cv2.imencode(".jpg", picture(number))[1].tobytes()
            head = b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(data)
            self.wfile.write(head + data + b"\r\n")
        self.over.wait(30)


@pytest.fixture
def serve() -> Iterator[Callable]:
    servers = []
    NetworkCamera.over.clear()

    def start(handler) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}"

    yield start
    NetworkCamera.over.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def film(path: Path) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 20.0, (64, 48))
    for number in range(10):
        writer.write(picture(number))
    writer.release()
    return path


def test_of_a_network_camera_the_newest_frame_is_read_and_nothing_is_paced(serve) -> None:
    source = Source(serve(NetworkCamera) + "/video.mjpg")
    assert source.is_stream
    assert not source.is_file
    assert source.description.startswith("stream http://127.0.0.1")
    seen = [-1]
    end = time.monotonic() + 20
    # Whoever reads slowly misses frames, and is shown none that is old.
    while seen[-1] < FRAMES - 2 and time.monotonic() < end:
        time.sleep(0.2)
        seen.append(number_of(source.read()))
        assert 0.0 <= source.age() < 20.0
    assert seen[-1] >= FRAMES - 2
    assert seen == sorted(set(seen))
    assert len(seen) < FRAMES
    source.close()


def test_a_film_behind_an_address_is_a_film(serve, tmp_path: Path) -> None:
    film(tmp_path / "film.avi")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_words) -> None:
            pass

    source = Source(serve(partial(Quiet, directory=str(tmp_path))) + "/film.avi")
    assert source.is_file
    assert source.rate == pytest.approx(20.0)
    assert number_of(source.read()) == 0
    source.close()


def test_a_file_is_a_film_and_has_an_end(tmp_path: Path) -> None:
    source = Source(str(film(tmp_path / "film.avi")))
    assert source.is_file
    assert [number_of(source.read()) for _ in range(10)] == list(range(10))
    assert source.read() is None
    source.close()
