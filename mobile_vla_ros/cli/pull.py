"""``mobile_vla pull``: fetches a policy or a data set from a hub."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def pull(
    address: str = typer.Argument(..., help="ORG/NAME[@revision], or hf://ORG/NAME[@revision]."),
    dataset: bool = typer.Option(False, "--dataset", help="It is a data set, not a policy."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Fetches a repository into the hub's cache and prints where it lies.

    Afterwards hf://ORG/NAME works without a network. An interrupted download is gone on with by
    the same command.

    Example: mobile_vla pull my-lab/policy@v2
    """
    from mobile_vla_ros import hub

    hub.quiet_progress()
    folder = hub.fetch(hub.parse(address, hub.DATASET if dataset else hub.MODEL))
    print(folder)
    write_json(json_file, {"path": folder, "address": hub.origin_of(folder)})
