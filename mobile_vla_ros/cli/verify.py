"""``mobile_vla verify``: predicted against recorded velocities on held-out episodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import write_json

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def verify(
    checkpoint: Annotated[Path, typer.Option("--checkpoint", "-c", help="The policy to verify.")],
    data: options.Data,
    backbone: options.Backbone = None,
    config: options.Config = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    runtime: options.Runtime = "auto",
    instruction: Annotated[
        str | None, typer.Option(help="Instruction for every episode instead of its own.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Exit with status 1 when the RMSE is above this, e.g. 0.12."),
    ] = None,
    latency: Annotated[
        str,
        typer.Option(help="Latencies in ms, e.g. 50,150,400: where the robot's path would end."),
    ] = "",
    skip_training_files: Annotated[
        bool,
        typer.Option(
            help="Leave out files the checkpoint was trained on instead of refusing them."
        ),
    ] = False,
    swap: Annotated[
        bool,
        typer.Option(
            help="Also follow the frames with left and right exchanged in the instruction."
        ),
    ] = True,
    limit: options.Limit = None,
    seed: Annotated[int, typer.Option(help="Seed of the bootstrap.")] = 0,
    json_file: options.JsonFile = None,
    plot: options.Plot = None,
) -> None:
    """Follows held-out episodes as the robot would see them and measures the velocity error.

    Every frame goes through the same stream as in driving, with its own stamp. The RMSE is in
    normalised units, first chunk step, axes pooled; per-axis errors in m/s and rad/s stand beside
    it, and so do two simple guesses on the same frames. Files that the checkpoint was trained on
    are refused.

    Example: mobile_vla verify --checkpoint runs/frozen/best.ckpt --data episodes/held_out
    --threshold 0.12 --latency 50,150,400 --json runs/frozen/verify.json
    """
    latencies = _milliseconds(latency)
    from mobile_vla_ros.analysis.verification import verify as measure
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy

    policy = load_policy(checkpoint, backbone, config, device, dtype, runtime)
    result = measure(
        policy,
        data,
        instruction=instruction,
        latencies=latencies,
        threshold=threshold,
        skip_training_files=skip_training_files,
        swap=swap,
        limit=limit,
        seed=seed,
        progress=bar,
    )
    result["checkpoint"] = str(checkpoint)
    result["checkpoint_sha256"] = policy.provenance.sha256
    result["device"] = str(policy.device)
    result["dtype"] = str(policy.dtype).removeprefix("torch.")
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.style import save_figure
        from mobile_vla_ros.plots.verification import overview

        save_figure(overview(result), plot)
    _show(result)
    if result["passed"] is False:
        raise typer.Exit(1)


def _milliseconds(text: str) -> list[float]:
    values = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            value = float(word)
        except ValueError:
            value = -1.0
        if not 0 <= value < 60_000:
            raise typer.BadParameter(f"--latency wants milliseconds such as 50,150, not {word!r}")
        values.append(value / 1000)
    return values


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(soft_wrap=True)
    table = Table("axis", "RMSE", "MAE", "R2", "unit", title="first chunk step")
    for axis, unit in result["units"].items():
        table.add_row(
            axis,
            *(f"{result[name][axis]:.3f}" for name in ("rmse", "mae", "r2")),
            unit,
        )
    console.print(table)
    table = Table("guess", "RMSE (normalised)", "policy better by (95 %)")
    table.add_row("policy", f"{result['rmse_normalised_step0']:.3f}", "")
    for name, label in (("repeat_last", "repeat the last command"), ("mean", "mean command")):
        base = result["baselines"][name]
        gain = base["policy_better_by"]
        table.add_row(
            label,
            f"{base['rmse_normalised_step0']:.3f}",
            f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})",
        )
    change = result["baselines"]["repeat_last"]["change_points"]
    table.add_row(
        f"  where the command changes ({change['frames']} frames)",
        f"{change['rmse_normalised_step0']:.3f}",
        f"policy {change['policy_rmse_normalised_step0']:.3f}",
    )
    console.print(table)
    direction = result["direction"]
    console.print(
        f"direction agrees in {direction['agreement']:.0%} of {result['frames']} frames "
        f"(always the commonest: {direction['commonest']:.0%})"
    )
    swap = result["instruction_swap"]
    console.print(
        "instruction swap: " + (swap.get("verdict") or f"not measured, {swap['reason']}")
    )
    if "note" in result["axes"]:
        console.print("axes: " + result["axes"]["note"])
    for row in result["latency"]:
        console.print(
            f"latency {row['latency'] * 1000:.0f} ms (open loop): the path ends "
            f"{row['path_end_error']['value']:.2f} m from the recorded one"
        )
    console.print("held out: " + result["held_out"]["note"])
    for skipped in result["skipped"]:
        console.print(f"left out {skipped['path']}: {skipped['reason']}")
    console.print(result["conclusion"])
