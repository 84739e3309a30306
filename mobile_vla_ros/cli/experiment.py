"""``mobile_vla experiment list|run|table``: the lab's experiments by their ids."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(
    no_args_is_help=True,
    help="The lab's experiments: list them, run one, print measured against target.",
    rich_markup_mode=None,
)

_CONFIGS = typer.Option(None, "--configs", help="Folder of the rows; by default the package's.")
_RUNS = typer.Option(Path("runs"), "--runs", help="Folder where runs and measurements are kept.")
_SMALL = typer.Option(
    False, "--small", help="The small network on simulated data, for any laptop."
)
_JSON = typer.Option(None, "--json", help="Write the result as JSON.")
DRIVES = {True: 8, False: 40}


@app.command("list")
def list_command(configs: Path | None = _CONFIGS, json_file: Path | None = _JSON) -> None:
    """Lists the experiments: what is trained or measured, on which data, and the target.

    Example: mobile_vla experiment list
    """
    from rich.console import Console
    from rich.table import Table

    from mobile_vla_ros.training.experiments import target_words

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
    name: str = typer.Argument(..., metavar="ID", help="As in the list, e.g. T1-1 or 'case 3'."),
    small: bool = _SMALL,
    runs: Path = _RUNS,
    data: Path | None = typer.Option(None, help="Folder of episodes instead of the row's own."),
    device: str | None = typer.Option(None, help="cpu, gpu or auto."),
    configs: Path | None = _CONFIGS,
    json_file: Path | None = _JSON,
) -> None:
    """Runs one experiment: trains it, or measures the checkpoints that other rows trained.

    With --small everything it needs is made: a small network, simulated episodes, and a stand-in
    with random weights for the RoboVLMs checkpoint.

    Example: mobile_vla experiment run "case 3" --small
    """
    from mobile_vla_ros.training.experiments import (
        checkpoints_to_measure,
        find_experiment,
        result_file,
    )

    rows = _rows(configs)
    row = find_experiment(rows, name)
    target = result_file(runs, row, small)
    if row.kind == "train":
        result = _train(row, small, runs, data, device, target.parent)
    else:
        measured = {}
        for trained, found in checkpoints_to_measure(rows, row, runs, small).items():
            measured[trained] = _measure(row.measure, found, small, data)
        best = next(iter(measured.values()))
        result = {"by_checkpoint": measured, **(best if len(measured) == 1 else {})}
    target.parent.mkdir(parents=True, exist_ok=True)
    write_json(target, result)
    write_json(json_file, result)
    for metric, value in result.items():
        if isinstance(value, float):
            typer.echo(f"{metric} {value:.4g}")
    typer.echo(f"kept in {target}")


@app.command("table")
def table_command(
    small: bool = _SMALL,
    runs: Path = _RUNS,
    configs: Path | None = _CONFIGS,
    json_file: Path | None = _JSON,
) -> None:
    """Prints measured against target; what was never measured stays empty.

    Example: mobile_vla experiment table --runs runs
    """
    from rich.console import Console
    from rich.table import Table

    from mobile_vla_ros.training.experiments import METRICS, table_rows, target_words

    rows = table_rows(_rows(configs), runs, small)
    kind = "small network, simulated data" if small else "real size"
    table = Table("id", "what", "target", *METRICS.values(), "", title=f"Experiments ({kind})")
    for row in rows:
        measured = row["measured"]
        table.add_row(
            row["id"],
            row["title"],
            target_words(row["targets"]) or row["question"],
            *(f"{measured[name]:.3g}" if name in measured else "" for name in METRICS),
            row["verdict"],
        )
    Console().print(table)
    write_json(json_file, rows)


def _rows(configs: Path | None) -> list[Any]:
    from mobile_vla_ros.training.experiments import experiments_folder, read_experiments

    return read_experiments(configs or experiments_folder())


def _train(
    row: Any, small: bool, runs: Path, data: Path | None, device: str | None, out: Path
) -> dict[str, Any]:
    import dataclasses
    import logging

    from rich.console import Console

    from mobile_vla_ros.training.experiments import small_overrides
    from mobile_vla_ros.training.run import load_run
    from mobile_vla_ros.training.train import train

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    console = Console()
    overrides: dict[str, Any] = {}
    if small:
        place = runs / "small"
        episodes = data or _small_episodes(row, place)
        overrides = small_overrides(row, place, episodes)
        data = None
    result = train(
        load_run(row.path, overrides),
        data,
        out,
        cache=runs / "cache",
        progress=console.is_terminal,
        say=lambda sentence: console.print(sentence, highlight=False, soft_wrap=True),
        show=console.print,
        accelerator=device,
    )
    if result.interrupted:
        raise typer.Exit(130)
    found = dataclasses.asdict(result)
    folder = data or load_run(row.path, overrides).data.data_dir
    found["data"] = str(folder)
    return {**found, **_measure(row.measure, found, small, Path(str(folder)))}


def _small_episodes(row: Any, place: Path) -> Path:
    from mobile_vla_ros.sim.collect import CollectSettings, collect
    from mobile_vla_ros.sim.driver import DriverSettings
    from mobile_vla_ros.sim.scenario import SCENARIOS

    count, side = int(row.small.get("episodes", 16)), row.small.get("side")
    scenarios = tuple(name for name in SCENARIOS if side is None or side in name)
    folder = place / f"episodes_{side or 'both'}_{count}"
    if not folder.exists():
        typer.echo(f"collecting {count} simulated episodes")
        # Collected beside its final name: a folder that is there is complete.
        part = folder.with_suffix(".part")
        settings = CollectSettings(
            scenarios=scenarios, episodes=count, seed=4_000_000, driver=DriverSettings(noise=0.5)
        )
        taken = {path.name for path in part.glob("*.h5")} if part.exists() else set()
        for name in taken:
            (part / name).unlink()
        collect(part, settings)
        part.rename(folder)
    return folder


def _measure(
    what: tuple[str, ...], found: dict[str, Any], small: bool, data: Path | None
) -> dict[str, Any]:
    """Measures one trained checkpoint: losses are known, the rest is done here."""
    checkpoint = Path(found.get("best_checkpoint") or found["last_checkpoint"])
    result: dict[str, Any] = {"checkpoint": str(checkpoint)}
    for name in what:
        if name == "val_loss":
            result["val_loss"] = found["val_loss"]
            result["train_loss"] = found["train_loss"]
        elif name == "rmse":
            result |= _rmse(checkpoint, Path(data or found["data"]))
        elif name == "success_rate":
            result |= _success(checkpoint, DRIVES[small])
        elif name == "latency":
            result |= _latency(checkpoint)
    return result


def _rmse(checkpoint: Path, data: Path) -> dict[str, Any]:
    import subprocess
    import sys
    import tempfile

    from mobile_vla_ros.errors import InputError
    from mobile_vla_ros.policy import load_policy

    # verify refuses files it was trained on, so it is handed the validation files alone.
    names = sorted(load_policy(checkpoint).provenance.validation_files)
    files = [data / name for name in names if (data / name).exists()]
    if not files:
        raise InputError(f"none of the validation episodes of {checkpoint.name} is in {data}.")
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "verify.json"
        command = [sys.executable, "-m", "mobile_vla_ros.cli.main", "verify"]
        command += ["--checkpoint", str(checkpoint), "--json", str(target)]
        for file in files:
            command += ["--data", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if not target.exists():
            said = done.stderr.strip().splitlines() or ["no reason given"]
            raise InputError(f"verify failed: {said[-1]}")
        import json

        found = json.loads(target.read_text(encoding="utf-8"))
    return {"rmse_normalised_step0": found["rmse_normalised_step0"], "rmse": found["rmse"]}


def _success(checkpoint: Path, drives: int) -> dict[str, Any]:
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.evaluate import evaluate, evaluation_plan
    from mobile_vla_ros.sim.scenario import SCENARIOS

    plan = evaluation_plan(SCENARIOS, drives, 100_000)
    summary = evaluate(load_policy(checkpoint), plan=plan).summary()
    keys = ("episodes", "successes", "success_rate", "wilson", "driving_time", "path_length")
    return {key: summary[key] for key in keys}


def _latency(checkpoint: Path, frames: int = 30) -> dict[str, Any]:
    """Median and 99th percentile of one frame in the stream, from pixels to chunk, in ms."""
    import time

    import numpy as np

    from mobile_vla_ros.policy import load_policy

    policy = load_policy(checkpoint)
    stream = policy.stream("go left")
    image = np.random.default_rng(0).integers(0, 256, (360, 640, 3), dtype=np.uint8)
    times = []
    for index in range(frames + 5):
        start = time.perf_counter()
        stream.step(image, index * policy.config.frame_period)
        times.append(1e3 * (time.perf_counter() - start))
    steady = times[5:]
    return {
        "latency_ms": float(np.median(steady)),
        "latency_p99_ms": float(np.percentile(steady, 99)),
        "device": str(policy.device),
    }
