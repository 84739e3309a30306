"""``mobile_vla train``: a run file and a folder of episodes into checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def train(
    config: Path = typer.Option(..., help="The run file (JSON, // comments allowed)."),
    data: Path | None = typer.Option(
        None, help="Folder of episodes; by default train_dataset.data_dir of the run file."
    ),
    corrections: Path | None = typer.Option(
        None,
        help="Folder of trial episodes and incident capsules: what a person drove after a "
        "takeover counts more, the seconds before it are not imitated.",
    ),
    out: Path = typer.Option(..., help="Folder for checkpoints and logs."),
    backbone: Path | None = typer.Option(
        None, help="The Kosmos-2 directory, instead of model_path of the run file."
    ),
    resume: Path | None = typer.Option(
        None, help="A checkpoint of this run (last.ckpt): goes on exactly where it stopped."
    ),
    cache: Path | None = typer.Option(
        None, help="Folder for resized frames and features; by default OUT/cache."
    ),
    device: str | None = typer.Option(
        None, help="cpu, gpu or auto, instead of trainer.accelerator of the run file."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
    plot: Path | None = typer.Option(None, help="Draw the losses into a PNG file."),
) -> None:
    """Trains a policy and keeps the best and the last checkpoint.

    With a frozen backbone and a fixed action token every frame's feature is computed once and
    kept on disk, so that epochs take seconds. Ctrl-C ends after the present step and leaves
    last.ckpt to resume from. Losses go to OUT/logs, as CSV and for TensorBoard.

    Example: mobile_vla train --config config/experiments/case_3.json --data episodes --out runs/a
    """
    import logging

    from rich.console import Console

    from mobile_vla_ros.training.processes import is_first
    from mobile_vla_ros.training.run import load_run
    from mobile_vla_ros.training.train import train as run_training

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    console = Console()
    overrides: dict[str, Any] = {"model_path": str(backbone.resolve())} if backbone else {}
    if corrections is not None:
        overrides["train_dataset"] = {"corrections": str(corrections.resolve())}
    result = run_training(
        load_run(config, overrides),
        data,
        out,
        resume=resume,
        cache=cache,
        progress=console.is_terminal,
        say=lambda sentence: console.print(sentence, highlight=False, soft_wrap=True),
        show=console.print,
        accelerator=device,
    )
    if not is_first():
        # One of several training processes: the first one tells and writes the result.
        return
    if result.interrupted:
        typer.echo(f"interrupted at step {result.steps}; go on with --resume {out / 'last.ckpt'}")
    typer.echo(f"{result.epochs} epochs, {result.steps} steps")
    typer.echo(f"training loss {result.train_loss:.4f}, validation loss {result.val_loss:.4f}")
    typer.echo(f"best checkpoint {result.best_checkpoint}")
    typer.echo(f"last checkpoint {result.last_checkpoint}")
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.style import save_figure
        from mobile_vla_ros.training.curves import loss_figure

        save_figure(loss_figure(out / "logs" / "metrics.csv"), plot)
    if result.interrupted:
        raise typer.Exit(130)
