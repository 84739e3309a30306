"""``mobile_vla watch``: what a robot sees, intends and does, live, from its topics."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import typer

from mobile_vla_ros.cli.output import check_target
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.launching import parameter_value

app = typer.Typer(add_completion=False, rich_markup_mode=None)
WAYS = ("auto", "window", "terminal", "strip")


@app.command()
def watch(
    namespace: str = typer.Option("/", help="The robot's namespace."),
    way: str = typer.Option(
        "auto", help="window, terminal, strip (a PNG), or auto: the first of these there is."
    ),
    out: Path = typer.Option(Path("watch.png"), help="The PNG of a strip."),
    pictures: int = typer.Option(8, help="How many pictures a strip has.", min=1, max=64),
    period: float = typer.Option(2.0, help="Seconds between two of them.", min=0.1, max=600.0),
) -> None:
    """Shows camera, plan, path from above and state of a robot that runs, until Ctrl-C.

    It only listens, to the topics of inference_node and `odom`; the simulated field's robot is
    watched like any other. A window needs a display and tkinter; a terminal needs 24-bit colours.

    Example: mobile_vla watch --way strip --out drive.png --pictures 6
    """
    if importlib.util.find_spec("rclpy") is None:
        raise InputError("watch needs ROS 2: source its setup file")
    if way not in WAYS:
        raise InputError(f"--way {way}: give one of {', '.join(WAYS)}")
    if way in ("auto", "strip"):
        check_target(out)
    given = [
        *("-p", f"way:={way}", "-p", f"out:={parameter_value(str(out))}"),
        *("-p", f"pictures:={pictures}", "-p", f"period:={period}", "-r", f"__ns:={namespace}"),
        # Several may watch.
        *("-r", f"__node:=watch_{os.getpid()}"),
    ]
    node = [sys.executable, "-m", "mobile_vla_ros.nodes.tools.watch_node", "--ros-args", *given]
    try:
        status = subprocess.call(node)
    except KeyboardInterrupt:
        # The node has heard it too, and ends by itself.
        status = 0
    raise typer.Exit(status)
