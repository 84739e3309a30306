"""``mobile_vla experiment list|run|table``: the lab's experiments by their ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import check_target, write_json
from mobile_vla_ros.errors import InputError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The lab's experiments: list them, run one, print measured against target.",
    rich_markup_mode=None,
)

Configs = Annotated[
    Path | None, typer.Option("--configs", help="Folder of the rows; by default the package's.")
]
Runs = Annotated[Path, typer.Option("--runs", help="Folder where runs and measurements are kept.")]
Small = Annotated[
    bool, typer.Option("--small", help="The small network on simulated data, for any laptop.")
]
RUNS = Path("runs")
SMALL_NOTE = "Small network, simulated data; titles and targets are those of the real ones."
DRIVES = {True: 8, False: 40}
# Lightning's words for a device -> those of load_policy.
DEVICES = {None: "auto", "auto": "auto", "cpu": "cpu", "gpu": "cuda", "cuda": "cuda"}


@app.command("list")
def list_command(configs: Configs = None, json_file: options.JsonFile = None) -> None:
    """Lists the experiments: what is trained or measured, on which data, and the target.

    Example: mobile_vla experiment list
    """
    from rich.console import Console
    from rich.table import Table

    from mobile_vla_ros.training.scoreboard import target_words

    rows = _rows(configs)
    table = Table("id", "what", "data", "target")
    for row in rows:
        table.add_row(row.id, row.title, row.data, target_words(row.targets) or row.question)
    Console().print(table)
    write_json(
        json_file,
        [
            {
                "id": row.id,
                "title": row.title,
                "kind": row.kind,
                "data": row.data,
                "targets": row.targets,
                "file": row.path,
            }
            for row in rows
        ],
    )


@app.command("run")
def run_command(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="As in the list, e.g. T1-1 or 'case 3'.")
    ],
    small: Small = False,
    runs: Runs = RUNS,
    data: Annotated[
        Path | None, typer.Option(help="Folder of episodes instead of the row's own.")
    ] = None,
    backbone: Annotated[
        Path | None, typer.Option(help="Kosmos-2 directory instead of the row's own model_path.")
    ] = None,
    robovlms: Annotated[
        Path | None,
        typer.Option(help="RoboVLMs checkpoint instead of the row's own model_load_path."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a training that was ended.")
    ] = False,
    device: Annotated[str | None, typer.Option(help="cpu, gpu or auto.")] = None,
    configs: Configs = None,
    json_file: options.JsonFile = None,
) -> None:
    """Runs one experiment: trains it, or measures the checkpoints that other rows trained.

    With --small everything it needs is made: a small network, simulated episodes, and a stand-in
    with random weights for the RoboVLMs checkpoint. It shows that a row runs from end to end; the
    targets are those of the real network and episodes. At real size a missed target ends with
    status 1.

    Examples:

    mobile_vla experiment run "case 3" --small

    mobile_vla experiment run "case 3" --data episodes --backbone models/kosmos-2-patch14-224
    """
    from mobile_vla_ros.training.experiments import find_experiment, read_result, result_file
    from mobile_vla_ros.training.scoreboard import verdict

    rows = _rows(configs)
    row = find_experiment(rows, name)
    check_target(json_file)
    if device not in DEVICES:
        raise InputError(f"--device is {device!r}; use cpu, gpu or auto.")
    above = next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"cannot write to --runs {runs}: {above} is no folder to write in.")
    target = result_file(runs, row, small)
    if row.kind == "train":
        overrides: dict[str, Any] = {}
        if small and (backbone or robovlms):
            raise InputError("--small makes its own network; leave --backbone and --robovlms out.")
        if robovlms is not None and not row.run.get("model_load_path"):
            raise InputError(f"{row.id} starts from Kosmos-2 alone; leave --robovlms out.")
        if backbone is not None:
            overrides["model_path"] = str(backbone.resolve())
        if robovlms is not None:
            overrides["model_load_path"] = str(robovlms.resolve())
        result = _train(row, small, runs, data, overrides, resume, device, target.parent)
    else:
        if backbone or robovlms or resume:
            raise InputError(
                f"{row.id} measures what other rows trained; leave --backbone, --robovlms and "
                f"--resume out."
            )
        result = _compare(rows, row, small, runs, data, device)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, result)
    write_json(json_file, result)
    _print_scores(row, read_result(runs, row, small))
    if small:
        typer.echo(SMALL_NOTE)
    typer.echo(f"kept in {target}")
    if verdict(row, result) == "missed" and not small:
        raise typer.Exit(1)


@app.command("table")
def table_command(
    small: Small = False,
    runs: Runs = RUNS,
    configs: Configs = None,
    json_file: options.JsonFile = None,
) -> None:
    """Prints measured against target; what was never measured stays empty.

    Losses compare only between rows that were validated on the same episodes.

    Example: mobile_vla experiment table --runs runs
    """
    from mobile_vla_ros.training.experiments import read_result
    from mobile_vla_ros.training.scoreboard import table_rows

    rows = _rows(configs)
    found = table_rows(rows, runs, small)
    typer.echo(f"Experiments ({runs / ('small' if small else 'real')})")
    if small:
        typer.echo(SMALL_NOTE)
    elif not any(row["measured"] or row["by_checkpoint"] for row in found):
        typer.echo("Nothing was measured yet; --small shows the small versions.")
    for row in rows:
        typer.echo("")
        _print_scores(row, read_result(runs, row, small))
    write_json(json_file, found)


def _print_scores(row: Any, result: dict[str, Any] | None) -> None:
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


def _rows(configs: Path | None) -> list[Any]:
    from mobile_vla_ros.training.experiments import experiments_folder, read_experiments

    return read_experiments(configs or experiments_folder())


def _compare(
    rows: list[Any], row: Any, small: bool, runs: Path, data: Path | None, device: str | None
) -> dict[str, Any]:
    from mobile_vla_ros.cli.experiment_measures import measure
    from mobile_vla_ros.training.experiments import checkpoints_to_measure

    chosen = checkpoints_to_measure(rows, row, runs, small)
    left_out = [name for name in row.of if name != "best" and name not in chosen]
    if left_out:
        typer.echo(f"not trained yet, left out: {', '.join(left_out)}")
    # A row whose last epoch was its best has one checkpoint under both names.
    done: dict[str, dict[str, Any]] = {}
    measured = {}
    for name, found in chosen.items():
        if found["checkpoint"] not in done:
            typer.echo(f"measuring {name} ({Path(found['checkpoint']).name})")
            done[found["checkpoint"]] = measure(
                row.measure, found, drives=DRIVES[small], data=data, device=DEVICES[device]
            )
        measured[name] = done[found["checkpoint"]]
    alone = next(iter(measured.values())) if len(measured) == 1 else {}
    return {"by_checkpoint": measured, **alone}


def _train(
    row: Any,
    small: bool,
    runs: Path,
    data: Path | None,
    overrides: dict[str, Any],
    resume: bool,
    device: str | None,
    out: Path,
) -> dict[str, Any]:
    import dataclasses
    import logging

    from rich.console import Console

    from mobile_vla_ros.cli.experiment_measures import measure
    from mobile_vla_ros.training.checkpoints import LAST_NAME
    from mobile_vla_ros.training.experiments import small_overrides
    from mobile_vla_ros.training.run import load_run
    from mobile_vla_ros.training.train import train

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    console = Console()
    if resume and not (out / LAST_NAME).exists():
        raise InputError(f"nothing to resume: there is no {out / LAST_NAME}.")
    if small:
        if data is not None:
            _check_episodes(data)
        place = runs / "small"
        overrides = small_overrides(row, place, data or _small_episodes(row, place))
        data = None
    run = load_run(row.path, overrides)
    result = train(
        run,
        data,
        out,
        resume=out / LAST_NAME if resume else None,
        cache=runs / "cache",
        progress=console.is_terminal,
        say=lambda sentence: console.print(sentence, highlight=False, soft_wrap=True),
        show=console.print,
        accelerator=device,
    )
    if result.interrupted:
        typer.echo(f"interrupted at step {result.steps}; give the same command with --resume")
        raise typer.Exit(130)
    found = dataclasses.asdict(result)
    # What is measured is the best checkpoint, so its loss is the row's.
    found["last_val_loss"], found["val_loss"] = found["val_loss"], found.pop("best_val_loss")
    found["checkpoint"] = found["best_checkpoint"] or found["last_checkpoint"]
    found["data"] = str(Path(data or run.data.data_dir or ".").resolve())
    more = measure(row.measure, found, drives=DRIVES[small], device=DEVICES[device])
    return {**found, **more}


def _check_episodes(folder: Path) -> None:
    from mobile_vla_ros.episodes import find_episodes

    if not folder.is_dir() or not find_episodes(folder):
        raise InputError(f"{folder} is no folder of episodes.")


def _small_episodes(row: Any, place: Path) -> Path:
    import tempfile

    from mobile_vla_ros.sim.collect import CollectSettings, collect
    from mobile_vla_ros.sim.driver import DriverSettings
    from mobile_vla_ros.sim.scenario import SCENARIOS

    count, side = int(row.small.get("episodes", 16)), row.small.get("side")
    scenarios = tuple(name for name in SCENARIOS if side is None or side in name)
    folder = place / f"episodes_{side or 'both'}_{count}"
    if not folder.exists():
        typer.echo(f"collecting {count} simulated episodes")
        settings = CollectSettings(
            scenarios=scenarios, episodes=count, seed=4_000_000, driver=DriverSettings(noise=0.5)
        )
        place.mkdir(parents=True, exist_ok=True)
        # Collected beside its final name: a folder that is there is complete.
        with tempfile.TemporaryDirectory(dir=place, prefix=".episodes-") as part:
            collect(Path(part) / folder.name, settings)
            (Path(part) / folder.name).rename(folder)
    return folder
