"""``mobile_vla sim collect|evaluate``: episodes from the simulated fields, driving in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.bundled import for_field
from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import progress_bar
from mobile_vla_ros.cli.sim_correct import correct
from mobile_vla_ros.cli.sim_draw import draw

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="The simulated fields: collect episodes, evaluate a policy, draw them.",
    rich_markup_mode=None,
)

app.command("correct")(correct)
app.command("draw")(draw)


@app.command("collect")
def collect_command(
    out: Path = typer.Option(..., "--out", "-o", help="Folder for the episodes; made if missing."),
    scenario: list[str] = typer.Option(["all"], "--scenario", "-s", help=options.SCENARIO_HELP),
    episodes: int = typer.Option(20, "--episodes", "-n", help="How many in all."),
    seed: int = typer.Option(0, help="Seed of the first; the following ones count up."),
    workers: int = typer.Option(1, "--workers", "-w", help="Processes."),
    on: options.On = "here",
    style: str = typer.Option("smooth", help="How the scripted driver drives: smooth, keyboard."),
    noise: float = typer.Option(0.5, help="Pushes on the base to recover from: 0 (none) to 3."),
    speed: float = typer.Option(0.3, help="Largest speed of the driver, m/s."),
    width: int = typer.Option(640, help="Camera width in pixels; 1280 for 1280x720."),
    height: int = typer.Option(360, help="Camera height in pixels."),
    camera_height: float = typer.Option(0.40, help="Camera above the floor, m."),
    tilt: float = typer.Option(20.0, help="Camera tilt downwards, degrees."),
    field_of_view: float = typer.Option(96.0, help="Horizontal, degrees."),
    frame_period: float = typer.Option(0.4, help="Seconds between rows."),
    image_format: str = typer.Option("jpeg", help="jpeg or raw (raw takes ten times the room)."),
    field: options.Field = "lab",
    tier: options.Tier = None,
    target: options.Target = "",
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(None, "--plot", help="Figure of the first frames."),
) -> None:
    """Writes episodes that a scripted driver drives, with the recorder's own writer.

    The same seed gives the same bytes. Each file also carries the true states and what the
    driver would do from each of them, for either side.

    Example: mobile_vla sim collect --scenario all --episodes 400 --seed 1000 --workers 2
    --noise 1 --out data/sim
    """
    from mobile_vla_ros.sim.camera import CameraSettings
    from mobile_vla_ros.sim.collect import CollectSettings, collect
    from mobile_vla_ros.sim.driver import DriverSettings
    from mobile_vla_ros.sim.fields import scenario_names

    settings = CollectSettings(
        scenarios=scenario_names(field, tuple(scenario), tuple(tier or ()), target),
        episodes=episodes,
        seed=seed,
        driver=DriverSettings(style=style, max_linear=speed, noise=noise),
        camera=CameraSettings(
            width=width,
            height=height,
            mount_height=camera_height,
            tilt=tilt,
            field_of_view=field_of_view,
        ),
        frame_period=frame_period,
        image_format=image_format,
    )
    with progress_bar("collecting", episodes) as advance:
        done = collect(out, settings, workers, lambda _: advance(), on)
    successes = sum(item.success for item in done)
    rows = sum(item.rows for item in done)
    size = sum(item.path.stat().st_size for item in done)
    typer.echo(
        f"{len(done)} episodes with {rows} frames in {out} ({size / 1e6:.0f} MB), "
        f"{successes} of them {'reached the bottle' if field == 'lab' else 'did what was asked'}"
    )
    if plot is not None:
        from mobile_vla_ros.sim.frameplot import draw_first_frames

        draw_first_frames([item.path for item in done], plot)
    write_json(
        json_file,
        {
            "episodes": len(done),
            "successes": successes,
            "frames": rows,
            "bytes": size,
            "files": [{**vars(item), "path": str(item.path)} for item in done],
        },
    )


@app.command("evaluate")
def evaluate_command(
    checkpoint: Path = typer.Option(..., "--checkpoint", "-c", help="Policy that drives."),
    backbone: Path | None = typer.Option(None, help="Kosmos-2 directory, if not in the file."),
    config: Path | None = typer.Option(None, help="Run JSON, if not in the checkpoint."),
    episodes: int = typer.Option(20, "--episodes", "-n", help="How many in all."),
    scenario: list[str] = typer.Option(["all"], "--scenario", "-s", help=options.SCENARIO_HELP),
    seed: int = typer.Option(100_000, help="Seed of the first field; the next ones count up."),
    latency: float = typer.Option(0.0, help="Delay every chunk by so many ms, as slow hardware."),
    camera_rate: float = typer.Option(10.0, help="Frames per second."),
    width: int = typer.Option(640, help="Camera width in pixels."),
    height: int = typer.Option(360, help="Camera height in pixels."),
    swap_instruction: bool = typer.Option(
        False, help="Ask for the other side, and count passing there as right."
    ),
    field: options.Field = "lab",
    tier: options.Tier = None,
    target: options.Target = "",
    kept: options.Kept = False,
    change_instruction: bool = typer.Option(
        False, help="In the open field: ask for another thing on the way, which then counts."
    ),
    person: bool = typer.Option(
        False, help="A scripted person takes over before a failure; interventions are counted."
    ),
    workers: int = typer.Option(
        0, "--workers", "-w", min=0, help="Processes of one thread each; 0: this one, all threads."
    ),
    on: options.On = "here",
    minimum: float = typer.Option(
        0.0, help="Success rate, 0 to 1, below which the command exits with 1."
    ),
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    runtime: options.Runtime = "auto",
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    plot: Path | None = typer.Option(None, "--plot", help="Paths from above, e.g. paths.png."),
) -> None:
    """Lets a policy drive in closed loop, in process, and says how often it gets there.

    A run succeeds when the robot stops for a second within 0.5 m of the bottle, facing it within
    20 degrees, having passed every box on the asked side, touching nothing, within 30 s.

    Example: mobile_vla sim evaluate -c runs/best.ckpt --episodes 100 --plot paths.png
    """
    from mobile_vla_ros.cli.sim_driving import Driving, evaluate_spread
    from mobile_vla_ros.control.pilot import PilotSettings
    from mobile_vla_ros.errors import InputError
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.camera import CameraSettings
    from mobile_vla_ros.sim.closed_loop import LoopSettings
    from mobile_vla_ros.sim.evaluate import evaluation_plan
    from mobile_vla_ros.sim.fields import OPEN, scenario_names
    from mobile_vla_ros.sim.open_field.measures import OPEN_PILOT
    from mobile_vla_ros.spreading import HERE

    names = scenario_names(
        field, tuple(scenario), tuple(tier or ()), target, new=kept, change=change_instruction
    )
    if not 0 <= minimum <= 1:
        raise InputError(f"--minimum {minimum:g}: give a success rate from 0 to 1")
    if not camera_rate > 0:
        raise InputError(f"--camera-rate {camera_rate:g}: give frames per second above 0")
    plan = evaluation_plan(names, episodes, seed)
    camera = CameraSettings(width=width, height=height)
    pilot = OPEN_PILOT if field == OPEN else PilotSettings()
    loop = LoopSettings(1 / camera_rate, latency / 1000, pilot)
    checkpoint = Path(for_field(checkpoint, open_field=field == OPEN))
    policy = load_policy(checkpoint, backbone, config, device, dtype, runtime)
    how = Driving(loop, camera, swap_instruction, person)
    with progress_bar("driving", episodes) as advance:
        if workers or on != HERE:
            # What "auto" has come to here holds everywhere.
            chosen = (device, str(policy.dtype).removeprefix("torch."), policy.runtime)
            loading = (checkpoint, backbone, config, *chosen)
            result = evaluate_spread(loading, plan, how, workers or 1, on, lambda _: advance())
        else:
            result = how.evaluate(policy, plan, lambda _: advance())
    summary = {
        **result.summary(),
        "checkpoint": str(checkpoint),
        "runtime": policy.runtime,
        "dtype": str(policy.dtype).removeprefix("torch."),
        "seed": seed,
        "latency_ms": latency,
        "swap_instruction": swap_instruction,
    }
    print_summary(summary)
    if plot is not None:
        result.write(plot=str(plot))
    write_json(json_file, summary)
    if summary["success_rate"] < minimum:
        raise typer.Exit(1)


# Headings of the table, and the keys of the numbers below them.
_MEASURES = {"time (s)": "driving_time", "path (m)": "path_length", "collisions": "collisions"}
_OPEN_MEASURES = {
    "SPL": "spl",
    "m off": "navigation_error",
    "wrong": "wrong_targets",
    "false stops": "false_stops",
    "hits": "collisions",
}


def print_summary(summary: dict[str, Any]) -> None:
    """Prints an evaluation's table."""
    from rich.console import Console
    from rich.table import Table

    opened = summary.get("field") == "open"
    measures = _OPEN_MEASURES if opened else _MEASURES
    table = Table("scenario", "reached", "95 %", *measures)
    rows = [*summary["by_scenario"].items(), ("all", summary)]
    if opened:
        rows[-1:-1] = [(f"{kind} words", part) for kind, part in summary["by_wording"].items()]
    for name, part in rows:
        low, high = part["wilson"]
        table.add_row(
            name,
            f"{part['successes']} of {part['episodes']}",
            f"{100 * low:.0f} to {100 * high:.0f} %",
            *(_number(part[key]) for key in measures.values()),
        )
    console = Console()
    console.print(table)
    if "interventions" in summary:
        console.print(
            f"a person took over {summary['interventions']} times, "
            f"{_number(summary['interventions_per_100m'])} per 100 m; "
            f"{summary['runs_without_intervention']} runs without"
        )
    failures = {
        name: n
        for name, n in summary["reasons"].items()
        if name not in ("reached", "stood still as told")
    }
    if failures:
        console.print("failures: " + ", ".join(f"{n} {name}" for name, n in failures.items()))


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.2f}"
