"""``mobile_vla push``: sends a policy or a data set to a hub, with its card."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def push(
    directory: Path = typer.Argument(
        ..., help="A directory of `mobile_vla convert`, a LeRobotDataset, or a folder of episodes."
    ),
    to: str = typer.Option(..., "--to", help="ORG/NAME, or ORG/NAME@branch."),
    licence: str = typer.Option("unknown", "--license", help="For the card, e.g. apache-2.0."),
    results: list[Path] = typer.Option(
        [], help="JSON of sim evaluate, trials report or verify, for the policy's card."
    ),
    note: str = typer.Option("", help="For the card, in your own words."),
    private: bool = typer.Option(True, "--private/--public", help="Of a repository that is made."),
    message: str = typer.Option("", help="Of the commit."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Sends a policy (with a model card) or a data set to a hub; needs a token.

    The token is HF_TOKEN or what `hf auth login` keeps; it is never written anywhere. What the hub
    has already is not sent again, so an interrupted upload is gone on with by the same command.
    Hidden files and keys stay here, and a text that holds a token is refused.

    Example: mobile_vla push policy/ --to my-lab/policy --license apache-2.0 --results eval.json
    """
    from mobile_vla_ros import hub
    from mobile_vla_ros.policy.card import write_card

    hub.quiet_progress()
    kind = kind_of(directory)
    address = hub.parse(to, kind)
    if address.kind != kind:
        raise InputError(f"{directory} is a {kind}, but {to} names a {address.kind}")
    carded = False
    if kind == hub.MODEL:
        carded = write_card(directory, licence, results, note)
    elif not (directory / "README.md").exists():
        _write_data_card(directory, licence, note)
        carded = True
    there = hub.push(
        directory, address, private=private, message=message or f"Add {directory.name}"
    )
    print(there)
    if carded and licence == "unknown":
        print("the card says that the licence is unknown; --license names one")
    write_json(json_file, {"address": there, "kind": kind, "card": carded})


def kind_of(directory: Path) -> str:
    """``model`` or ``dataset``, by what lies in the directory.

    Raises:
        InputError: it is neither.
    """
    if not directory.is_dir():
        raise InputError(f"{directory} is not a folder")
    if (directory / "meta" / "info.json").is_file() or any(directory.glob("*.h5")):
        return "dataset"
    try:
        values = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        values = {}
    if isinstance(values, dict) and "mobile_vla" in values:
        return "model"
    raise InputError(
        f"{directory} is neither a policy (write one with `mobile_vla convert`) nor a data set "
        "(episodes, or what `episodes export-lerobot` wrote)"
    )


def _write_data_card(directory: Path, licence: str, note: str) -> None:
    from mobile_vla_ros.episodes.lerobot.card import write_folder_card

    write_folder_card(directory, licence, note)
