"""Drives with a gamepad, without a browser: hold LB or RB and pull the left stick.

    python -m mobile_vla_ros.nodes.gamepad_node

The right trigger makes it faster, B stops (the policy's ~/stop and a held e-stop), Back and Start
together for a second release that stop. The gamepad is read from the kernel's event device, or
with joy:=true from sensor_msgs/Joy. A gamepad that is lost while it is pressed means standing.
"""

from __future__ import annotations

import math
import sys
import threading
import time

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from sensor_msgs.msg import Joy

from mobile_vla_ros.control.gamepad import Gamepad, Pad
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.operator.drive import StickDrive
from mobile_vla_ros.nodes.operator.emergency import EmergencyStop
from mobile_vla_ros.nodes.operator.event_device import EventDevice
from mobile_vla_ros.nodes.wiring.parameters import Declared, declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.qos import newest_only
from mobile_vla_ros.nodes.wiring.remote import Remote
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.web.stick import FAREWELL_SECONDS, Wish

PARAMETERS = (
    Declared("device", "", "event device of the gamepad; '' = the first one that there is"),
    Declared("joy", False, "true = listen to sensor_msgs/Joy instead of the device"),
    Declared("joy_timeout", 0.2, "s without a Joy message that mean letting go", 0.05, 1.0),
    Declared("guard", True, "cmd_vel_guard is there; false = publish cmd_vel without it"),
    Declared("deadman", False, "publish the common deadman too, while LB or RB is held"),
    Declared("max_linear", 0.3, "m/s at the stick's end", 0.01, 5.0),
    Declared("max_angular", 1.0, "rad/s at the stick's end", 0.01, 10.0),
    Declared("stamped", False, "true = TwistStamped instead of Twist"),
    Declared("base_frame", "base_link", "header.frame_id of a TwistStamped"),
    Declared("policy", "mobile_vla", "name of the inference node"),
)
PROGRAM = Program(
    node="gamepad",
    module="gamepad_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(Topic("joy", "sensor_msgs/Joy", "with joy:=true"),),
    tells=(
        Topic("teleop_cmd_vel", VELOCITY, "while it is held (cmd_vel with guard:=false)"),
        Topic("operator_deadman", "std_msgs/Bool", "true while it is held"),
        Topic("deadman", "std_msgs/Bool", "the same, with deadman:=true"),
        Topic("estop", "std_msgs/Bool", "true from B to its release"),
    ),
    asks=(Topic("mobile_vla/stop", "std_srvs/Trigger", "at B, besides the e-stop"),),
)
# sensor_msgs/Joy of joy_node: axes and buttons as the kernel's old interface counts them.
_X, _Y, _TRIGGER = 0, 1, 5
_EAST, _LEFT, _RIGHT, _SELECT, _START = 1, 4, 5, 6, 7


class GamepadNode(Life, Node):
    """A pad's positions in, velocities out."""

    def __init__(self) -> None:
        super().__init__("gamepad")
        settings = declare(self, PARAMETERS)
        self._limits = (settings["max_linear"], settings["max_angular"])
        self._lock = threading.Lock()
        self._pad = Gamepad(settings["joy_timeout"] if settings["joy"] else math.inf)
        self._released = -math.inf
        self._holding = False
        self._estop = EmergencyStop(self)
        self._policy = Remote(self, settings["policy"], ReentrantCallbackGroup())
        self._drive = StickDrive(
            self,
            settings,
            wish=self._wish,
            taken=lambda: self._holding,
            began=lambda: self.get_logger().info("the gamepad drives"),
        )
        self._device = None
        if settings["joy"]:
            self.create_subscription(Joy, "joy", self._on_joy, newest_only())
        else:
            say = self.get_logger().info
            self._device = EventDevice(settings["device"], self._hear, self._lost, say)

    def work(self, stop: StopSignal) -> int:
        if self._device is not None:
            self._device.start()
        self._drive.start()
        while not stop.wait(0.1):
            with self._lock:
                released = self._pad.tick(time.monotonic())
            if released:
                self._release()
            if not self._drive.alive or (self._device is not None and not self._device.alive):
                return 1
        return 0

    def last_words(self) -> None:
        self._drive.close()
        if self._device is not None:
            self._device.close()

    def _wish(self, now: float) -> Wish:
        with self._lock:
            stick = None if self._estop.held else self._pad.stick(now)
            if stick is None:
                if self._holding:
                    self._released = now
                self._holding = False
                return Wish(False if now - self._released < FAREWELL_SECONDS else None)
            self._holding = True
            return Wish(True, self._limits[0] * stick[1], -self._limits[1] * stick[0])

    def _hear(self, pad: Pad) -> None:
        with self._lock:
            stopped, released = self._pad.hear(pad, time.monotonic())
        if stopped:
            self._estop.press()
            self.get_logger().warning("STOP; Back and Start together for a second release it")
            threading.Thread(target=self._stop_policy, name="stop", daemon=True).start()
        if released:
            self._release()
        if stopped or not pad.held:
            self._drive.wake()

    def _release(self) -> None:
        self._estop.release()
        self.get_logger().info("the stop is released; the guard waits for its ~/release")

    def _lost(self) -> None:
        with self._lock:
            self._pad.lost()
        self._drive.wake()

    def _stop_policy(self) -> None:
        try:
            self._policy.trigger("stop")
        except InputError as error:
            # The e-stop holds it all the same.
            self.get_logger().info(str(error))

    def _on_joy(self, message: Joy) -> None:
        def axis(number: int, otherwise: float = 0.0) -> float:
            return message.axes[number] if number < len(message.axes) else otherwise

        def pressed(number: int) -> bool:
            return number < len(message.buttons) and bool(message.buttons[number])

        # In Joy left and forward are positive, and a trigger goes from 1 to -1.
        self._hear(
            Pad(
                x=-axis(_X),
                y=axis(_Y),
                trigger=(1.0 - axis(_TRIGGER, 1.0)) / 2.0,
                held=pressed(_LEFT) or pressed(_RIGHT),
                stop=pressed(_EAST),
                release=pressed(_SELECT) and pressed(_START),
            )
        )


def main(args: list[str] | None = None) -> int:
    return run_node(PROGRAM, lambda _stop: GamepadNode(), args)


if __name__ == "__main__":
    sys.exit(main())
