"""``mobile_vla gate``: may this checkpoint go on the robot?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import write_json

if TYPE_CHECKING:
    from mobile_vla_ros.analysis.gate import GateSettings

app = typer.Typer(add_completion=False, rich_markup_mode=None)

# The first of the fields that are driven; nothing is trained on them.
FIELDS = 100_000


@app.command()
def gate(
    candidate: Annotated[Path, typer.Argument(help="The checkpoint that wants to go on.")],
    against: Annotated[
        Path, typer.Option("--against", help="The checkpoint that drives now; demo: the bundled.")
    ],
    data: options.Data,
    backbone: options.Backbone = None,
    config: options.Config = None,
    against_backbone: Annotated[
        Path | None, typer.Option(help="The current one's Kosmos-2 directory, when another.")
    ] = None,
    against_config: Annotated[
        Path | None, typer.Option(help="The current one's run JSON, when another.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Greatest RMSE (normalised, first chunk step).")
    ] = 0.25,
    latency_budget: Annotated[
        float, typer.Option(help="Greatest time for one frame on this machine, ms (median).")
    ] = 200.0,
    incident: Annotated[
        list[Path] | None,
        typer.Option(help="An incident capsule or a folder of them; may be given more than once."),
    ] = None,
    closed_loop: Annotated[
        int,
        typer.Option(min=0, help="Drives in the simulated field, each policy; 0 leaves it out."),
    ] = 8,
    unknown_training: Annotated[
        bool,
        typer.Option(help="Let a candidate pass that does not say what it was trained on."),
    ] = False,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    runtime: options.Runtime = "auto",
    limit: options.Limit = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap and of the first field.")] = 0,
    json_file: options.JsonFile = None,
) -> None:
    """Decides whether a checkpoint may go on the robot: PROMOTE, or HOLD with each reason.

    Both checkpoints follow the same held-out episodes. The candidate's axes, periods and
    normalisation must agree with the data, its error must be within its limit and no worse than
    the current one's (in all, and to either side), its words must matter, a frame must take no
    longer than its budget here, and in the same simulated fields it must arrive as often. Weights
    must be numbers in every layer, and adapters merged. HOLD ends with status 1.

    Example: mobile_vla gate runs/new --against runs/current --data episodes/held_out --incident
    incidents --json runs/new/gate.json
    """
    from mobile_vla_ros.analysis.gate import GateSettings, candidate_files
    from mobile_vla_ros.errors import InputError
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.policy.checkpoint import open_checkpoint

    if not threshold > 0:
        raise InputError(f"--threshold {threshold:g}: give an RMSE above 0")
    if not latency_budget > 0:
        raise InputError(f"--latency-budget {latency_budget:g}: give milliseconds above 0")
    capsules = _capsules(incident or [])
    if closed_loop:
        from mobile_vla_ros.sim.engine import require_mujoco

        require_mujoco()
    opened = open_checkpoint(candidate)
    current = load_policy(against, against_backbone, against_config, device, dtype, runtime)
    result = _judge(
        _Candidate(candidate, backbone, config, device, dtype, runtime),
        current,
        data,
        GateSettings(threshold, latency_budget / 1000, unknown_training, seed),
        capsules,
        closed_loop,
        limit,
    )
    result["command"] = "gate"
    result["candidate"], result["against"] = str(candidate), str(against)
    result["sha256"] = {
        "candidate": candidate_files(opened.path),
        "current": candidate_files(open_checkpoint(against).path),
        "data": result.pop("data", {}),
        "incidents": result.pop("incidents", {}),
    }
    write_json(json_file, result)
    _show(result)
    if result["decision"] == "hold":
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Candidate:
    """The checkpoint that wants to go on, as the command line names it."""

    checkpoint: Path
    backbone: Path | None
    config: Path | None
    device: str
    dtype: str
    runtime: str


def _judge(
    candidate: _Candidate,
    current: Any,
    data: Sequence[Path],
    settings: GateSettings,
    capsules: Sequence[Path],
    closed_loop: int,
    limit: int | None,
) -> dict[str, Any]:
    """Loads the candidate and lets it be decided upon; HOLD where it does not load."""
    from mobile_vla_ros.analysis import weights
    from mobile_vla_ros.analysis.gate import decide, hold
    from mobile_vla_ros.analysis.gate_check import Check
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.policy.errors import CheckpointError
    from mobile_vla_ros.policy.plan import plan_loading

    given = candidate.checkpoint, candidate.backbone, candidate.config
    try:
        plan = plan_loading(*given)
        plan.check()
        before = [weights.check_finite(plan), weights.check_merged(plan)]
        policy = load_policy(*given, candidate.device, candidate.dtype, candidate.runtime)
    except CheckpointError as error:
        # It is a checkpoint, and not one that any robot could load.
        return hold([Check("loads", False, False, True, str(error))])
    return decide(
        policy,
        current,
        data,
        settings,
        before=before,
        incidents=capsules,
        drives=_drives(closed_loop, settings.seed) if closed_loop else None,
        limit=limit,
        progress=bar,
    )


def _capsules(given: Sequence[Path]) -> list[Path]:
    from mobile_vla_ros.episodes.incident import IncidentError

    found: list[Path] = []
    for path in given:
        inside = sorted(path.glob("incident_*.h5")) if path.is_dir() else [path]
        if not inside:
            raise IncidentError(f"there is no incident capsule (incident_*.h5) in {path}")
        found += inside
    return found


def _drives(count: int, seed: int) -> Any:
    """Drives a policy through `count` fields, the same ones each time."""
    from mobile_vla_ros.cli.progress import progress_bar
    from mobile_vla_ros.sim.evaluate import evaluate, evaluation_plan
    from mobile_vla_ros.sim.scenario import SCENARIOS

    plan = evaluation_plan(SCENARIOS, count, FIELDS + seed)

    def drive(policy: Any) -> list[bool]:
        with progress_bar("driving", count) as advance:
            done = evaluate(policy, plan=plan, progress=lambda _: advance())
        return [run.outcome.success for run in done.runs]

    return drive


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True, highlight=False)
    table = Table("check", "", "what was found")
    for check in result["checks"]:
        table.add_row(check["name"], "ok" if check["ok"] else "HOLD", check["reason"])
    console.print(table)
    for skipped in result.get("skipped", ()):
        console.print(f"left out {skipped['path']}: {skipped['reason']}", markup=False)
    for sentence in result["not_measured"]:
        console.print(f"not measured: {sentence}", markup=False)
    if result["decision"] == "promote":
        console.print("PROMOTE")
    for reason in result["reasons"]:
        console.print(f"HOLD: {reason}", markup=False)
