"""``mobile_vla sim correct``: a policy drives, a scripted person corrects it."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.bundled import for_field
from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import progress_bar


def correct(
    checkpoint: Path = typer.Option(..., "--checkpoint", "-c", help="Policy that drives."),
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the episodes; made if missing."),
    backbone: Path | None = typer.Option(None, help="Kosmos-2 directory, if not in the file."),
    config: Path | None = typer.Option(None, help="Run JSON, if not in the checkpoint."),
    episodes: int = typer.Option(20, "--episodes", "-n", help="How many in all."),
    scenario: list[str] = typer.Option(["all"], "--scenario", "-s", help=options.SCENARIO_HELP),
    field: options.Field = "lab",
    tier: options.Tier = None,
    target: options.Target = "",
    seed: int = typer.Option(3_000_000, help="Seed of the first field; the next ones count up."),
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    runtime: options.Runtime = "auto",
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Lets a policy drive while a scripted person takes over whenever it is about to fail.

    The episodes say row by row who drove; `mobile_vla train --corrections` learns from them.

    Example: mobile_vla sim correct -c demo --field open --tier easy -n 40 --out corrections
    """
    from mobile_vla_ros.errors import InputError
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.closed_loop import LoopSettings
    from mobile_vla_ros.sim.evaluate import evaluation_plan
    from mobile_vla_ros.sim.fields import OPEN, refuse_kept, scenario_names
    from mobile_vla_ros.sim.open_field.measures import OPEN_PILOT
    from mobile_vla_ros.sim.relabel import collect_driven

    names = scenario_names(field, tuple(scenario), tuple(tier or ()), target)
    for name in names:
        refuse_kept(name)
    plan = evaluation_plan(names, episodes, seed)
    checkpoint = Path(for_field(checkpoint, open_field=field == OPEN))
    policy = load_policy(checkpoint, backbone, config, device, dtype, runtime)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error.strerror}") from error
    loop = LoopSettings(pilot=OPEN_PILOT) if field == OPEN else LoopSettings()
    with progress_bar("driving", episodes) as advance:
        done = collect_driven(
            policy, out, plan, loop=loop, corrected=True, progress=lambda _: advance()
        )
    takeovers = sum(item.takeovers or 0 for item in done)
    metres = sum(item.path_length for item in done)
    per_100m = 100 * takeovers / metres if metres else None
    typer.echo(
        f"{len(done)} episodes in {out}: a person took over {takeovers} times, "
        f"{per_100m or 0:.1f} per 100 m; {sum(item.success for item in done)} ended well"
    )
    write_json(
        json_file,
        {
            "episodes": len(done),
            "interventions": takeovers,
            "interventions_per_100m": per_100m,
            "successes": sum(item.success for item in done),
            "files": [{**vars(item), "path": str(item.path)} for item in done],
        },
    )
