"""Running one experiment: training its row, or measuring what others trained; with seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.experiment_show import SMALL_NOTE, print_seeds
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError

DRIVES = {True: 8, False: 40}
# Lightning's words for a device -> those of load_policy.
DEVICES = {None: "auto", "auto": "auto", "cpu": "cpu", "gpu": "cuda", "cuda": "cuda"}


def run_seeds(
    rows: list[Any],
    chosen: list[tuple[Any, dict[str, Any]]],
    small: bool,
    runs: Path,
    data: Path | None,
    device: str | None,
    seeds: int,
    json_file: Path | None,
    workers: int = 1,
    on: str = "here",
) -> None:
    """Seeds 1 to N of each row, every one in its own folder of runs; what is done stays.

    They are spread over processes or machines, which reach ``runs`` by the same name.

    Args:
        rows: all there are.
        chosen: those to run, each with what replaces keys of its run file.
        small: the small versions.
        runs: folder of runs.
        data: folder of episodes instead of the rows' own.
        device: cpu, gpu or auto.
        seeds: how many.
        json_file: where the result is written: an entry, of several rows ``{"rows": [...]}``.
        workers: processes here.
        on: "here" or "ray".
    """
    from mobile_vla_ros.spreading import HERE, spread
    from mobile_vla_ros.training.error_bars import row_entry
    from mobile_vla_ros.training.scoreboard import verdict

    if workers > 1 or on != HERE:
        if small:
            _share_small([row for row, _ in chosen], runs, data)
        runs = runs.resolve()
        data = None if data is None else data.resolve()
    results: dict[str, list[Any]] = {row.id: [] for row, _ in chosen}
    # What others trained is measured when all of it is there.
    for training in (True, False):
        wave = [(row, said) for row, said in chosen if (row.kind == "train") is training]
        jobs = [
            (rows, row, small, runs, data, said, device, seed)
            for row, said in wave
            for seed in range(1, seeds + 1)
        ]
        done = dict(spread(_run_seed, jobs, workers, on))
        for index in sorted(done):
            results[jobs[index][1].id].append(done[index])
    entries = [{"id": row.id, **row_entry(row, results[row.id])} for row, _ in chosen]
    write_json(json_file, entries[0] if len(entries) == 1 else {"rows": entries})
    for row, _ in chosen:
        print_seeds(row, results[row.id])
    if small:
        typer.echo(SMALL_NOTE)
    typer.echo(f"kept in {runs / 'seeds'}")
    for (row, _), entry in zip(chosen, entries, strict=True):
        means = {name: value["mean"] for name, value in entry["metrics"].items()}
        if verdict(row, means) == "missed" and not small:
            raise typer.Exit(1)


def _share_small(chosen: list[Any], runs: Path, data: Path | None) -> None:
    """Makes once what the small versions share."""
    from mobile_vla_ros.training.experiments import small_overrides

    place = runs / "small"
    for row in chosen:
        if row.kind == "train":
            small_overrides(row, place, data or _small_episodes(row, place))


def _run_seed(
    rows: list[Any],
    row: Any,
    small: bool,
    runs: Path,
    data: Path | None,
    overrides: dict[str, Any],
    device: str | None,
    seed: int,
) -> dict[str, Any]:
    """One seed; a training that was ended goes on."""
    from mobile_vla_ros.cli.experiment_measures import episode_errors
    from mobile_vla_ros.training.checkpoints import LAST_NAME
    from mobile_vla_ros.training.experiments import read_result, result_file
    from mobile_vla_ros.training.run import merge
    from mobile_vla_ros.training.seeds import EPISODE_ERRORS, alone, seed_overrides, seed_runs

    own = seed_runs(runs, seed)
    target = result_file(own, row, small)
    with alone(own, row, small):
        found = read_result(own, row, small)
        if found is not None:
            typer.echo(f"seed {seed} is done")
            return dict(found)
        if row.kind != "train":
            typer.echo(f"seed {seed}")
            result = compare(rows, row, small, own, data, device)
            write_json(target, result)
            return result
        going_on = (target.parent / LAST_NAME).exists()
        typer.echo(f"seed {seed}{' goes on' if going_on else ''}")
        said = merge(overrides, seed_overrides(row, seed))
        result = train_row(row, small, runs, data, said, going_on, device, target.parent)
        result[EPISODE_ERRORS] = episode_errors(result, DEVICES[device])
        write_json(target, result)
        return result


def train_row(
    row: Any,
    small: bool,
    runs: Path,
    data: Path | None,
    overrides: dict[str, Any],
    resume: bool,
    device: str | None,
    out: Path,
) -> dict[str, Any]:
    """Trains a row and measures its best checkpoint."""
    import dataclasses
    import logging

    from rich.console import Console

    from mobile_vla_ros.cli.experiment_measures import measure
    from mobile_vla_ros.training.checkpoints import LAST_NAME
    from mobile_vla_ros.training.experiments import small_overrides
    from mobile_vla_ros.training.run import load_run, merge
    from mobile_vla_ros.training.train import train

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    console = Console()
    if resume and not (out / LAST_NAME).exists():
        raise InputError(f"nothing to resume: there is no {out / LAST_NAME}.")
    if small:
        if data is not None:
            _check_episodes(data)
        place = runs / "small"
        made = small_overrides(row, place, data or _small_episodes(row, place))
        overrides = merge(made, overrides)
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


def compare(
    rows: list[Any], row: Any, small: bool, runs: Path, data: Path | None, device: str | None
) -> dict[str, Any]:
    """Measures the checkpoints that other rows trained."""
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
