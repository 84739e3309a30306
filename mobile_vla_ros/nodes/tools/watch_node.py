"""Shows a robot that drives: what it sees and intends, its path from above, its state, live.

Started by ``mobile_vla watch``. It only listens: to the overlay of inference_node, whose drawing
begins when somebody looks, to ``odom`` and to ``~/state``.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import String

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.tools.watch_page import blocks, page
from mobile_vla_ros.nodes.wiring.images import ImageError, decode_compressed
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, newest_only
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.planar import odometry_of

WAYS = ("auto", "window", "terminal", "strip")
PARAMETERS = (
    Declared("way", "auto", "window, terminal, strip, or auto: what there is", options=WAYS),
    Declared("out", "watch.png", "PNG of way strip"),
    Declared("pictures", 8, "pictures in the strip", 1, 64),
    Declared("period", 2.0, "s between two pictures of the strip", 0.1, 600.0),
)
PROGRAM = Program(
    node="watch",
    module="tools.watch_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("mobile_vla/overlay/compressed", "sensor_msgs/CompressedImage"),
        Topic("mobile_vla/state", "std_msgs/String"),
        Topic("odom", "nav_msgs/Odometry"),
    ),
)
WINDOW_PERIOD, TERMINAL_PERIOD = 0.1, 0.25  # s
MOST_POSES = 5000
POSE_STEP = 0.02  # m between two poses that are kept


class WatchNode(Life, Node):
    """Keeps the newest of everything; `work` shows it in a thread that may wait for a screen."""

    def __init__(self) -> None:
        super().__init__("watch")
        self._values = declare(self, PARAMETERS)
        self._newest: tuple[float, Any] | None = None
        self._state = ""
        self._poses: deque[tuple[float, float, float]] = deque(maxlen=MOST_POSES)
        self._lock = threading.Lock()
        topic = "mobile_vla/overlay/compressed"
        self._topic = self.resolve_topic_name(topic)
        self.create_subscription(CompressedImage, topic, self._on_picture, newest_only())
        self.create_subscription(String, "mobile_vla/state", self._on_state, latched())
        self.create_subscription(Odometry, "odom", self._on_odometry, newest_only())

    def work(self, stop: StopSignal) -> int:
        way = self._values["way"]
        if way == "auto":
            way = best_way()
        {"window": self._window, "terminal": self._terminal, "strip": self._strip}[way](stop)
        return 0

    # -- ways to show it -----------------------------------------------------------------------

    def _window(self, stop: StopSignal) -> None:
        from PIL import Image, ImageTk

        root = window()
        root.title(f"mobile_vla watch {self.get_namespace()}")
        label = _label(root)
        closed = threading.Event()
        root.protocol("WM_DELETE_WINDOW", closed.set)
        while not stop.is_set() and not closed.is_set():
            shown = ImageTk.PhotoImage(Image.fromarray(self._page()), master=root)
            label.configure(image=shown)
            label.image = shown  # tkinter itself holds no reference
            root.update()
            stop.wait(WINDOW_PERIOD)
        root.destroy()

    def _terminal(self, stop: StopSignal) -> None:
        sys.stdout.write("\x1b[2J")
        while not stop.wait(TERMINAL_PERIOD):
            columns = shutil.get_terminal_size().columns
            text = blocks(self._page(), columns)
            sys.stdout.write(f"\x1b[H{text}\n\x1b[K{self._state or 'no state yet'}\n")
            sys.stdout.flush()

    def _strip(self, stop: StopSignal) -> None:
        pages: list[np.ndarray] = []
        while len(pages) < self._values["pictures"]:
            if stop.wait(self._values["period"]):
                break
            pages.append(self._page())
            self.get_logger().info(
                f"picture {len(pages)} of {self._values['pictures']}: {self._state or 'no state'}"
            )
        if pages:
            self.get_logger().info(f"wrote {write_strip(self._values['out'], pages)}")

    def _page(self) -> np.ndarray:
        newest = self._newest
        picture, age = None, math.inf
        if newest is not None:
            age = time.monotonic() - newest[0]
            try:
                picture = decode_compressed(newest[1])
            except ImageError:
                picture = None
        with self._lock:
            poses = np.array(self._poses).reshape(-1, 3)
        return page(picture, poses, self._state, age, self._topic)

    # -- what is heard -------------------------------------------------------------------------

    def _on_picture(self, message: CompressedImage) -> None:
        self._newest = (time.monotonic(), message.data)

    def _on_state(self, message: String) -> None:
        self._state = message.data

    def _on_odometry(self, message: Odometry) -> None:
        x, y, yaw, *_ = odometry_of(message)
        with self._lock:
            if self._poses and math.dist(self._poses[-1][:2], (x, y)) < POSE_STEP:
                self._poses[-1] = (x, y, yaw)
            else:
                self._poses.append((x, y, yaw))


def best_way() -> str:
    """A window where there is a display, else the terminal, else a strip of pictures."""
    if os.environ.get("DISPLAY"):
        try:
            window().destroy()
            return "window"
        except InputError:
            pass
    return "terminal" if sys.stdout.isatty() else "strip"


def window() -> Any:
    """A window.

    Raises:
        InputError: there is no tkinter, or no display.
    """
    try:
        import tkinter
    except ImportError:
        raise InputError("a window needs tkinter: sudo apt install python3-tk") from None
    try:
        return tkinter.Tk()
    except tkinter.TclError as error:
        raise InputError(f"a window cannot be opened: {error}") from None


def _label(root: Any) -> Any:
    import tkinter

    label = tkinter.Label(root, bd=0)
    label.pack()
    return label


def write_strip(path: str, pages: list[np.ndarray]) -> Path:
    """Writes pictures below one another into a PNG.

    Raises:
        InputError: it cannot be written.
    """
    from PIL import Image

    width = min(picture.shape[1] for picture in pages)
    target = Path(path)
    try:
        Image.fromarray(np.vstack([picture[:, :width] for picture in pages])).save(target)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write {target}: {error}") from error
    return target


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: WatchNode(), args)


if __name__ == "__main__":
    sys.exit(main())
