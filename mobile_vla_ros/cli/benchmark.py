"""``mobile_vla benchmark``: how fast things are on this machine."""

from __future__ import annotations

import typer

from mobile_vla_ros.cli.benchmark_recorder import recorder

app = typer.Typer(
    rich_markup_mode=None,
    no_args_is_help=True,
    help="Measure on this machine, with the processes that a robot runs.",
)
app.command("recorder")(recorder)


@app.callback()
def benchmark() -> None:
    """Measure on this machine, with the processes that a robot runs."""
