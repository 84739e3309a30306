#!/usr/bin/env python3
"""Drives a robot by the keyboard of teleop_node, as a person at a terminal would, and records.

    python scripts/drive_by_keyboard.py --episodes 10

Camera (or the simulated field) and recorder_node run already, with a scenario and an instruction.
Keys go through a pseudo-terminal; what the screen says decides when to go on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pty
import subprocess
import sys
import threading
import time

# Forward with a turn to the left and back again, so that the robot stays where it can be seen.
DRIVE = "wwwqwwww" + "ssszssss"
PRESS_SECONDS = 0.35
PATIENCE = 60.0
# The recorder's answer to a start: the status line begins with it.
RECORDING = "recording '"
PROGRAM = (
    "import fcntl, os, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execv(sys.executable, [sys.executable, '-m', 'mobile_vla_ros.nodes.teleop_node'])"
)


class Keyboard:
    """A terminal with teleop_node in it."""

    def __init__(self) -> None:
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM], stdin=theirs, stdout=theirs, stderr=theirs
        )
        os.close(theirs)
        self.screen = ""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._ours, 4096):
                self.screen += data.decode(errors="replace")

    def press(self, key: str) -> None:
        os.write(self._ours, key.encode())

    def wait_for(self, words: str, since: int) -> None:
        """Until the screen has said `words`; ends the program when it does not."""
        deadline = time.monotonic() + PATIENCE
        while words not in self.screen[since:]:
            if time.monotonic() > deadline or self.process.poll() is not None:
                tail = " ".join(self.screen[-800:].split())
                sys.exit(f"the screen does not say {words!r} but ends in: {tail}")
            time.sleep(0.05)

    def leave(self) -> None:
        self.press("\x03")
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=10)
    count = parser.parse_args().episodes
    keyboard = Keyboard()
    try:
        keyboard.wait_for("Ctrl-C ends", 0)
        # Recorder and camera are found by the first start that succeeds.
        for number in range(1, count + 1):
            begin = len(keyboard.screen)
            deadline = time.monotonic() + PATIENCE
            while RECORDING not in keyboard.screen[begin:]:
                if time.monotonic() > deadline:
                    tail = " ".join(keyboard.screen[-800:].split())
                    sys.exit(f"no episode begins: {tail}")
                keyboard.press("n")
                until = time.monotonic() + 3
                while time.monotonic() < until and RECORDING not in keyboard.screen[begin:]:
                    time.sleep(0.05)
            for key in DRIVE:
                keyboard.press(key)
                time.sleep(PRESS_SECONDS)
            begin = len(keyboard.screen)
            keyboard.press("m")
            keyboard.wait_for("saved", begin)
            print(f"episode {number} of {count} saved", flush=True)
    finally:
        keyboard.leave()


if __name__ == "__main__":
    main()
