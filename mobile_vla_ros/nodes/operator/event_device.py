"""A gamepad as the kernel's event device tells it (linux/input.h); no library is needed."""

from __future__ import annotations

import fcntl
import glob
import os
import select
import struct
import threading
import time
from collections.abc import Callable

from mobile_vla_ros.control.gamepad import Pad
from mobile_vla_ros.errors import InputError

PATTERN = "/dev/input/by-id/*-event-joystick"
RETRY_SECONDS = 1.0
# struct input_event: seconds, microseconds, type, code, value
_EVENT = struct.Struct("@llHHi")
_KEY, _ABSOLUTE = 1, 3
_X, _Y, _Z, _RIGHT_Z, _GAS = 0x00, 0x01, 0x02, 0x05, 0x09
_EAST, _LEFT, _RIGHT, _SELECT, _START = 0x131, 0x136, 0x137, 0x13A, 0x13B
# struct input_absinfo: value, minimum, maximum, fuzz, flat, resolution
_RANGE = struct.Struct("@6i")
_PLAIN_RANGE = (-32768, 32767)


class EventDeviceError(InputError):
    """There is no such gamepad, or it may not be read."""


class EventPad:
    """Turns events into positions.

    Args:
        ranges: code of an axis -> (smallest, largest value).
    """

    def __init__(self, ranges: dict[int, tuple[int, int]] | None = None) -> None:
        self._ranges = ranges or {}
        self._axes: dict[int, float] = {}
        self._keys: set[int] = set()

    def take(self, kind: int, code: int, value: int) -> Pad:
        """One event; where everything is after it."""
        if kind == _ABSOLUTE:
            low, high = self._ranges.get(code, _PLAIN_RANGE)
            self._axes[code] = 2.0 * (value - low) / max(1, high - low) - 1.0
        elif kind == _KEY:
            (self._keys.add if value else self._keys.discard)(code)
        pulled = max(self._axes.get(_RIGHT_Z, -1.0), self._axes.get(_GAS, -1.0))
        return Pad(
            x=self._axes.get(_X, 0.0),
            y=-self._axes.get(_Y, 0.0),
            trigger=(pulled + 1.0) / 2.0,
            held=bool(self._keys & {_LEFT, _RIGHT}),
            stop=_EAST in self._keys,
            release={_SELECT, _START} <= self._keys,
        )


class EventDevice:
    """Reads a device in a thread of its own, and finds it again after a loss.

    Args:
        path: of the device; '' for the first gamepad.
        hear: called with each position.
        lost: called when it is gone.
        say: called with a sentence for the log.
    """

    def __init__(
        self,
        path: str,
        hear: Callable[[Pad], None],
        lost: Callable[[], None],
        say: Callable[[str], None],
    ) -> None:
        self._path = path
        self._hear = hear
        self._lost = lost
        self._say = say
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_reading, name="pad", daemon=True)

    def start(self) -> None:
        """Begins.

        Raises:
            EventDeviceError: a device that was named is not there, or may not be read.
        """
        if self._path:
            try:
                os.close(os.open(self._path, os.O_RDONLY | os.O_NONBLOCK))
            except OSError as error:
                advice = "; add yourself to the group 'input'" if error.errno == 13 else ""
                raise EventDeviceError(f"gamepad {self._path}: {error.strerror}{advice}") from None
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether its thread still works."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Ends it."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join(0.5)

    def _keep_reading(self) -> None:
        waiting = False
        while not self._ending.is_set():
            path = self._path or next(iter(sorted(glob.glob(PATTERN))), "")
            try:
                device = os.open(path, os.O_RDONLY | os.O_NONBLOCK) if path else None
            except OSError:
                device = None
            if device is None:
                if not waiting:
                    self._say(f"waiting for a gamepad ({self._path or PATTERN})")
                waiting = True
                self._ending.wait(RETRY_SECONDS)
                continue
            waiting = False
            self._say(f"gamepad {path}: hold LB or RB and pull the left stick; B stops")
            try:
                self._read(device)
            finally:
                os.close(device)
                self._lost()
            if not self._ending.is_set():
                self._say("the gamepad is gone: the robot stands")
                self._ending.wait(RETRY_SECONDS)

    def _read(self, device: int) -> None:
        """Until it is gone."""
        pad = EventPad(_ranges(device))
        while not self._ending.is_set():
            if not select.select([device], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(device, 64 * _EVENT.size)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            for at in range(0, len(data) - _EVENT.size + 1, _EVENT.size):
                _, _, kind, code, value = _EVENT.unpack_from(data, at)
                self._hear(pad.take(kind, code, value))


def event(kind: int, code: int, value: int) -> bytes:
    """An event as the kernel writes it."""
    now = time.time()
    return _EVENT.pack(int(now), int(now % 1 * 1e6), kind, code, value)


def _ranges(device: int) -> dict[int, tuple[int, int]]:
    found = {}
    for code in (_X, _Y, _Z, _RIGHT_Z, _GAS):
        buffer = bytearray(_RANGE.size)
        try:
            # EVIOCGABS(code): read, 24 bytes, 'E', 0x40 + code
            fcntl.ioctl(device, 0x80184540 + code, buffer)
        except OSError:
            continue
        _, low, high, *_ = _RANGE.unpack(buffer)
        if high > low:
            found[code] = (low, high)
    return found
