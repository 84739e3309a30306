"""``mobile_vla sim draw``: open fields from above, and what the robot sees."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli import options


def draw(
    out: Path = typer.Option(Path("field.png"), "--out", "-o", help="The figure."),
    field: options.Field = "open",
    tier: options.Tier = None,
    target: options.Target = "",
    kept: options.Kept = False,
    seed: int = typer.Option(0, help="Seed of the first; the following ones count up."),
    count: int = typer.Option(4, "--episodes", "-n", help="How many fields in all."),
) -> None:
    """Draws open fields from above, each beside what the robot sees at its start.

    Example: mobile_vla sim draw --tier hard --seed 7 --episodes 6 --out hard.png
    """
    from mobile_vla_ros.errors import InputError
    from mobile_vla_ros.sim.evaluate import evaluation_plan
    from mobile_vla_ros.sim.fields import OPEN, scenario_names
    from mobile_vla_ros.sim.open_field.picture import draw_sheet

    names = scenario_names(field, (), tuple(tier or ()), target, new=kept)
    if field != OPEN:
        raise InputError("only the open field is drawn: sim evaluate --plot draws the lab's")
    if count > 40:
        raise InputError(f"{count} fields in one figure: give 40 or fewer")
    draw_sheet(evaluation_plan(names, count, seed), out)
    typer.echo(f"{count} fields in {out}")
