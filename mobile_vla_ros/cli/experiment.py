"""``mobile_vla experiment list|run|table``: the lab's experiments by their ids."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.experiment_show import (
    SMALL_NOTE,
    print_difference,
    print_scores,
    print_seeds,
)
from mobile_vla_ros.cli.output import check_target, write_json
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.spreading import HERE

if TYPE_CHECKING:
    from mobile_vla_ros.training.experiments import Experiment

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
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="ID...", help="As in the list, e.g. T1-1 or 'case 3'; several with --seeds."
        ),
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
    seeds: Annotated[
        int | None,
        typer.Option(
            min=1, help="Run it with seeds 1 to N, each kept; those done are left alone."
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, help="Runs of --seeds at the same time.")
    ] = 1,
    on: options.On = "here",
    device: Annotated[str | None, typer.Option(help="cpu, gpu or auto.")] = None,
    configs: Configs = None,
    json_file: options.JsonFile = None,
) -> None:
    """Runs one experiment: trains it, or measures the checkpoints that other rows trained.

    With --small everything it needs is made: a small network, simulated episodes, and a stand-in
    with random weights for the RoboVLMs checkpoint. It shows that a row runs from end to end; the
    targets are those of the real network and episodes. At real size a missed target ends with
    status 1. With --seeds every seed holds out the same episodes; a seed that was ended goes on
    where it stopped. Several rows run with --seeds: all that train, then those that measure.

    Examples:

    mobile_vla experiment run "case 3" --small

    mobile_vla experiment run "case 3" --data episodes --backbone models/kosmos-2-patch14-224

    mobile_vla experiment run "case 3" "case 4" --small --seeds 5 --workers 2
    """
    from mobile_vla_ros.cli.experiment_run import DEVICES, compare, run_seeds, train_row
    from mobile_vla_ros.training.experiments import find_experiment, read_result, result_file
    from mobile_vla_ros.training.scoreboard import verdict

    rows = _rows(configs)
    found = [find_experiment(rows, name) for name in names]
    chosen = list({row.id: row for row in found}.values())
    row = chosen[0]
    check_target(json_file)
    if device not in DEVICES:
        raise InputError(f"--device is {device!r}; use cpu, gpu or auto.")
    above = next(folder for folder in (runs, *runs.absolute().parents) if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"cannot write to --runs {runs}: {above} is no folder to write in.")
    target = result_file(runs, row, small)
    if seeds is None and (workers > 1 or on != HERE):
        raise InputError("--workers and --on spread the runs of --seeds N; say how many, too.")
    if seeds is None and len(chosen) > 1:
        raise InputError("several rows run with --seeds N; say how many (1 runs each once).")
    if seeds is not None and resume:
        raise InputError("--seeds goes on by itself where it was ended; leave --resume out.")
    said = [_overrides(one, small, backbone, robovlms, resume) for one in chosen]
    if seeds is not None:
        many = (seeds, json_file, workers, on)
        pairs = list(zip(chosen, said, strict=True))
        run_seeds(rows, pairs, small, runs, data, device, *many)
        return
    overrides = said[0]
    if row.kind == "train":
        result = train_row(row, small, runs, data, overrides, resume, device, target.parent)
    else:
        result = compare(rows, row, small, runs, data, device)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, result)
    write_json(json_file, result)
    print_scores(row, read_result(runs, row, small))
    if small:
        typer.echo(SMALL_NOTE)
    typer.echo(f"kept in {target}")
    if verdict(row, result) == "missed" and not small:
        raise typer.Exit(1)


def _overrides(
    row: Experiment, small: bool, backbone: Path | None, robovlms: Path | None, resume: bool
) -> dict[str, Any]:
    """What is put in place of keys of the row's run file."""
    if row.kind != "train":
        if backbone or robovlms or resume:
            raise InputError(
                f"{row.id} measures what other rows trained; leave --backbone, --robovlms and "
                f"--resume out."
            )
        return {}
    if small and (backbone or robovlms):
        raise InputError("--small makes its own network; leave --backbone and --robovlms out.")
    if robovlms is not None and not row.run.get("model_load_path"):
        raise InputError(f"{row.id} starts from Kosmos-2 alone; leave --robovlms out.")
    given = {"model_path": backbone, "model_load_path": robovlms}
    return {key: str(path.resolve()) for key, path in given.items() if path is not None}


@app.command("table")
def table_command(
    small: Small = False,
    runs: Runs = RUNS,
    configs: Configs = None,
    latex: Annotated[Path | None, typer.Option(help="Write it as LaTeX (booktabs).")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write it as CSV, a line a metric.")] = None,
    episodes: Annotated[
        str,
        typer.Option(
            help="Compare on the held-out episodes whose file names match, e.g. '*right*'."
        ),
    ] = "*",
    json_file: options.JsonFile = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw RMSE by row and the differences, rows with --seeds alone."),
    ] = None,
) -> None:
    """Prints measured against target; what was never measured stays empty.

    Rows that ran with --seeds show mean and 95 % interval over seeds, and how they differ on the
    episodes that both held out. Losses compare only between rows that were validated on the same
    episodes.

    Example: mobile_vla experiment table --runs runs --latex table.tex
    """
    from mobile_vla_ros.cli import experiment_text
    from mobile_vla_ros.training.error_bars import differences, results_of, row_entry
    from mobile_vla_ros.training.experiments import read_result
    from mobile_vla_ros.training.scoreboard import table_rows
    from mobile_vla_ros.training.seeds import results_by_seed

    rows = _rows(configs)
    for target in (latex, csv, plot):
        check_target(target)
    found = table_rows(rows, runs, small)
    for entry, row in zip(found, rows, strict=True):
        entry |= row_entry(row, results_of(runs, row, small), episodes)
    apart = differences(rows, runs, small, episodes)
    if episodes != "*" and not apart:
        raise InputError(f"no two rows held out the same episodes that match '{episodes}'.")
    typer.echo(f"Experiments ({runs / ('small' if small else 'real')})")
    if small:
        typer.echo(SMALL_NOTE)
    elif not any(entry["seeds"] for entry in found):
        typer.echo("Nothing was measured yet; --small shows the small versions.")
    for row in rows:
        typer.echo("")
        by_seed = results_by_seed(runs, row, small)
        if by_seed:
            print_seeds(row, list(by_seed.values()), episodes)
        else:
            print_scores(row, read_result(runs, row, small))
    if apart:
        typer.echo("\nDifference in RMSE (normalised) on the same held-out episodes")
    for difference in apart:
        print_difference(difference)
    plain = [difference.to_plain() for difference in apart]
    if latex is not None:
        experiment_text.write(latex, experiment_text.as_latex(found, plain))
    if csv is not None:
        experiment_text.write(csv, experiment_text.as_csv(found))
    write_json(json_file, {"rows": found, "differences": plain})
    if plot is not None:
        from mobile_vla_ros.plots.experiments import experiments_figure
        from mobile_vla_ros.plots.style import save_figure

        save_figure(experiments_figure({"": {"rows": found, "differences": plain}}), plot)


def _rows(configs: Path | None) -> list[Any]:
    from mobile_vla_ros.training.experiments import experiments_folder, read_experiments

    return read_experiments(configs or experiments_folder())
