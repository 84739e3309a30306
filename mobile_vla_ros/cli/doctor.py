"""``mobile_vla doctor``: one command before going out."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape

from mobile_vla_ros.cli import link, options
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import Rig

if TYPE_CHECKING:
    from mobile_vla_ros.trials.readiness import Finding

# Of a probed server; and the longest that its users wait, s.
PROBE_FRAMES = 30
SLOW_ANSWER = 0.2
INSTRUCTION = "Navigate around obstacles and reach the front of the bottle"

app = typer.Typer(add_completion=False, rich_markup_mode=None)

_MARKS = {"ok": "[green]ok     [/]", "warning": "[yellow]warning[/]", "failure": "[red]failure[/]"}


@app.command()
def doctor(
    checkpoint: str = typer.Option("", "--checkpoint", "-c", help="The policy to be driven."),
    backbone: str = typer.Option("", help="Its Kosmos-2 directory, if it needs one."),
    config: str = typer.Option("", help="Its run file, if it needs one."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    dtype: str = typer.Option("auto", help="auto, float32, bfloat16 or int8."),
    runtime: options.Runtime = "auto",
    image_topic: str = typer.Option("camera/image_raw", help="The camera's topic."),
    image_transport: str = typer.Option("raw", help="raw or compressed."),
    image_reliability: str = typer.Option("auto", help="auto, reliable or best_effort."),
    cmd_vel_topic: str = typer.Option("cmd_vel", help="The base's topic."),
    stamped: bool = typer.Option(False, help="The base takes TwistStamped."),
    namespace: str = typer.Option("", help="The robot's namespace."),
    image_timeout: float = typer.Option(0.25, help="As for the inference node, seconds."),
    max_frame_age: float = typer.Option(0.5, help="As for the inference node, seconds."),
    seconds: float = typer.Option(3.0, help="How long camera frames are counted.", min=0.5),
    wait: float = typer.Option(5.0, help="How long to wait for camera and base.", min=0.0),
    directory: Path = typer.Option(Path("."), help="Where episodes and logs will go."),
    camera_height: float = typer.Option(0.0, help="Of this camera's lens, m; 0: not said."),
    camera_tilt: float = typer.Option(0.0, help="That this camera looks down, degrees."),
    field_of_view: float = typer.Option(0.0, help="Of this camera, degrees across; 0: not said."),
    server: str = link.SERVER,
    token_file: Path | None = link.TOKEN_FILE,
    server_certificate: Path | None = link.CERTIFICATE,
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Checks ROS, camera, base, clocks, disk, memory and the checkpoint, and says what to do.

    Nothing is published and nothing moves. Exit status 1 when a line says failure.

    Example: mobile_vla doctor -c policy/ --image-topic front/image_raw
    """
    from mobile_vla_ros.trials.readiness import FAILURE, Finding, worst_level

    findings: list[Finding] = []
    console = Console(highlight=False)

    def tell(found: list[Finding]) -> None:
        for finding in found:
            advice = f" - {escape(finding.advice)}" if finding.advice else ""
            text = f"{_MARKS[finding.level]} {finding.name}: {escape(finding.text)}{advice}"
            console.print(text, soft_wrap=True)
        findings.extend(found)

    with tempfile.TemporaryDirectory() as folder:
        frames_file = Path(folder) / "frames.npz"
        tell(
            _graph(
                image_topic=image_topic,
                image_transport=image_transport,
                image_reliability=image_reliability,
                cmd_vel_topic=cmd_vel_topic,
                namespace=namespace,
                seconds=seconds,
                wait=wait,
                frames_file=frames_file,
                stamped=stamped,
                image_timeout=image_timeout,
                max_frame_age=max_frame_age,
            )
        )
        tell([_clock()])
        tell([_disk(directory)])
        if checkpoint:
            here = Rig(
                mount_height=camera_height or None,
                tilt=camera_tilt if camera_height else None,
                field_of_view=field_of_view or None,
            )
            tell(_policy(checkpoint, backbone, config, device, dtype, runtime, frames_file, here))
        elif not server:
            tell([Finding("checkpoint", "warning", "none given", "give --checkpoint")])
        if server:
            tell([_server(server, token_file, server_certificate)])
    level = worst_level(findings)
    write_json(json_file, {"level": level, "findings": findings})
    if level == FAILURE:
        raise typer.Exit(1)


def _server(server: str, token_file: Path | None, certificate: Path | None):
    """Whether a policy server answers, and how fast."""
    from mobile_vla_ros.trials.readiness import FAILURE, OK, WARNING, Finding

    try:
        seen = link.figures(link.measure(server, token_file, certificate, PROBE_FRAMES))
    except InputError as error:
        return Finding("server", FAILURE, str(error))
    times = seen["stages"]["frame_to_chunk"]
    trips = seen["stages"]["round_trip"]
    text = (
        f"{seen['policy']['checkpoint']}: frame to chunk p50 {1000 * times['p50']:.0f} ms, p99"
        f" {1000 * times['p99']:.0f} ms; round trip {1000 * trips['p50']:.0f} /"
        f" {1000 * trips['p99']:.0f} ms; {seen['megabits_per_second']:.2f} Mbit/s up;"
        f" {seen['answers']} of {seen['frames']} frames answered"
    )
    slow = not times["p99"] <= SLOW_ANSWER
    advice = "users wait 200 ms at most: a nearer server, or a better network" if slow else ""
    return Finding("server", WARNING if slow else OK, text, advice)


def _graph(
    *,
    image_topic: str,
    image_transport: str,
    image_reliability: str,
    cmd_vel_topic: str,
    namespace: str,
    seconds: float,
    wait: float,
    frames_file: Path,
    stamped: bool,
    image_timeout: float,
    max_frame_age: float,
) -> list:
    from mobile_vla_ros.trials.readiness import (
        FAILURE,
        Finding,
        judge_camera,
        judge_commands,
        judge_ros,
    )

    if importlib.util.find_spec("rclpy") is None:
        return [
            Finding(
                "ROS", FAILURE, "rclpy cannot be imported", "source your ROS 2 setup file first"
            )
        ]
    command = [
        *(sys.executable, "-m", "mobile_vla_ros.nodes.tools.doctor_node", "--ros-args"),
        *("-r", f"image:={image_topic}", "-r", f"cmd_vel:={cmd_vel_topic}"),
        *("-p", f"image_transport:={image_transport}"),
        *("-p", f"image_reliability:={image_reliability}"),
        *("-p", f"seconds:={float(seconds)}", "-p", f"wait:={float(wait)}"),
        *("-p", f"frames_file:='{frames_file}'"),
        *(("-r", f"__ns:=/{namespace.strip('/')}") if namespace else ()),
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + wait + 30)
        seen = json.loads(done.stdout.strip().splitlines()[-1])
    except subprocess.TimeoutExpired:
        return [Finding("ROS", FAILURE, "the ROS graph does not answer", "check the middleware")]
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["no output"])[-1]
        return [Finding("ROS", FAILURE, f"the graph cannot be read: {last}", "check the options")]
    return [
        *judge_ros(seen["ros"]),
        *judge_camera(
            seen["camera"],
            image_timeout=image_timeout,
            max_frame_age=max_frame_age,
            reliability=image_reliability,
        ),
        *judge_commands(seen["commands"], stamped=stamped),
    ]


def _clock():
    from mobile_vla_ros.trials.readiness import judge_clock

    text = None
    if shutil.which("chronyc"):
        done = subprocess.run(
            ["chronyc", "-n", "tracking"], capture_output=True, text=True, timeout=5
        )
        text = done.stdout if done.returncode == 0 else None
    return judge_clock(text)


def _disk(directory: Path):
    from mobile_vla_ros.trials.readiness import FAILURE, Finding, judge_disk

    folder = directory.absolute()
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Finding("disk", FAILURE, f"{folder} cannot be written", "choose another directory")
    return judge_disk(str(folder), shutil.disk_usage(folder).free)


def _policy(
    checkpoint: str,
    backbone: str,
    config: str,
    device: str,
    dtype: str,
    runtime: str,
    frames_file: Path,
    here: Rig,
) -> list:
    import psutil

    from mobile_vla_ros.trials.readiness import FAILURE, OK, Finding, judge_memory, judge_rig

    free = psutil.virtual_memory().available
    try:
        from mobile_vla_ros.policy import load_policy

        begin = time.monotonic()
        policy = load_policy(
            checkpoint,
            backbone=backbone or None,
            config=config or None,
            device=device,
            dtype=dtype,
            runtime=runtime,
        )
        loaded = time.monotonic() - begin
        # A policy that cannot drive is refused here.
        policy.stream(INSTRUCTION)
    except InputError as error:
        return [Finding("checkpoint", FAILURE, str(error), "choose a checkpoint that can drive")]
    except ImportError as error:
        return [Finding("checkpoint", FAILURE, str(error), "install requirements.txt")]
    found = [
        Finding(
            "checkpoint",
            OK,
            f"{policy.provenance.source}: {policy.provenance.kind}, sha256 "
            f"{policy.provenance.sha256[:16]}, loaded in {loaded:.1f} s",
        ),
        Finding("device", OK, f"{policy.device}, {policy.dtype}, runtime {policy.runtime}"),
        judge_rig(policy.provenance.rig, here),
    ]
    if not policy.config.action_axes_confirmed:
        found.append(
            Finding(
                "action axes",
                "warning",
                f"the checkpoint does not say what its outputs are; {policy.config.action_axes} "
                "is a guess",
                "run mobile_vla verify on recorded episodes, then set action_axes",
            )
        )
    if policy.device.type == "cuda" and policy.runtime == "torch":
        import torch

        free = torch.cuda.mem_get_info(policy.device)[1]
    found.append(judge_memory(free, policy.weight_bytes))
    return [*found, _dry_run(policy, frames_file)]


def _dry_run(policy: Any, frames_file: Path) -> Finding:
    """Ten frames through the policy, the camera's own where some were kept."""
    import numpy as np

    from mobile_vla_ros.trials.readiness import FAILURE, Finding, judge_dry_run

    if frames_file.exists():
        with np.load(frames_file) as kept:
            frames = [kept[name] for name in kept.files]
    else:
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 255, (720, 1280, 3), np.uint8) for _ in range(2)]
    stream = policy.stream(INSTRUCTION)
    times = []
    for index in range(11):
        begin = time.monotonic()
        chunk = stream.step(frames[index % len(frames)], index * policy.config.frame_period)
        times.append(time.monotonic() - begin)
        if not np.isfinite(chunk.velocities).all():
            advice = "do not drive this checkpoint"
            return Finding("dry run", FAILURE, "the policy gives NaN", advice)
    source = "camera frames" if frames_file.exists() else "synthetic frames (no camera)"
    verdict = judge_dry_run(times[1:])
    return Finding(verdict.name, verdict.level, f"{source}, {verdict.text}", verdict.advice)
