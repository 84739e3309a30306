"""How experiments are printed."""

from __future__ import annotations

from typing import Any

import typer

SMALL_NOTE = "Small network, simulated data; titles and targets are those of the real ones."


def print_scores(row: Any, result: dict[str, Any] | None) -> None:
    """A row's title, then metric by metric: measured (of which checkpoints), target, verdict."""
    from mobile_vla_ros.training.scoreboard import columns, scores

    question = f": {row.question}" if row.question else ""
    typer.secho(f"{row.id:<7} {row.title}{question}", bold=True)
    names = columns(row, result)
    if any(names):
        typer.echo(" " * 30 + "".join(f"{name:>11}" for name in names))
    for line in scores(row, result):
        cells = "".join(f"{cell:>11}" for cell in line.measured)
        typer.echo(f"  {line.metric:<28}{cells}  {line.target:<14} {line.verdict}".rstrip())


def print_seeds(row: Any, results: list[Any], episodes: str = "*") -> None:
    """A row's title, then each metric's mean and interval over its seeds.

    Args:
        row: the row.
        results: one of each seed.
        episodes: pattern of the held-out files that count.
    """
    from mobile_vla_ros.training.error_bars import cells
    from mobile_vla_ros.training.scoreboard import METRICS

    typer.secho(f"{row.id:<7} {row.title} (seeds: {len(results)})", bold=True)
    parts = [("", results)]
    names = sorted({name for result in results for name in result.get("by_checkpoint", {})})
    if len(names) > 1:
        parts = [
            (f" of {name}", [r.get("by_checkpoint", {}).get(name, {}) for r in results])
            for name in names
        ]
    for of, values in parts:
        for cell in cells(values, episodes):
            name, _, axis = cell.metric.partition(" ")
            label = f"{METRICS[name]} {axis}".strip() + of
            target = " ".join(
                f"{word} {value:g}" for word, value in row.targets.get(name, {}).items()
            )
            typer.echo(f"  {label:<36} {cell.words():<28} {target}".rstrip())


def print_difference(found: Any) -> None:
    """How two rows differ, and whether that can be told."""
    span = (
        f" ({found.interval.low:+.3g} to {found.interval.high:+.3g})"
        if found.interval.low == found.interval.low
        else ""
    )
    typer.echo(
        f"  {found.first} less {found.second}: {found.interval.value:+.3g}{span}, {found.seeds} "
        f"seeds, {found.episodes} episodes: {found.verdict}"
    )
