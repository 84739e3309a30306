"""``mobile_vla convert``: a checkpoint into a directory that loads fast and stands alone."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import typer

from mobile_vla_ros.cli.output import check_target, write_json

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
    dtype: str = typer.Option("bfloat16", help="bfloat16, float32 or float16 (backbone only)."),
    action_axes: str | None = typer.Option(
        None, help="What the outputs mean, e.g. linear.x,angular.z, if the run file is silent."
    ),
    onnx: bool = typer.Option(
        False, "--onnx", help="Write ONNX graphs too: the directory then runs without torch."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
) -> None:
    """Merges adapters, casts, and writes a directory that loads several times faster.

    The directory needs no other file: tokenizer, preprocessing, run file and the hash of the
    source are in it. Weights are streamed, so it takes less than 1 GB of memory, and the
    directory appears whole or not at all.

    Example: mobile_vla convert runs/last.ckpt policies/left_v3
    """
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from mobile_vla_ros.policy.convert import convert as write

    check_target(json_file)
    # Python ends at once on these two, and what it was writing would stay.
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, lambda number, _frame: sys.exit(128 + number))
    with Progress(
        "converting", BarColumn(), DownloadColumn(), TimeRemainingColumn(), transient=True
    ) as progress:
        task = progress.add_task("converting", total=None)
        progress.disable = not progress.console.is_terminal
        result = write(
            checkpoint,
            out_dir,
            backbone,
            config,
            dtype=dtype,
            action_axes=[axis.strip() for axis in action_axes.split(",")] if action_axes else None,
            onnx=onnx,
            started=lambda total: progress.update(task, total=total),
            written=lambda nbytes: progress.advance(task, nbytes),
        )
    typer.echo(f"wrote {result.directory} ({result.weights_bytes / 1e9:.3g} GB)")
    typer.echo(f"source SHA-256 {result.source_sha256}")
    for note in result.description["notes"]:
        typer.echo(f"note: {note}")
    write_json(
        json_file,
        {
            "directory": result.directory,
            "bytes": result.weights_bytes,
            "dtype": dtype,
            "source_sha256": result.source_sha256,
            "source": result.description,
        },
    )
