"""A terminal as a source of single keys, with one line of status at its bottom."""

from __future__ import annotations

import os
import select
import shutil
import sys
import termios
import threading
import tty
import unicodedata
from collections.abc import Callable

from mobile_vla_ros.control.keyboard import KeyDecoder
from mobile_vla_ros.errors import InputError

# Longer than a terminal takes between the bytes of one key, shorter than a person between two.
PAUSE = 0.1
_CLEAR = "\r\x1b[K"


class TerminalError(InputError):
    """There is no terminal to read keys from."""


class Terminal:
    """Reads keys one by one from a thread of its own, and gives the terminal back on `close`.

    The process's standard input is used when it is a terminal. A launch file gives its processes
    none; the terminal that `ros2 launch` itself runs in is then found as /dev/tty.

    Args:
        keys: called from the reading thread with each key.
        lost: called once from the reading thread when the terminal has gone.
        path: another terminal device to use.

    Raises:
        TerminalError: there is no terminal, or this process may not read from it.
    """

    def __init__(
        self, keys: Callable[[str], None], lost: Callable[[], None], path: str = ""
    ) -> None:
        self._keys = keys
        self._lost = lost
        self._file = _open_terminal(path)
        self._saved = termios.tcgetattr(self._file)
        tty.setcbreak(self._file, termios.TCSANOW)
        settings = termios.tcgetattr(self._file)
        # A suspended process could not stop the robot: Ctrl-Z comes as a key instead.
        settings[6][termios.VSUSP] = b"\x00"
        termios.tcsetattr(self._file, termios.TCSANOW, settings)
        self._wake, self._waker = os.pipe()
        self._thread = threading.Thread(target=self._read, name="keys", daemon=True)
        self._thread.start()

    def show(self, line: str) -> None:
        """Replaces the status line; it is cut to the terminal's width.

        The cursor is left at its start, so that what other processes print there replaces it.
        """
        width = shutil.get_terminal_size().columns
        try:
            width = os.get_terminal_size(self._file).columns or width
        except OSError:
            return
        self._write(_CLEAR + cut_to_width(line, width - 1) + "\r")

    def say(self, text: str) -> None:
        """Prints lines above the status line."""
        self._write(_CLEAR + text.replace("\n", "\r\n") + "\r\n")

    def close(self) -> None:
        """Gives the terminal back as it was."""
        os.write(self._waker, b"x")
        self._thread.join(1.0)
        try:
            termios.tcsetattr(self._file, termios.TCSANOW, self._saved)
            self._write("\r\n")
        except termios.error:
            # The terminal has gone; there is nothing left to restore.
            pass
        for file in (self._file, self._wake, self._waker):
            os.close(file)

    def _write(self, text: str) -> None:
        try:
            os.write(self._file, text.encode())
        except OSError:
            # Gone: the reading thread says so.
            return

    def _read(self) -> None:
        decoder = KeyDecoder()
        while True:
            ready, _, _ = select.select([self._file, self._wake], [], [], PAUSE)
            if self._wake in ready:
                return
            if not ready:
                found = decoder.pause()
            else:
                try:
                    data = os.read(self._file, 1024)
                except OSError:
                    data = b""
                if not data:
                    self._lost()
                    return
                found = decoder.feed(data)
            for key in found:
                self._keys(key)


class TextLine:
    """A line of text that is typed key by key: Enter ends it, Escape gives it up."""

    def __init__(self, question: str, text: str = "") -> None:
        self.question = question
        self.text = text

    def press(self, key: str) -> bool | None:
        """True when the line is done, False when it was given up, None while it goes on."""
        if key in ("\n", "\r"):
            self.text = self.text.strip()
            return True
        if key in ("\x1b", "\x1a"):
            return False
        if key in ("\x7f", "\b"):
            self.text = self.text[:-1]
        elif key == "\x15":  # Ctrl-U
            self.text = ""
        elif key.isprintable():
            self.text += key
        return None

    def __str__(self) -> str:
        return f"{self.question}: {self.text}_  (Enter takes it, Escape leaves it)"


def cut_to_width(line: str, width: int) -> str:
    """As much of `line` as fits `width` columns; East Asian characters take two."""
    used = 0
    for place, character in enumerate(line):
        used += 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if used > width:
            return line[:place]
    return line


def _open_terminal(path: str) -> int:
    if not path and sys.stdin is not None and sys.stdin.isatty():
        return os.dup(sys.stdin.fileno())
    name = path or "/dev/tty"
    try:
        file = os.open(name, os.O_RDWR | os.O_NOCTTY)
    except OSError as error:
        raise TerminalError(
            f"no terminal to read keys from ({name}: {error.strerror}): start this in a terminal,"
            " e.g. ros2 run mobile_vla_ros teleop_node"
        ) from error
    try:
        background = os.tcgetpgrp(file) != os.getpgrp()
    except OSError:
        background = False  # a terminal that is not ours to control has no foreground for us
    if not os.isatty(file) or background:
        os.close(file)
        raise TerminalError(
            f"{name} is not a terminal in whose foreground this runs: start this in a terminal of"
            " its own, e.g. ros2 run mobile_vla_ros teleop_node"
        )
    return file
