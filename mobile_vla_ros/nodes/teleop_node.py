"""Drives the robot from the keyboard, and starts, saves and discards episodes.

python -m mobile_vla_ros.nodes.teleop_node
"""

from __future__ import annotations

import json
import sys
import time
from collections import deque
from typing import Any

from geometry_msgs.msg import Twist, TwistStamped
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParametersAtomically
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.control.keyboard import Keyboard, KeyboardSettings
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import latched, queued
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
DISCARD_SECONDS = 2.0
ACKNOWLEDGE_SECONDS = 0.5
LAST_ZEROS = 3
# A recorder that has not spoken for so long is not there.
RECORDER_SILENT = 2.0


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
        self._discard_at = 0.0
        self._message = ""
        self._recorder: dict[str, Any] = {}
        self._heard_at = 0.0

        self._velocity = VelocityPublisher(
            self, "cmd_vel", stamped=settings["stamped"], frame=settings["base_frame"]
        )
        self._presses = self.create_publisher(TwistStamped, "teleop_key", queued())
        recorder = settings["recorder"]
        self.create_subscription(String, f"{recorder}/status", self._hear_recorder, latched())
        self._requests = {
            name: self.create_client(Trigger, f"{recorder}/{name}")
            for name in ("start", "save", "discard")
        }
        self._recorder_parameters = self.create_client(
            SetParametersAtomically, f"{recorder}/set_parameters_atomically"
        )
        self._awake = self.create_guard_condition(self._take_keys)
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(1.0 / settings["rate"], self._drive, clock=steady)
        self.create_timer(STATUS_PERIOD, self._show, clock=steady)
        self._terminal = Terminal(self._heard_key, self._lost_terminal, settings["terminal"])
        self._terminal.say(HELP.format(hold=settings["hold"]))

    # Keys

    def _heard_key(self, key: str) -> None:
        """From the terminal's thread."""
        self._pressed.append((key, time.monotonic()))
        self._awake.trigger()

    def _lost_terminal(self) -> None:
        """From the terminal's thread."""
        self.lost = True
        self._stop_signal.set()
        self._awake.trigger()

    def _take_keys(self) -> None:
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
            self._discard(when)
            return
        commands = {
            "n": lambda: self._request("start"),
            "m": lambda: self._request("save"),
            "]": lambda: self._step_scenario(1),
            "[": lambda: self._step_scenario(-1),
            "p": lambda: self._set(scenario="", instruction=""),
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
        text = self._recorder.get("instruction", "") if question == "instruction" else ""
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
            self._line = TextLine("instruction", self._recorder.get("instruction", ""))
        elif self._next_scenario:
            self._set(scenario=self._next_scenario, instruction=line.text)
            self._next_scenario = ""
        else:
            self._set(instruction=line.text)

    # The recorder

    def _hear_recorder(self, message: String) -> None:
        self._recorder = json.loads(message.data)
        self._heard_at = time.monotonic()

    def _request(self, name: str) -> None:
        client = self._requests[name]
        if not client.service_is_ready():
            self._message = "no recorder is running"
            return
        self._message = f"{name} ..."
        client.call_async(Trigger.Request()).add_done_callback(
            lambda future: self._note(future.result().message)
        )

    def _discard(self, when: float) -> None:
        if when - self._discard_at <= DISCARD_SECONDS:
            self._discard_at = 0.0
            self._request("discard")
        else:
            self._discard_at = when
            self._message = "press Backspace once more to throw the episode away"

    def _step_scenario(self, step: int) -> None:
        names = [entry["name"] for entry in self._recorder.get("progress", [])]
        if not names:
            self._message = "the recorder has no plan: press o to name a scenario"
            return
        now = self._recorder.get("scenario", "")
        place = names.index(now) + step if now in names else 0
        self._set(scenario=names[place % len(names)], instruction="")

    def _set(self, **values: str) -> None:
        if not self._recorder_parameters.service_is_ready():
            self._message = "no recorder is running"
            return
        parameters = [
            Parameter(
                name=name,
                value=ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value),
            )
            for name, value in values.items()
        ]
        said = ", ".join(f"{name} {value!r}" for name, value in values.items() if value)
        request = SetParametersAtomically.Request(parameters=parameters)
        self._recorder_parameters.call_async(request).add_done_callback(
            lambda future: self._note(future.result().result.reason or said or "as planned")
        )

    def _note(self, message: str) -> None:
        self._message = message
        self._show()

    # Driving

    def _drive(self) -> None:
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
        parts = [
            f"{key or '-'} {keyboard.linear_speed:.2f} m/s {keyboard.angular_speed:.2f} rad/s"
        ]
        recorder = self._recorder
        if recorder and time.monotonic() - self._heard_at < RECORDER_SILENT:
            length = recorder["episode_length"]
            frames = f"{recorder['frames']}/{length}" if length else f"{recorder['frames']}"
            parts.append(f"{recorder['state']} {recorder['scenario'] or '(no scenario)'}")
            parts.append(
                f"{frames} frames {recorder['frames_dropped']} dropped"
                f" {recorder['frames_lost']} lost"
            )
            wanted = {
                side: sum(e["target"] for e in recorder["progress"] if e["name"].endswith(side))
                for side in ("left", "right")
            }
            parts.append(
                " ".join(
                    f"{side} {recorder[side]}" + (f"/{wanted[side]}" if wanted[side] else "")
                    for side in ("left", "right")
                )
            )
            parts.append(recorder["error"] or self._message or recorder["instruction"])
        else:
            parts.append("no recorder")
            parts.append(self._message)
        self._terminal.show(" | ".join(filter(None, parts)))


def _twist(velocities: tuple[float, float, float]) -> Twist:
    return twist_of(PLANAR_AXES, velocities)


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, TeleopNode, args)


if __name__ == "__main__":
    sys.exit(main())
