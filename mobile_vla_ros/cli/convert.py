"""``mobile_vla convert``: a checkpoint into a directory that loads fast and stands alone."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.output import check_target, write_json
from mobile_vla_ros.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def convert(
    checkpoint: Path = typer.Argument(..., help="Anything `mobile_vla inspect` reads."),
    out_dir: Path = typer.Argument(..., help="The directory to write; must not exist yet."),
    backbone: Path | None = typer.Option(
        None, help="The Kosmos-2 directory; by default the one the run file names."
    ),
    config: Path | None = typer.Option(
        None, help="A run JSON; by default the one inside the checkpoint or beside it."
    ),
    dtype: str = typer.Option(
        "bfloat16", help="bfloat16, float32, float16, or with --onnx int8 (backbone only)."
    ),
    action_axes: str | None = typer.Option(
        None, help="What the outputs mean, e.g. linear.x,angular.z, if the run file is silent."
    ),
    onnx: bool = typer.Option(
        False, "--onnx", help="Write ONNX graphs too: the directory then runs without torch."
    ),
    calibrate: Path | None = typer.Option(
        None, help="Episodes (file or folder) that int8 is chosen and judged by."
    ),
    accept_error: bool = typer.Option(
        False, "--accept-error", help="Write int8 even if it moves the velocities by over 0.03."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
) -> None:
    """Merges adapters, casts, and writes a directory that loads several times faster.

    The directory needs no other file: tokenizer, preprocessing, run file and the hash of the
    source are in it. Weights are streamed, so it takes less than 1 GB of memory, and the
    directory appears whole or not at all.

    With --onnx it also runs on onnxruntime, on machines that have no torch (--runtime onnx).
    int8 takes the least time; the velocities it changes are measured on the episodes given with
    --calibrate, printed, and refused (status 1) above 0.03 in normalised units at the 99th
    percentile.

    Examples:

    mobile_vla convert runs/last.ckpt policies/left_v3

    mobile_vla convert runs/last.ckpt left_v3 --onnx --dtype int8 --calibrate episodes/held_out
    """
    from mobile_vla_ros.cli.calibration import read_clips
    from mobile_vla_ros.policy.convert import convert as write
    from mobile_vla_ros.policy.errors import QuantisationError

    check_target(json_file)
    if dtype != "int8" and (calibrate is not None or accept_error):
        raise InputError("--calibrate and --accept-error belong to --dtype int8")
    calibration = None if calibrate is None else read_clips(calibrate)
    # Python ends at once on these two, and what it was writing would stay.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
    try:
        with _progress() as (started, written):
            result = write(
                checkpoint,
                out_dir,
                backbone,
                config,
                dtype=dtype,
                action_axes=_axes(action_axes),
                onnx=onnx,
                calibration=calibration,
                accept_error=accept_error,
                started=started,
                written=written,
            )
    except QuantisationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
    typer.echo(f"wrote {result.directory} ({result.weights_bytes / 1e9:.3g} GB)")
    typer.echo(f"source SHA-256 {result.source_sha256}")
    for note in result.description["notes"]:
        typer.echo(f"note: {note}")
    if result.int8 is not None:
        _show_int8(result.int8)
    write_json(
        json_file,
        {
            "directory": result.directory,
            "bytes": result.weights_bytes,
            "dtype": dtype,
            "source_sha256": result.source_sha256,
            "source": result.description,
            "onnx": onnx,
            "int8": result.int8,
        },
    )


@contextlib.contextmanager
def _progress() -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on a terminal; yields who is told all bytes, and those of each step."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    columns = ("converting", BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        task = progress.add_task("converting", total=None)
        progress.disable = not progress.console.is_terminal
        yield (
            lambda total: progress.update(task, total=total),
            lambda nbytes: progress.advance(task, nbytes),
        )


def _axes(words: str | None) -> list[str] | None:
    return [axis.strip() for axis in words.split(",")] if words else None


def _show_int8(found: Mapping[str, Any]) -> None:
    typer.echo(f"int8: {len(found['kept'])} linear layers stay in floating point")
    source = "episodes" if found["frames_from"] == "episodes" else "drawn pictures, not episodes"
    for bits, errors in found["velocity_error"].items():
        typer.echo(
            f"velocity error against float32, weights of {bits.replace('_', ' ')}: p50 "
            f"{errors['p50']:.2g}, p99 {errors['p99']:.2g}, max {errors['max']:.2g} (normalised; "
            f"{errors['frames']} frames of {source})"
        )
