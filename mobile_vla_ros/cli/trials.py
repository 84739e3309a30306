"""``mobile_vla trials plan|report``: what to drive in the field, and what it showed."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import numpy as np
import typer
from rich.console import Console
from rich.table import Table as ScreenTable

from mobile_vla_ros import bundled
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.files import text_of
from mobile_vla_ros.hub import is_uri

_SEEDS = 2**31
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Plan a field trial, and evaluate its log.",
    rich_markup_mode=None,
)


@app.command()
def plan(
    out: Path = typer.Argument(..., help="The plan to write, e.g. plan.json."),
    checkpoint: list[str] = typer.Option(
        ..., "--checkpoint", "-c", help="NAME=PATH of a checkpoint; give it once for each."
    ),
    scenario: list[str] = typer.Option(
        ...,
        "--scenario",
        "-s",
        help="A scenario, e.g. 1box_left_close, or SCENARIO=INSTRUCTION; once for each.",
    ),
    repeats: int = typer.Option(
        0, help="Starts per scenario; 0 takes as many as --detect needs.", min=0
    ),
    detect: str = typer.Option(
        "", help="Two success rates to be told apart, e.g. 0.9,0.6: fixes the number of trials."
    ),
    power: float = typer.Option(0.8, help="Probability of finding that difference.", min=0.5),
    alpha: float = typer.Option(0.05, help="Significance level.", min=0.0001, max=0.5),
    sequential: bool = typer.Option(
        False, help="Use the test that may be looked at after each trial."
    ),
    blind: bool = typer.Option(
        False, help="Hide which checkpoint drives; the key goes to OUT with .key before .json."
    ),
    seed: int | None = typer.Option(
        None, help="Seed of the random order (and of a blind plan's codes); drawn when not given."
    ),
    elsewhere: bool = typer.Option(
        False, "--elsewhere", help="The checkpoints lie on the machine that drives, not here."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Lays out scenarios x starts x checkpoints in a random, balanced order.

    Every start is driven by every checkpoint, one right after the other, so that light and
    battery are alike within a pair.

    Example: mobile_vla trials plan plan.json -c frozen=a.ckpt -c lora=b.ckpt
    -s 1box_left_close -s 1box_right_close --detect 0.9,0.5
    """
    from mobile_vla_ros.trials.plan import make_plan, plan_to_json

    checkpoints = _named(checkpoint)
    key_file = out.with_suffix(".key" + out.suffix)
    if not elsewhere:
        _require(checkpoints)
    scenarios = {}
    for entry in scenario:
        name, _, words = entry.partition("=")
        scenarios[name] = words or _instruction(name)
    trials, key = make_plan(
        scenarios,
        checkpoints,
        repeats=repeats or None,
        seed=secrets.randbelow(_SEEDS) if seed is None else seed,
        codes=np.random.default_rng() if seed is None else None,
        blind=blind,
        difference=_difference(detect),
        alpha=alpha,
        power=power,
        sequential=sequential,
    )
    _refuse_existing(out, *([key_file] if blind else []))
    write_json(out, plan_to_json(trials))
    if blind:
        paths = {code: checkpoints[name] for code, name in key.items()}
        write_json(key_file, {"names": key, "paths": paths})
        print(f"{key_file} tells which code is which checkpoint; do not open it before the end")
    pairs = len({trial.pair for trial in trials.trials})
    print(f"{out}: {len(trials.trials)} trials, {pairs} starts, each driven by {len(checkpoints)}")
    if trials.pairs_needed is not None:
        print(f"{trials.pairs_needed} matched starts find {detect} with power {power:g}")
        if pairs < trials.pairs_needed:
            print("warning: this plan has fewer starts than that")
    write_json(json_file, {"plan": str(out), **plan_to_json(trials)})


def _named(entries: list[str]) -> dict[str, str]:
    from mobile_vla_ros.trials.record import TrialError

    checkpoints: dict[str, str] = {}
    for entry in entries:
        name, mark, path = entry.partition("=")
        if not mark or not name or not path:
            raise TrialError(f"--checkpoint wants NAME=PATH, not {entry!r}")
        if name in checkpoints:
            raise TrialError(f"two checkpoints are called {name!r}")
        checkpoints[name] = path
    return checkpoints


def _require(checkpoints: dict[str, str]) -> None:
    """Refuses checkpoints that are not there: the field is no place to find that out."""
    from mobile_vla_ros.trials.record import TrialError

    for name, path in checkpoints.items():
        if not is_uri(path) and not bundled.find(path).exists():
            raise TrialError(
                f"checkpoint {name}: {path} does not exist{bundled.places(path)}; give"
                " --elsewhere when it lies on the machine that drives"
            )


def _refuse_existing(*files: Path) -> None:
    """A plan that is being driven, or whose key is lost, cannot be had back."""
    from mobile_vla_ros.trials.record import TrialError

    for file in files:
        if file.exists():
            raise TrialError(f"{file} is there already, and a plan is never overwritten")


def _difference(words: str) -> tuple[float, float] | None:
    from mobile_vla_ros.trials.record import TrialError

    if not words:
        return None
    try:
        high, low = (float(part) for part in words.split(","))
    except ValueError:
        raise TrialError(f"--detect wants two rates such as 0.9,0.6, not {words!r}") from None
    return high, low


@app.command()
def report(
    log: Path = typer.Argument(..., help="The trial log (trials.jsonl)."),
    plan_file: Path | None = typer.Option(None, "--plan", help="The plan that was followed."),
    key_file: Path | None = typer.Option(None, "--key", help="The key of a blind plan."),
    target: float = typer.Option(0.8, help="Success rate to be reached, drawn in the figure."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(
        None, "--plot", help="Success rates as PNG; paths and lost time are written beside it."
    ),
    html: Path | None = typer.Option(None, "--html", help="The whole report as one HTML file."),
) -> None:
    """Success rates, which checkpoint is better and how sure that is, paths, causes, lost time.

    Example: mobile_vla trials report trials.jsonl --plan plan.json --html report.html
    """
    from mobile_vla_ros.trials.log import read_trials
    from mobile_vla_ros.trials.plan import read_plan
    from mobile_vla_ros.trials.report import report_trials

    records, problems = read_trials(log)
    for problem in problems:
        typer.echo(f"mobile_vla: left out: {problem}", err=True)
    plan_read = read_plan(plan_file) if plan_file else None
    key = _read_key(key_file) if key_file else {}
    result = report_trials(records, plan_read, key)
    _print_rates(result.checkpoints)
    print(result.comparison.sentence)
    write_json(
        json_file,
        {
            "log": str(log),
            "checkpoints": result.checkpoints,
            "by_scenario": result.by_scenario,
            "comparison": result.comparison,
            "comparisons": result.comparisons,
            "failures": result.failures,
            "lost_time": result.lost_time,
            "not_counted": result.not_counted,
            "shadow": result.shadow,
            "problems": problems,
        },
    )
    if plot or html:
        from mobile_vla_ros.trials.page import write_trial_figures, write_trial_page

        names = [(record, key.get(record.checkpoint, record.checkpoint)) for record in records]
        if plot:
            write_trial_figures(result, names, plot, target)
        if html:
            write_trial_page(result, names, html, target, source=str(log))


def _instruction(scenario: str) -> str:
    from mobile_vla_ros.trials.record import TrialError

    for side in ("left", "right"):
        if side in scenario.split("_"):
            return (
                "Navigate around obstacles and reach the front of the beverage bottle "
                f"on the {side}"
            )
    raise TrialError(
        f"the scenario {scenario!r} names no side; give its instruction: {scenario}='...'"
    )


def _read_key(path: Path) -> dict[str, str]:
    from mobile_vla_ros.trials.record import TrialError

    try:
        return dict(json.loads(text_of(path))["names"])
    except OSError as error:
        raise TrialError(f"cannot read the key {path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise TrialError(f"{path} is not the key of a blind plan") from error


def _print_rates(rates) -> None:
    table = ScreenTable(box=None)
    for title in ("checkpoint", "trials", "successes", "rate", "95 % interval", "time", "path"):
        table.add_column(title)
    for rate in rates:
        table.add_row(
            rate.name,
            str(rate.trials),
            str(rate.successes),
            "" if rate.success_rate is None else f"{rate.success_rate:.0%}",
            f"{rate.wilson[0]:.0%} to {rate.wilson[1]:.0%}",
            "" if rate.driving_time is None else f"{rate.driving_time:.1f} s",
            "" if rate.path_length is None else f"{rate.path_length:.2f} m",
        )
    Console().print(table)
