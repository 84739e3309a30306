#!/usr/bin/env python3
"""Measures what the trial manager costs: its own processor time, and the driving node's delay.

    .venv/bin/python scripts/trial_overhead.py --seconds 30 --json overhead.json

A 720p camera at 10 frames/s, odometry at 20 Hz, the guard's commands at 50 Hz, and a
policy whose model is a few lines; the manager keeps its incident ring with frames, chunks,
features, commands and odometry. Its processor time is read from /proc. The delay from frame to
chunk is read from the driving node's diagnostics, first without the manager, then with it.
"""

from __future__ import annotations

import argparse
import array
import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "test" / "nodes")]
os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

import cv2  # noqa: E402
import numpy as np  # noqa: E402
from nav_msgs.msg import Odometry  # noqa: E402
from rig import Rig  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(process: int) -> float:
    """User and system time of a process so far, s."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def feed(rig: Rig, ending: threading.Event, raw: bool) -> None:
    """Camera and odometry of a robot."""
    if raw:
        camera = rig.node.create_publisher(Image, "image", 5)
    else:
        camera = rig.node.create_publisher(CompressedImage, "image/compressed", 5)
    odometry = rig.node.create_publisher(Odometry, "odom", 5)
    rng = np.random.default_rng(0)
    small = rng.integers(0, 255, (90, 160, 3), np.uint8)
    pictures = []
    for shift in range(10):
        picture = cv2.resize(np.roll(small, shift, 1), (1280, 720), interpolation=cv2.INTER_CUBIC)
        data = picture.tobytes() if raw else cv2.imencode(".jpg", picture)[1].tobytes()
        pictures.append(array.array("B", data))
    number = 0
    due = time.monotonic()
    while not ending.is_set():
        if number % 2 == 0:
            picture = pictures[number // 2 % 10]
            if raw:
                message = Image(width=1280, height=720, step=3840, encoding="bgr8", data=picture)
            else:
                message = CompressedImage(format="jpeg", data=picture)
            message.header.stamp = rig.node.get_clock().now().to_msg()
            camera.publish(message)
        pose = Odometry()
        pose.pose.pose.position.x = 0.01 * number
        pose.pose.pose.orientation.w = 1.0
        odometry.publish(pose)
        number += 1
        due = max(due + 0.05, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def delays(rig: Rig, seconds: float) -> list[float]:
    """Frame to chunk in the driving node, p50 of every second, in ms."""
    start = len(rig.diagnostics)
    time.sleep(seconds)
    told = [entry.get("frame_to_chunk_p50", "nan") for entry in rig.diagnostics[start:]]
    return [1000 * float(value) for value in told if value not in ("", "nan")]


def measure(seconds: float, folder: Path, raw: bool = False) -> dict:
    """Runs both halves; returns the numbers."""
    transport = "raw" if raw else "compressed"
    ending = threading.Event()
    with Rig(folder) as rig:
        thread = threading.Thread(target=feed, args=(rig, ending, raw), daemon=True)
        thread.start()
        rig.start_node(
            "forward:0.2",
            *("-r", "cmd_vel:=policy_cmd_vel"),
            image_transport=transport,
            instruction="go",
            image_timeout=2.0,
            max_frame_age=2.0,
        )
        rig.start("-m", "mobile_vla_ros.nodes.cmd_vel_guard", name="guard")
        rig.wait_until_moving()
        without = delays(rig, seconds)
        file = rig.write_parameters(
            {
                "directory": str(folder / "trials"),
                "image_transport": transport,
                "scenario": "1box_left",
                "instruction": "go",
                "record": False,
                "time_limit": 3600.0,
            }
        )
        manager = rig.start(
            *("-m", "mobile_vla_ros.nodes.trial_node", "--ros-args", "--params-file", str(file)),
            name="manager",
        )
        answer = rig.call(Trigger, "trial_manager/start", Trigger.Request())
        assert answer.success, answer.message
        time.sleep(12.0)  # the ring fills
        begin, busy = time.monotonic(), processor_seconds(manager.pid)
        with_manager = delays(rig, seconds)
        share = (processor_seconds(manager.pid) - busy) / (time.monotonic() - begin)
        memory = int(Path(f"/proc/{manager.pid}/statm").read_text().split()[1]) * 4096
        ending.set()
        thread.join()
    return {
        "seconds": seconds,
        "image_transport": transport,
        "processor_share": round(share, 4),
        "resident_megabytes": round(memory / 1e6, 1),
        "frame_to_chunk_ms_without": round(float(np.median(without)), 3),
        "frame_to_chunk_ms_with": round(float(np.median(with_manager)), 3),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=30.0, help="of each half")
    parser.add_argument("--domain", type=int, default=78, help="ROS domain to work in")
    parser.add_argument("--json", help="write the numbers here")
    parser.add_argument("--raw", action="store_true", help="a raw image topic, not a compressed")
    options = parser.parse_args()
    os.environ["ROS_DOMAIN_ID"] = str(options.domain)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options.seconds, Path(folder), options.raw)
    print(json.dumps(result, indent=1))
    if options.json:
        Path(options.json).write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
