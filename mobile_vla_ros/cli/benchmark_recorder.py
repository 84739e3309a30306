"""``mobile_vla benchmark recorder``: does recording keep up with the camera."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.benchmark.recorder import RecorderResult


def recorder(
    seconds: float = typer.Option(60.0, min=1.0, help="Length of the episode."),
    image_format: str = typer.Option("jpeg", "--format", help="raw or jpeg."),
    width: int = typer.Option(1280, help="Pixels."),
    height: int = typer.Option(720, help="Pixels."),
    rate: float = typer.Option(30.0, min=1.0, help="Camera frames per second; all are recorded."),
    noise: int = typer.Option(24, min=0, max=255, help="Grey levels of noise in the pictures."),
    cores: int = typer.Option(2, min=0, help="CPU cores for everything together; 0 = all."),
    directory: Path | None = typer.Option(
        None, help="Disk to record on (a temporary folder if not given)."
    ),
    keep: bool = typer.Option(False, help="Leave the episode there."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(None, help="Memory over time, as a picture."),
) -> None:
    """Records a camera process through DDS and reports drops, times, bytes and memory.

    Needs ROS 2. Exit status 1 when a frame is dropped or lost, the recorder's callback takes a
    millisecond or more (99th percentile), saving takes over 2 s, or memory grows. Raw 720p at 30
    frames/s writes 83 MB each second.

    Example: mobile_vla benchmark recorder --format raw --seconds 120 --directory ~/episodes
    """
    from mobile_vla_ros.benchmark.recorder import RecorderLoad, measure_recorder

    if image_format not in ("raw", "jpeg"):
        raise InputError(f"--format is {image_format!r}: use raw or jpeg")
    with tempfile.TemporaryDirectory() as temporary:
        load = RecorderLoad(
            directory=directory or Path(temporary),
            seconds=seconds,
            width=width,
            height=height,
            rate=rate,
            image_format=image_format,
            noise=noise,
            cores=cores,
            keep=keep and directory is not None,
        )
        result = _with_progress(load, measure_recorder)
    _tell(result)
    write_json(json_file, {**vars(result), "load": vars(load)})
    if plot is not None:
        _draw(result, plot)
    if result.problems:
        raise typer.Exit(1)


def _with_progress(load, measure) -> RecorderResult:
    if not sys.stderr.isatty():
        return measure(load)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("recording", total=load.seconds)
        return measure(load, lambda done: progress.update(task, completed=done))


def _tell(result: RecorderResult) -> None:
    callback, own, write = result.callback_ms, result.callback_cpu_ms, result.write_ms
    print(
        f"{result.frames_written} frames written, {result.frames_dropped} dropped,"
        f" {result.frames_lost} lost; longest gap {result.longest_gap * 1e3:.0f} ms,"
        f" longest queue {result.longest_queue}"
    )
    print(
        f"callback p50 {callback['p50']:.2f}, p99 {callback['p99']:.2f}, max"
        f" {callback['max']:.2f} ms (own computing p99 {own['p99']:.2f} ms)"
    )
    print(
        f"writer p50 {write['p50']:.2f}, p99 {write['p99']:.2f}, max {write['max']:.2f} ms;"
        f" {result.bytes_per_frame / 1e3:.0f} kB per frame, {result.file_bytes / 1e9:.2f} GB"
    )
    memory = ", ".join(
        f"{name} {samples[-1] / 1e6:.0f} MB ({result.memory_growth[name]:+.1%})"
        for name, samples in result.memory.items()
        if samples
    )
    print(f"saved in {result.save_seconds:.2f} s; memory {memory}")
    print(f"on {result.machine['cores']} cores of {result.machine['cpu']}")
    for problem in result.problems:
        print(f"falls short: {problem}")


def _draw(result: RecorderResult, path: Path) -> None:
    import matplotlib.pyplot as plt

    from mobile_vla_ros.plots.style import house_style, save_figure

    with house_style():
        figure, axes = plt.subplots(figsize=(5.0, 2.6))
        for name, samples in result.memory.items():
            axes.plot([value / 1e6 for value in samples], label=name)
        axes.set(xlabel="time (s)", ylabel="own memory (MB)", ylim=(0, None))
        axes.legend()
        save_figure(figure, path)
