"""``mobile_vla episodes``: list, check, mend, look at, replay and hand on recorded episodes."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from mobile_vla_ros.cli import rig_options
from mobile_vla_ros.cli.episode_paths import files_of, finished, split_finished, usable
from mobile_vla_ros.cli.episodes_lerobot import export_lerobot, import_lerobot
from mobile_vla_ros.cli.episodes_mcap import export_mcap
from mobile_vla_ros.cli.episodes_view import view
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import bar
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.launching import parameter_value

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="List, check, mend, look at, replay, merge, import and export recorded episodes.",
    rich_markup_mode=None,
)
JSON = typer.Option(None, "--json", help="Machine-readable result.")
Item = TypeVar("Item")

app.command("import-lerobot")(import_lerobot)
app.command("export-lerobot")(export_lerobot)
app.command("export-mcap")(export_mcap)
app.command("view")(view)


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
        _complain(reason)
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


@app.command()
def repair(
    paths: list[Path] = typer.Argument(..., help="Interrupted .h5.part files, or folders."),
    json_file: Path | None = JSON,
) -> None:
    """Turns interrupted recordings into episodes marked incomplete, and says what was lost.

    Files that a recorder has open now are left alone. Exit 1 if one could not be repaired.

    Example: mobile_vla episodes repair ~/episodes
    """
    from mobile_vla_ros.episodes.recovery import Recovery, recover, recover_folder
    from mobile_vla_ros.episodes.schema import EpisodeError

    results: list[Recovery] = []
    for path in paths:
        if path.is_dir():
            results += recover_folder(path)
            continue
        try:
            results.append(recover(path))
        except EpisodeError as error:
            results.append(Recovery(path, None, 0, 0, str(error)))
    for result in results:
        print(result.note)
    if not results:
        print("nothing was interrupted")
    write_json(json_file, {"files": results})
    if any(result.path is None and result.part.exists() for result in results):
        raise typer.Exit(1)


@app.command()
def relabel(
    paths: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    instruction: str | None = typer.Option(None, help="The new instruction, any language."),
    scenario: str | None = typer.Option(None, help="The new scenario; renames the file, too."),
    outcome: str | None = typer.Option(None, help="The new outcome, e.g. success."),
    json_file: Path | None = JSON,
) -> None:
    """Changes instruction, scenario or outcome; the frames stay as they are.

    Example: mobile_vla episodes relabel episode_20250101_120000_1box_left.h5 --outcome success
    """
    from mobile_vla_ros.episodes.editing import relabel as change

    done = []
    for path in bar(finished(paths), "relabelling"):
        new = change(path, instruction=instruction, scenario=scenario, outcome=outcome)
        done.append({"path": path, "now": new})
    print(f"{len(done)} episodes relabelled")
    write_json(json_file, {"files": done})


@app.command()
def trim(
    path: Path = typer.Argument(..., help="The episode."),
    first: int = typer.Option(0, help="Frames to leave out at the start.", min=0),
    last: int = typer.Option(0, help="Frames to leave out at the end.", min=0),
    out: Path | None = typer.Option(
        None, help="The new file; by default a new name beside the old one."
    ),
    json_file: Path | None = JSON,
) -> None:
    """Writes a copy without the first and last frames; the episode itself stays.

    Example: mobile_vla episodes trim episode_20250101_120000_1box_left.h5 --first 5 --last 2
    """
    from mobile_vla_ros.episodes.editing import trim as cut
    from mobile_vla_ros.episodes.names import free_path
    from mobile_vla_ros.episodes.reader import open_episode

    new = cut(path, out or free_path(path), first=first, last=last)
    with open_episode(new) as episode:
        frames = len(episode)
    print(f"{new}: {frames} frames")
    write_json(json_file, {"path": new, "frames": frames, "from": path})


@app.command()
def show(
    path: Path = typer.Argument(..., help="The episode, or an incident capsule."),
    plot: Path | None = typer.Option(
        None, help="The picture to write (.png, .pdf); by default the episode's name with .png."
    ),
    pictures: int = typer.Option(18, help="Frames to draw, spread evenly.", min=1, max=200),
    json_file: Path | None = JSON,
) -> None:
    """Draws the contact sheet: frames with the commands on them, speeds, and the path.

    An incident capsule is drawn with its pictures, every plan to its last step, the commands, the
    path and what happened when.

    Example: mobile_vla episodes show episode_20250101_120000_1box_left.h5 --plot sheet.png
    """
    from mobile_vla_ros.episodes.incident import is_incident
    from mobile_vla_ros.episodes.reader import open_episode
    from mobile_vla_ros.episodes.sheet import draw_episode, driven_path

    if is_incident(path):
        shown = _show_incident(path, plot or Path(path.with_suffix(".png").name))
        for name, value in shown.items():
            print(f"{name}: {value}")
        write_json(json_file, shown)
        return
    with open_episode(path) as episode:
        target = draw_episode(episode, plot or path.with_suffix(".png").name, pictures)
        route, source = driven_path(episode)
        facts: dict[str, Any] = {
            "path": path,
            "frames": len(episode),
            "duration": float(episode.image_stamps[-1] - episode.image_stamps[0]),
            "scenario": episode.scenario,
            "instruction": episode.instruction,
            "instruction_source": episode.instruction_source,
            "outcome": episode.outcome,
            "complete": episode.complete,
            "action_axes": episode.action_axes,
            "image_format": episode.image_format,
            "image_shape": episode.image_shape,
            "end": route[-1],
            "end_source": source,
            "plot": target,
        }
    printed = {
        **facts,
        "duration": f"{facts['duration']:.1f} s",
        "action_axes": ", ".join(facts["action_axes"]),
        "image_shape": " x ".join(map(str, facts["image_shape"])),
        "end": f"x {route[-1][0]:.2f} m, y {route[-1][1]:.2f} m",
    }
    for name, value in printed.items():
        print(f"{name}: {value}")
    write_json(json_file, facts)


def _show_incident(path: Path, plot: Path) -> dict[str, object]:
    from mobile_vla_ros.episodes.incident import read_incident
    from mobile_vla_ros.plots.incident import draw_capsule
    from mobile_vla_ros.plots.style import save_figure

    incident = read_incident(path)
    told = incident.attributes
    title = " · ".join(
        str(part)
        for part in (incident.reason, told.get("scenario"), told.get("checkpoint"))
        if part
    )
    figure = draw_capsule(
        title,
        incident.time,
        [
            (float(stamp), incident.image(index))
            for index, stamp in enumerate(incident.frame_stamps)
        ],
        incident.axes,
        incident.chunk_stamps,
        incident.chunks,
        incident.action_period,
        incident.commands,
        incident.odometry,
        incident.events,
    )
    return {
        "path": path,
        "reason": incident.reason,
        "frames": len(incident.jpegs),
        "chunks": len(incident.chunks),
        "features": incident.features.shape,
        "commands": len(incident.commands),
        "odometry": len(incident.odometry),
        "events": [text for _, text in incident.events],
        **told,
        "plot": save_figure(figure, plot),
    }


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
)
def replay(
    context: typer.Context,
    path: Path = typer.Argument(..., help="The episode."),
    rate: float = typer.Option(1.0, help="Speed: 2 plays twice as fast."),
    loop: bool = typer.Option(False, "--loop", help="Start again at the end."),
) -> None:
    """Publishes an episode as camera and command topics (needs ROS 2).

    Starts the replay node; what follows `--ros-args` goes to it.

    Example: mobile_vla episodes replay FILE.h5 --rate 2 --ros-args -r image:=camera/image_raw
    """
    from mobile_vla_ros.episodes.reader import open_episode

    open_episode(path).close()
    if importlib.util.find_spec("rclpy") is None:
        raise InputError(
            "replay needs ROS 2: source its setup file (`source /opt/ros/jazzy/setup.bash`), or"
            " look at the episode with `mobile_vla episodes show`"
        )
    given = [
        "-p",
        f"episode:={parameter_value(str(path))}",
        "-p",
        f"rate:={rate}",
        "-p",
        f"loop:={str(loop).lower()}",
    ]
    extra = [word for word in context.args if word != "--ros-args"]
    node = [sys.executable, "-m", "mobile_vla_ros.nodes.replay_node", "--ros-args", *given, *extra]
    raise typer.Exit(subprocess.call(node))


@app.command()
def merge(
    sources: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    out: Path = typer.Option(
        ..., "--out", "-o", help="A folder (collects copies) or a .h5 file (joins the parts)."
    ),
    json_file: Path | None = JSON,
) -> None:
    """Puts episodes together; refuses different axes, spacing or cameras and says which.

    Into a folder: copies of all episodes, none overwritten, none twice; a file that cannot be used
    is named and left out. Into a .h5 file: one episode of the parts of one recording, in the order
    of their stamps.

    Example: mobile_vla episodes merge monday/ tuesday/ --out week/
    """
    from mobile_vla_ros.episodes.editing import gather, join
    from mobile_vla_ros.episodes.trimmed import superseded

    if out.suffix == ".h5":
        files = finished(sources)
        path = join(files, out)
        print(f"{path}: joined from {len(files)} episodes")
        write_json(json_file, {"path": path, "files": files})
        return
    files = usable(sources, bar)
    twice = superseded(files)
    for original, copy in twice.items():
        _complain(f"{original} is left out: {copy.name} is trimmed from it")
    copies, skipped = gather([path for path in files if path not in twice], out)
    there = f", {len(skipped)} were there already" if skipped else ""
    print(f"{len(copies)} episodes copied to {out}{there}")
    write_json(json_file, {"path": out, "files": copies, "skipped": skipped})


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
    # What a name is cut to cannot be copied; the words beside it may wrap.
    table.add_column(
        "file", no_wrap=True, min_width=max((len(e.path.name) for e in entries), default=0)
    )
    table.add_column("scenario")
    for heading in ("frames", "seconds", "MB"):
        table.add_column(heading, justify="right")
    for heading in ("frames as", "outcome", "instruction"):
        table.add_column(heading)
    for entry in entries:
        cut = "" if entry.complete else "incomplete "
        size = f"{entry.bytes / 1e6:.1f}"
        numbers = (str(entry.frames), f"{entry.duration:.1f}", size)
        words = (entry.image_format, cut + entry.outcome, entry.instruction)
        table.add_row(entry.path.name, entry.scenario, *numbers, *words)
    screen.print(table)


def _complain(sentence: str) -> None:
    print(f"mobile_vla: {sentence}", file=sys.stderr)
