"""gamepad_node beside the guard: a pad that is let go, lost or silent means standing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rig import Rig
from sensor_msgs.msg import Joy

from mobile_vla_ros.nodes.operator.event_device import event

pytestmark = pytest.mark.ros

ALLOWED = 0.3
KEY, ABSOLUTE = 1, 3
Y, EAST, LEFT = 1, 0x131, 0x136


@pytest.fixture
def rig(ros_domain: int, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as one:
        one.start("-m", "mobile_vla_ros.nodes.cmd_vel_guard", name="guard")
        one.wait(lambda: one.commands, "the guard's zeros")
        yield one


def start(rig: Rig, *parameters: str) -> None:
    given = [word for parameter in parameters for word in ("-p", parameter)]
    rig.start("-m", "mobile_vla_ros.nodes.gamepad_node", "--ros-args", *given, name="gamepad")


def stands(rig: Rig, since: float) -> None:
    rig.wait(lambda: not rig.moving, "zero")
    time.sleep(0.7)
    moving = [at for at, velocities in rig.commands if any(velocities)]
    assert not rig.moving
    assert moving[-1] - since < ALLOWED


def plug_in(device: Path, first: bytes) -> int:
    """The writing end of the device, once its reader has taken the first bytes.

    The node looks at a device that says nothing and lets go of it again; a pipe is broken then.
    """
    end = time.monotonic() + 20.0
    while True:
        pad = os.open(device, os.O_WRONLY)
        try:
            os.write(pad, first)
            return pad
        except BrokenPipeError:
            os.close(pad)
            assert time.monotonic() < end, "nobody reads the device"


def test_a_device_drives_while_pressed_and_its_loss_stops(rig: Rig, tmp_path: Path) -> None:
    device = tmp_path / "event7"
    os.mkfifo(device)
    start(rig, f"device:={device}")
    pad = plug_in(device, event(ABSOLUTE, Y, -32768))
    time.sleep(0.5)
    assert not rig.moving
    os.write(pad, event(KEY, LEFT, 1))
    rig.wait(lambda: rig.moving, "motion")
    time.sleep(1.0)
    assert rig.commands[-1][1][0] == pytest.approx(0.09)
    os.write(pad, event(KEY, LEFT, 0))
    stands(rig, time.monotonic())
    os.write(pad, event(KEY, LEFT, 1))
    rig.wait(lambda: rig.moving, "motion")
    os.close(pad)  # as when it is unplugged
    stands(rig, time.monotonic())
    plug_in(device, event(KEY, EAST, 1) + event(KEY, LEFT, 1) + event(ABSOLUTE, Y, -32768))
    rig.wait(lambda: "STOP" in rig.log("gamepad"), "the stop")
    time.sleep(0.3)
    assert not rig.moving


def test_joy_messages_that_end_mean_standing(rig: Rig) -> None:
    start(rig, "joy:=true")
    joy = rig.node.create_publisher(Joy, "joy", 10)
    held = Joy(axes=[0.0, 1.0, 0.0, 0.0, 0.0, -1.0], buttons=[0, 0, 0, 0, 1])
    end = time.monotonic() + 30.0
    while not (rig.moving and rig.commands[-1][1][0] > 0.29):
        assert time.monotonic() < end
        joy.publish(held)
        time.sleep(0.05)
    stands(rig, time.monotonic())
