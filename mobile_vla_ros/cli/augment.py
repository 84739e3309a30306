"""``mobile_vla augment``: recorded episodes and changed copies of them into another folder."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def augment(
    data: Path = typer.Option(..., help="Folder of recorded episodes."),
    out: Path = typer.Option(..., help="Folder to write; another, empty one."),
    factor: int = typer.Option(6, help="Files per episode, the recording itself included."),
    seed: int = typer.Option(0, help="Decides every change."),
    mirror: bool = typer.Option(True, help="Mirror every second copy, words and commands too."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
    plot: Path | None = typer.Option(None, help="Draw a recording and its copies (PNG)."),
) -> None:
    """Makes 1,500 episodes of 250: colour, blur, crop and shift, and the mirror.

    The mirror flips the pictures, negates angular.z, linear.y and the odometry's y, yaw, vy and
    wz, and swaps left and right in instruction and scenario (Korean words too). It is left out
    when all episodes pass on one side. Copies name their recording: training keeps both in one
    split and never validates on a copy.

    Example: mobile_vla augment --data episodes --out episodes_1500 --factor 6
    """
    from rich.console import Console
    from rich.progress import track

    from mobile_vla_ros.training.copies import write_copies

    terminal = Console().is_terminal
    result = write_copies(
        data,
        out,
        factor=factor,
        seed=seed,
        mirror=mirror,
        progress=lambda work: track(work, "augmenting") if terminal else work,
    )
    typer.echo(
        f"{result.sources} recordings, {result.written} files in {out}, "
        f"{result.mirrored} of them mirrored"
    )
    if mirror and not result.mirror_allowed:
        typer.echo("nothing was mirrored: all episodes pass on one side")
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.style import save_figure
        from mobile_vla_ros.training.curves import copies_figure

        save_figure(copies_figure(out, factor), plot)
