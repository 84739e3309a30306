"""``mobile_vla report``: the results of runs side by side in one HTML file."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def report(
    runs: list[Path] = typer.Argument(
        ..., help="Folders with the --json results of one checkpoint each."
    ),
    out: Path = typer.Option(Path("report.html"), "--out", "-o", help="The HTML file."),
    figures: Path | None = typer.Option(
        None, help="Folder of the figures as PNG and PDF; by default beside the HTML file."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
) -> None:
    """Puts what was measured on several checkpoints side by side, and lists what was not.

    Each folder holds results of one checkpoint (verify.json, probe.json, benchmark.json, ...);
    comparisons of two checkpoints may lie in either folder. The page opens offline: figures are
    inside it.

    Example: mobile_vla report runs/frozen runs/lora --out report.html
    """
    from mobile_vla_ros.analysis.report import write_report

    result = write_report(runs, out, figures)
    write_json(json_file, result)
    for item in result["conclusions"]:
        typer.echo(f"{item['of']}, {item['from']}: {item['says']}")
    typer.echo(f"{len(result['not_measured'])} things were not measured; they are listed in {out}")
