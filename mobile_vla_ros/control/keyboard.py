"""Driving with keys: which key means which velocity, and for how long it counts."""

from __future__ import annotations

import codecs
import math
from dataclasses import dataclass

from mobile_vla_ros.errors import InputError

# key -> (forward, left, turn left) in units of the speed that is set
OMNI_KEYS: dict[str, tuple[int, int, int]] = {
    "w": (1, 0, 0),
    "s": (-1, 0, 0),
    "a": (0, 1, 0),
    "d": (0, -1, 0),
    "q": (1, 1, 0),
    "e": (1, -1, 0),
    "z": (-1, 1, 0),
    "c": (-1, -1, 0),
    "r": (0, 0, 1),
    "t": (0, 0, -1),
    " ": (0, 0, 0),
}
# A base that cannot strafe turns instead. Backwards to the left its heading turns right.
TURNING_KEYS: dict[str, tuple[int, int, int]] = {
    **OMNI_KEYS,
    "a": (0, 0, 1),
    "d": (0, 0, -1),
    "q": (1, 0, 1),
    "e": (1, 0, -1),
    "z": (-1, 0, -1),
    "c": (-1, 0, 1),
}
FASTER, SLOWER, TURN_FASTER, TURN_SLOWER = ("+", "="), ("-", "_"), (".", ">"), (",", "<")


@dataclass(frozen=True)
class KeyboardSettings:
    """How keys drive.

    Attributes:
        linear_speed, angular_speed: what a key asks for at first, m/s and rad/s.
        max_linear, max_angular: the fastest that the speed keys reach, m/s and rad/s.
        speed_step: factor of one press of a speed key.
        hold: a press counts this long, s; then the base stops.
        first_hold: in held-key mode the first press counts this long, s: a held key repeats
            only after a pause that is longer than `hold`.
        held_keys: keys are held down and repeat, instead of being pressed one by one.
        strafe: the base can move sideways; otherwise a, d and the diagonals turn it.
    """

    linear_speed: float = 0.3
    angular_speed: float = 1.0
    max_linear: float = 1.15
    max_angular: float = 2.0
    speed_step: float = 1.1
    hold: float = 0.4
    first_hold: float = 0.7
    held_keys: bool = False
    strafe: bool = True

    def __post_init__(self) -> None:
        for name in ("linear_speed", "angular_speed", "max_linear", "max_angular", "hold"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"{name} must be a positive number, not {value}")
        if self.linear_speed > self.max_linear or self.angular_speed > self.max_angular:
            raise InputError("the speeds to start with are above max_linear or max_angular")
        if not self.speed_step > 1.0:
            raise InputError(f"speed_step must be above 1, not {self.speed_step}")
        if not self.first_hold >= self.hold:
            raise InputError("first_hold must be at least as long as hold")


@dataclass(frozen=True)
class Press:
    """A driving key that was pressed.

    Attributes:
        key: in lower case; a space is the stop key.
        velocities: x, y (m/s) and turn (rad/s) that start with it, in the base's frame.
        repeated: the key was in force already, so in held-key mode this is its repetition.
    """

    key: str
    velocities: tuple[float, float, float]
    repeated: bool


class Keyboard:
    """The velocity that the keys ask for; it runs out by itself. Time is handed in, in s."""

    def __init__(self, settings: KeyboardSettings | None = None) -> None:
        self.settings = settings or KeyboardSettings()
        self.linear_speed = self.settings.linear_speed
        self.angular_speed = self.settings.angular_speed
        self._map = OMNI_KEYS if self.settings.strafe else TURNING_KEYS
        self._key = ""
        self._until = -math.inf

    def press(self, key: str, now: float) -> Press | None:
        """A key was pressed; None when it is not one that drives."""
        key = key.lower()
        if key not in self._map:
            return None
        if key == " ":
            self.stop()
            return Press(key, (0.0, 0.0, 0.0), False)
        settings = self.settings
        repeated = key == self._key and now < self._until
        first = settings.held_keys and not repeated
        until = now + (settings.first_hold if first else settings.hold)
        # A repetition never cuts the longer first hold short.
        self._until = max(self._until, until) if repeated else until
        self._key = key
        return Press(key, self._velocities(), repeated and settings.held_keys)

    def change_speed(self, key: str) -> bool:
        """+ - change the linear speed, . , the turning speed; False for another key."""
        settings = self.settings
        if key in FASTER:
            self.linear_speed = min(self.linear_speed * settings.speed_step, settings.max_linear)
        elif key in SLOWER:
            self.linear_speed /= settings.speed_step
        elif key in TURN_FASTER:
            faster = self.angular_speed * settings.speed_step
            self.angular_speed = min(faster, settings.max_angular)
        elif key in TURN_SLOWER:
            self.angular_speed /= settings.speed_step
        else:
            return False
        return True

    def stop(self) -> None:
        """Standstill until the next press."""
        self._key, self._until = "", -math.inf

    def key(self, now: float) -> str:
        """The key in force, '' when none is."""
        return self._key if now < self._until else ""

    def velocities(self, now: float) -> tuple[float, float, float]:
        """x, y (m/s) and turn (rad/s) at `now`; zero when no press counts any more."""
        return self._velocities() if now < self._until else (0.0, 0.0, 0.0)

    def _velocities(self) -> tuple[float, float, float]:
        forward, left, turn = self._map[self._key]
        return (
            forward * self.linear_speed,
            left * self.linear_speed,
            turn * self.angular_speed,
        )


class KeyDecoder:
    """Turns what a terminal sends into keys.

    Arrow and function keys come as an escape sequence that ends in a letter; read byte by byte,
    an arrow would drive the robot. They are swallowed.
    """

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")(errors="ignore")
        self._sequence = ""

    def feed(self, data: bytes) -> list[str]:
        """Keys in `data`; a sequence that is cut in two is put together."""
        keys: list[str] = []
        for character in self._decode.decode(data):
            if self._sequence:
                self._sequence += character
                if len(self._sequence) == 2 and character not in "[O":
                    keys += [self._sequence[0]] if character == "\x1b" else []
                    self._sequence = character if character == "\x1b" else ""
                elif len(self._sequence) > 2 and ("@" <= character <= "~"):
                    self._sequence = ""
            elif character == "\x1b":
                self._sequence = character
            else:
                keys.append(character)
        return keys

    def pause(self) -> list[str]:
        """To be called when nothing has come for a while: an escape that stands alone is a key."""
        lone, self._sequence = self._sequence == "\x1b", ""
        return ["\x1b"] if lone else []
