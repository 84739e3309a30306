"""``mobile_vla benchmark node``: how punctual the driving node is, over ROS."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError


def node(
    checkpoint: str = typer.Option("", "--checkpoint", "-c", help="The policy to drive with."),
    random: str = typer.Option("small", help="Size of a random policy, without a checkpoint."),
    rate: float = typer.Option(10.0, help="Camera frames per second.", min=0.5),
    width: int = typer.Option(1280, help="Pixels."),
    height: int = typer.Option(720, help="Pixels."),
    control_rate: float = typer.Option(20.0, help="Velocities per second.", min=1.0),
    seconds: float = typer.Option(30.0, help="Length of each measurement.", min=2.0),
    cores: int = typer.Option(2, help="CPU cores for everything together; 0 = all.", min=0),
    busy: bool = typer.Option(False, help="Keep one core busy with another program."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    dtype: str = typer.Option("auto", help="auto, float32, bfloat16 or int8."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Runs a camera and the inference node as processes and listens beside them.

    Reports the time between velocities, the delay from frame to chunk and to command, and the
    image callback. Exit status 1 when the callback takes a millisecond (p99), velocities are more
    than 5 ms off their period (p99), or frames are left out. Needs ROS 2.

    Example: mobile_vla benchmark node --seconds 60 --busy
    """
    from mobile_vla_ros.benchmark.node import NodeLoad, measure_node

    if importlib.util.find_spec("rclpy") is None:
        raise InputError("rclpy cannot be imported: source your ROS 2 setup file first")
    load = NodeLoad(
        checkpoint=checkpoint,
        size=random,
        rate=rate,
        width=width,
        height=height,
        control_rate=control_rate,
        seconds=seconds,
        cores=cores,
        busy=busy,
        device=device,
        dtype=dtype,
    )
    if sys.stderr.isatty():
        print("measuring ...", file=sys.stderr)
    result = measure_node(load)
    interval, callback = result.interval, result.image_callback
    print(
        f"{result.frames['chunks']} chunks of {result.frames['expected']} frames, "
        f"{width}x{height} at {rate:g}/s, {'one core busy' if busy else 'nothing beside'}"
    )
    print(
        f"velocities every {_ms(interval['p50'])} (p99 {_ms(interval['p99'])}, max "
        f"{_ms(interval['max'])}; p99 distance from the period {_ms(interval['off_period_p99'])})"
    )
    print(f"image callback p50 {_ms(callback['p50'])}, p99 {_ms(callback['p99'])}")
    for name, values in (("chunk", result.chunk_delay), ("command", result.command_delay)):
        print(
            f"frame to {name}: p50 {_ms(values['p50'])}, p99 {_ms(values['p99'])}, max "
            f"{_ms(values['max'])}"
        )
    print(
        f"in the worker: image {_ms(result.stages['decoding'])}, policy "
        f"{_ms(result.stages['policy'])}"
    )
    for problem in result.problems:
        print(f"falls short: {problem}")
    write_json(json_file, result)
    if result.problems:
        raise typer.Exit(1)


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"
