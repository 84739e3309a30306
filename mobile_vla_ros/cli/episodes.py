"""``mobile_vla episodes``: list, check, mend, look at, replay and hand on recorded episodes."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table

from mobile_vla_ros.cli import rig_options
from mobile_vla_ros.cli.complaint import complain
from mobile_vla_ros.cli.episode_paths import files_of, split_finished
from mobile_vla_ros.cli.episodes_edit import merge, relabel, repair, trim
from mobile_vla_ros.cli.episodes_lerobot import export_lerobot, import_lerobot
from mobile_vla_ros.cli.episodes_mcap import export_mcap
from mobile_vla_ros.cli.episodes_show import replay, show
from mobile_vla_ros.cli.episodes_view import view
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import bar

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, check, mend, look at, replay, merge, import and export recorded episodes.",
    rich_markup_mode=None,
)
JSON = typer.Option(None, "--json", help="Machine-readable result.")
Item = TypeVar("Item")
# Columns that a file's numbers and words want beside its name.
WORDS_WIDTH = 75


@app.command("list")
def list_episodes(
    folders: list[Path] = typer.Argument(..., help="Folders of episodes (or single files)."),
    plan: Path | None = typer.Option(
        None, help="The collection plan (YAML): shows done against wanted."
    ),
    scenario: str = typer.Option("", help="Only scenarios with this in their name."),
    side: str = typer.Option("", help="Only left or right."),
    outcome: str = typer.Option("", help="Only this outcome, e.g. success."),
    complete: bool | None = typer.Option(
        None, "--complete/--incomplete", help="Only finished, or only cut-off recordings."
    ),
    files: bool = typer.Option(False, "--files", help="Also one line per file."),
    json_file: Path | None = JSON,
) -> None:
    """Shows how many episodes of each scenario there are, against the plan.

    Example: mobile_vla episodes list ~/episodes --plan config/collection.yaml --side left
    """
    from mobile_vla_ros.episodes.collection import Filter, count_scenarios, survey
    from mobile_vla_ros.episodes.plan import read_plan
    from mobile_vla_ros.episodes.room import cost_of_rest
    from mobile_vla_ros.episodes.trimmed import superseded

    wanted = read_plan(plan) if plan else None
    found, parts = split_finished(files_of(folders))
    entries, unreadable = survey(bar(found, "reading"))
    filter_ = Filter(scenario, side, outcome, complete)
    entries = [entry for entry in entries if filter_.admits(entry)]
    twice = superseded(entry.path for entry in entries)
    counts = count_scenarios([e for e in entries if e.path not in twice], wanted)
    if scenario or side:
        counts = [c for c in counts if scenario in c.name and (not side or side in c.name)]
    screen = Console()
    if files:
        _show_files(screen, entries)
    table = Table("scenario", box=None, pad_edge=False)
    for heading in ("done", "wanted", "missing"):
        table.add_column(heading, justify="right")
    for count in counts:
        target = str(count.target) if wanted else ""
        missing = str(count.missing) if wanted else ""
        table.add_row(count.name or "(none)", str(count.done), target, missing)
    total = [sum(c.done for c in counts), sum(c.target for c in counts)]
    lacking = sum(c.missing for c in counts)
    table.add_row(
        "together", str(total[0]), str(total[1]) if wanted else "", str(lacking) if wanted else ""
    )
    screen.print(table)
    if lacking:
        sizes = [entry.bytes for entry in entries if entry.complete]
        screen.print(cost_of_rest(lacking, sizes, folders[0]), highlight=False)
    incomplete = sum(not entry.complete for entry in entries)
    if incomplete:
        screen.print(f"{incomplete} incomplete, not counted as done")
    if twice:
        screen.print(f"{len(twice)} with a trimmed copy beside them, which counts in their place")
    if parts:
        screen.print(f"{len(parts)} interrupted or being recorded (.part): `episodes repair`")
    for _, reason in unreadable:
        complain(reason)
    write_json(
        json_file,
        {
            "scenarios": counts,
            "files": entries,
            "incomplete": incomplete,
            "interrupted": parts,
            "unreadable": [{"path": path, "reason": reason} for path, reason in unreadable],
        },
    )


@app.command()
def check(
    paths: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    max_linear: float = typer.Option(1.15, help="Largest |command| on a linear axis, m/s."),
    max_angular: float = typer.Option(1.15, help="Largest |command| when turning, rad/s."),
    gap: float = typer.Option(2.5, help="A step beyond this many median steps is a gap."),
    frames: bool = typer.Option(True, "--frames/--no-frames", help="Also look at the pictures."),
    json_file: Path | None = JSON,
) -> None:
    """Checks every file; exit 1 if any fails.

    Looks at the layout, stamps that rise, gaps, spacing against the frame period, dropped and
    lost frames, black, frozen and duplicate frames, commands beyond the limits, and missing
    instructions. Unreadable files get one sentence each and do not stop the others.

    Example: mobile_vla episodes check ~/episodes --json report.json
    """
    from mobile_vla_ros.episodes.check_limits import CheckLimits
    from mobile_vla_ros.episodes.checks import check_episode

    limits = CheckLimits(speed=max_linear, turn_rate=max_angular, gap=gap, frames=frames)
    reports = []
    for path in bar(files_of(paths), "checking"):
        report = check_episode(path, limits)
        reports.append(report)
        for problem in report.problems:
            told = problem if str(path) in problem else f"{path}: {problem}"
            print(told)
    failed = sum(not report.ok for report in reports)
    print(f"{len(reports) - failed} of {len(reports)} files are in order")
    write_json(json_file, {"files": reports, "failed": failed})
    if failed:
        raise typer.Exit(1)


@app.command("import-bag")
def import_bag(
    bag: Path = typer.Argument(..., help="A rosbag2 folder (mcap or sqlite3) or .mcap file."),
    out: Path = typer.Argument(..., help="Folder for the episode."),
    scenario: str = typer.Option(..., help="Scenario, e.g. 1box_left."),
    instruction: str = typer.Option("", help="What the robot was told."),
    image_topic: str = typer.Option(
        "", help="Image topic, raw or compressed; needed if the bag has several."
    ),
    cmd_vel_topic: str = typer.Option("", help="Command topic; needed if the bag has several."),
    odom_topic: str = typer.Option("", help="Odometry topic; by default the only one, if any."),
    rate: float = typer.Option(10.0, help="Rows per second; 0 takes every frame.", min=0.0),
    image_format: str = typer.Option(
        "raw", help="raw or jpeg (a compressed topic is kept as it is)."
    ),
    camera_height: float | None = rig_options.HEIGHT,
    camera_tilt: float | None = rig_options.TILT,
    field_of_view: float | None = rig_options.VIEW,
    exposure_mode: str = rig_options.EXPOSURE,
    json_file: Path | None = JSON,
) -> None:
    """Makes an episode of a recorded bag; needs no ROS.

    Each row carries the command in force when its frame was captured. Where the camera stood is
    taken from camera_info and tf_static, as far as they say it, and from the options.

    Example: mobile_vla episodes import-bag run3/ ~/episodes --scenario 1box_left
    """
    from mobile_vla_ros.episodes.import_bag import BagTopics
    from mobile_vla_ros.episodes.import_bag import import_bag as bring_in

    result = bring_in(
        bag,
        out,
        scenario=scenario,
        instruction=instruction,
        topics=BagTopics(image_topic, cmd_vel_topic, odom_topic),
        rate=rate,
        image_format=image_format,
        rig=rig_options.told_rig(camera_height, camera_tilt, field_of_view, exposure_mode),
    )
    print(f"{result.path}: {result.frames} of {result.messages} frames; {result.note}")
    write_json(json_file, result)


def _show_files(screen: Console, entries: list) -> None:
    table = Table(box=None, pad_edge=False)
    # What a name is cut to cannot be copied; the words beside it may wrap, where there is room for
    # them. The scenario stands in the name.
    longest = max((len(e.path.name) for e in entries), default=0)
    roomy = screen.width >= longest + WORDS_WIDTH
    table.add_column("file", no_wrap=True, min_width=longest)
    for heading in ("frames", "seconds", "MB"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("as", "outcome", "scenario", "instruction") if roomy else ("as", "outcome"):
        table.add_column(heading)
    for entry in entries:
        cut = "" if entry.complete else "incomplete "
        size = f"{entry.bytes / 1e6:.1f}"
        numbers = (str(entry.frames), f"{entry.duration:.1f}", size)
        words = (entry.image_format, cut + entry.outcome)
        labels = (entry.scenario, entry.instruction) if roomy else ()
        table.add_row(entry.path.name, *numbers, *words, *labels)
    screen.print(table)


app.command("import-lerobot")(import_lerobot)
app.command("export-lerobot")(export_lerobot)
app.command("export-mcap")(export_mcap)
app.command("view")(view)
app.command()(show)
app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)(replay)
for change in (repair, relabel, trim, merge):
    app.command()(change)
