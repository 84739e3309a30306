"""How the findings of several commands are printed."""

from __future__ import annotations

from typing import Any

import typer


def show_comparison(result: dict[str, Any], title: str) -> None:
    """Prints metrics, references and threshold lines."""
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("metric", "A against B (95 %)", "neighbouring", "shuffled", title=title)
    for name, value in result["metrics"].items():
        interval = f"{value['value']:.4f} ({number(value['low'])} to {number(value['high'])})"
        references = (
            number(result["references"][kind][name]["value"]) for kind in ("neighbour", "shuffled")
        )
        table.add_row(name, interval, *references)
    console.print(table)
    for line in result["thresholds"]:
        console.print(f"{line['metric']} {line['rule']}: {line['verdict']} ({line['value']:.4f})")


def show_skipped(skipped: list[dict[str, str]]) -> None:
    """Names the episodes that were left out, and why."""
    for item in skipped:
        typer.echo(f"left out {item['path']}: {item['reason']}")


def number(value: float) -> str:
    """Four digits, or that it is not known."""
    return "unknown" if value != value else f"{value:.4f}"
