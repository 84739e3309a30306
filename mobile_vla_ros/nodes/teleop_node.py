"""Drives the robot from the keyboard, and starts, saves and discards episodes.

python -m mobile_vla_ros.nodes.teleop_node
"""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.control.keyboard import Keyboard, KeyboardSettings
from mobile_vla_ros.nodes.teleop.recorder_link import ASKS, RecorderLink
from mobile_vla_ros.nodes.teleop.status_line import status_line
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.terminal import Terminal, TextLine
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher, twist_of

PARAMETERS = (
    Declared(
        "linear_speed", 0.3, "m/s of w, s, a, d at first; + and - change it by a tenth", 0.01, 5.0
    ),
    Declared(
        "angular_speed", 1.0, "rad/s of r, t at first; . and , change it by a tenth", 0.01, 10.0
    ),
    Declared(
        "max_linear",
        1.15,
        "the fastest that + reaches, m/s; the old episodes were driven at up to this",
        0.01,
        5.0,
    ),
    Declared("max_angular", 2.0, "the fastest that . reaches, rad/s", 0.01, 10.0),
    Declared("hold", 0.4, "a press counts this long, s; then the robot stops", 0.05, 2.0),
    Declared(
        "first_hold",
        0.7,
        "with held_keys the first press counts this long, s: key repeat starts late",
        0.05,
        3.0,
    ),
    Declared("held_keys", False, "true = keys are held down instead of pressed one by one"),
    Declared("strafe", True, "the base can move sideways; false = a, d and diagonals turn it"),
    Declared("rate", 20.0, "commands/s while driving", 5.0, 100.0),
    Declared("stamped", False, "true = TwistStamped instead of Twist"),
    Declared("base_frame", "base_link", "header.frame_id of a TwistStamped"),
    Declared(
        "recorder",
        "episode_recorder",
        "name of the recorder node, which n, m and Backspace speak to",
    ),
    Declared("terminal", "", "terminal device to read; '' = the one this runs in"),
)
PROGRAM = Program(
    node="teleop",
    module="teleop_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(Topic("episode_recorder/status", "std_msgs/String", "JSON, of the recorder"),),
    tells=(
        Topic("cmd_vel", VELOCITY, "what the keys say, m/s and rad/s"),
        Topic("teleop_key", "geometry_msgs/TwistStamped", "each press once, for the recorder"),
    ),
    asks=ASKS,
)
HELP = """\
  q w e     drive: w/s forward/back, a/d left/right, q/e/z/c diagonals, r/t turn, space stops
  a s d     each press counts {hold} s        + - speed   . , turning speed
  z   c     n new episode   m save it   Backspace twice: throw it away
            ] [ next/previous scenario   p what the plan proposes   o other scenario
            i instruction   h this help   Ctrl-C ends"""
# After the last motion zeros go out this long; then silence, so that nobody else is fought over.
ZERO_SECONDS = 1.0
STATUS_PERIOD = 0.2
ACKNOWLEDGE_SECONDS = 0.5
LAST_ZEROS = 3


class TeleopNode(Life, Node):
    """Keys in, velocities and requests to the recorder out."""

    def __init__(self, stop: StopSignal, **options: Any) -> None:
        super().__init__("teleop", **options)
        settings = declare(self, PARAMETERS)
        self._stop_signal = stop
        self._keyboard = Keyboard(
            KeyboardSettings(
                **{
                    name: settings[name]
                    for name in (
                        "linear_speed",
                        "angular_speed",
                        "max_linear",
                        "max_angular",
                        "hold",
                        "first_hold",
                        "held_keys",
                        "strafe",
                    )
                }
            )
        )
        self._base_frame = settings["base_frame"]
        self.lost = False
        self._pressed: deque[tuple[str, float]] = deque()
        self._moved_at: float | None = None
        self._line: TextLine | None = None
        self._next_scenario = ""
        self._velocity = VelocityPublisher(
            self, "cmd_vel", stamped=settings["stamped"], frame=settings["base_frame"]
        )
        self._presses = self.create_publisher(TwistStamped, "teleop_key", queued())
        self._recorder = RecorderLink(self, settings["recorder"], self._show)
        self._awake = self.create_guard_condition(self._on_keys)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / settings["rate"], self._on_tick, clock=steady)
        self.create_timer(STATUS_PERIOD, self._show, clock=steady)
        self._terminal = Terminal(self._on_key, self._on_terminal_lost, settings["terminal"])
        self._terminal.say(HELP.format(hold=settings["hold"]))

    # Keys

    def _on_key(self, key: str) -> None:
        """From the terminal's thread."""
        self._pressed.append((key, time.monotonic()))
        self._awake.trigger()

    def _on_terminal_lost(self) -> None:
        """From the terminal's thread."""
        self.lost = True
        self._stop_signal.set()
        self._awake.trigger()

    def _on_keys(self) -> None:
        while self._pressed:
            key, when = self._pressed.popleft()
            if self._line is not None:
                self._type(key)
            else:
                self._press(key, when)
        self._show()

    def _press(self, key: str, when: float) -> None:
        press = self._keyboard.press(key, when)
        if press is not None:
            self._publish(press.velocities)
            self._moved_at = time.monotonic()
            if not press.repeated:
                message = TwistStamped(twist=_twist(press.velocities))
                message.header.stamp = self.get_clock().now().to_msg()
                # The recorder hears of keys by this message; the robot does not.
                message.header.frame_id = self._base_frame
                self._presses.publish(message)
            return
        if self._keyboard.change_speed(key):
            return
        # Whatever else is pressed, the robot does not go on driving meanwhile.
        self._keyboard.stop()
        if key in ("\x7f", "\b"):
            self._recorder.discard(when)
            return
        commands = {
            "n": lambda: self._recorder.request("start"),
            "m": lambda: self._recorder.request("save"),
            "]": lambda: self._recorder.step_scenario(1),
            "[": lambda: self._recorder.step_scenario(-1),
            "p": lambda: self._recorder.set(scenario="", instruction=""),
            "o": lambda: self._ask("scenario"),
            "i": lambda: self._ask("instruction"),
            "h": self._help,
            "?": self._help,
        }
        if key.lower() in commands:
            commands[key.lower()]()

    def _help(self) -> None:
        self._terminal.say(HELP.format(hold=self._keyboard.settings.hold))

    def _ask(self, question: str) -> None:
        text = self._recorder.instruction if question == "instruction" else ""
        self._line = TextLine(question, text)

    def _type(self, key: str) -> None:
        assert self._line is not None
        done = self._line.press(key)
        if done is None:
            return
        line, self._line = self._line, None
        if not done:
            self._next_scenario = ""
        elif line.question == "scenario":
            # The instruction of the scenario before must not be left standing.
            self._next_scenario = line.text
            self._line = TextLine("instruction", self._recorder.instruction)
        elif self._next_scenario:
            self._recorder.set(scenario=self._next_scenario, instruction=line.text)
            self._next_scenario = ""
        else:
            self._recorder.set(instruction=line.text)

    # Driving

    def _on_tick(self) -> None:
        now = time.monotonic()
        velocities = self._keyboard.velocities(now)
        if any(velocities):
            self._moved_at = now
            self._publish(velocities)
        elif self._moved_at is not None:
            self._publish(velocities)
            if now - self._moved_at > ZERO_SECONDS:
                self._moved_at = None

    def _publish(self, velocities: tuple[float, float, float]) -> None:
        self._velocity.publish(_twist(velocities))

    def work(self, stop: StopSignal) -> int:
        stop.wait()
        return 1 if self.lost else 0

    def close(self) -> None:
        """Stops the robot for good, waits until it has been heard, gives the terminal back."""
        self._keyboard.stop()
        for _ in range(LAST_ZEROS):
            self._publish((0.0, 0.0, 0.0))
        self._velocity.wait_for_all_acked(ACKNOWLEDGE_SECONDS)
        if self.lost:
            self.get_logger().error("the terminal is lost: the robot was stopped")
        self._terminal.close()

    def _show(self) -> None:
        if self._line is not None:
            self._terminal.show(str(self._line))
            return
        keyboard = self._keyboard
        key = keyboard.key(time.monotonic())
        driving = (
            f"{key or '-'} {keyboard.linear_speed:.2f} m/s {keyboard.angular_speed:.2f} rad/s"
        )
        recorder = self._recorder
        self._terminal.show(
            status_line(driving, recorder.status(time.monotonic()), recorder.message)
        )


def _twist(velocities: tuple[float, float, float]) -> Twist:
    return twist_of(PLANAR_AXES, velocities)


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, TeleopNode, args)


if __name__ == "__main__":
    sys.exit(main())
