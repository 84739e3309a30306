"""``mobile_vla episodes export-lerobot`` and ``import-lerobot``: data sets of the wider world."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from mobile_vla_ros.cli import rig_options
from mobile_vla_ros.cli.episode_paths import usable
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import bar
from mobile_vla_ros.errors import InputError

JSON = typer.Option(None, "--json", help="Machine-readable result.")


def export_lerobot(
    sources: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    out: Path = typer.Option(..., "--out", "-o", help="The new data set's folder."),
    fps: int = typer.Option(0, help="Frames per second, whole; 0 takes the recorded rate.", min=0),
    height: int = typer.Option(0, help="Frame height to resize to; 0 keeps the size.", min=0),
    width: int = typer.Option(0, help="Frame width to resize to; 0 keeps the size.", min=0),
    video: bool = typer.Option(False, "--video", help="MP4 instead of pictures in the tables."),
    quality: int = typer.Option(18, help="Of the video, 0 to 51: lower is better and larger."),
    names: str = typer.Option(
        "ros", help="Column names: ros (linear.x, ...) or lekiwi (x.vel, ...; angles in degrees)."
    ),
    append: bool = typer.Option(False, "--append", help="Add to the data set that OUT is."),
    licence: str = typer.Option(
        "unknown", "--license", help="For the data set's card, e.g. cc-by-4.0."
    ),
    robot: str = typer.Option("mobile_base", help="The robot's name, for the card."),
    note: str = typer.Option("", help="How it was recorded, for the card, in your own words."),
    workers: int = typer.Option(0, help="Processes that encode; 0: one per core, 4 at most."),
    json_file: Path | None = JSON,
) -> None:
    """Writes a LeRobotDataset (v3.0), with the frames as pictures in its tables or as video.

    Frames are taken at a whole number per second, the nearest one to each tick; when each was
    really captured, in seconds from the episode's start, is the feature `observation.stamp`. An
    episode with a gap becomes two. Pictures are exact; video is a tenth of the size or less, and
    what it loses is said in dB. README.md in the folder is the data set's card.

    Example: mobile_vla episodes export-lerobot ~/episodes --out lab_lerobot --fps 5 --video
    """
    from mobile_vla_ros.episodes.export_lerobot import CardFacts, VideoSettings, export

    result = export(
        usable(sources, bar),
        out,
        fps=fps or None,
        size=(height, width) if height and width else None,
        video=VideoSettings(quality) if video else None,
        names=names,
        append=append,
        card=CardFacts(licence, robot, note),
        workers=workers or min(4, os.cpu_count() or 1),
        progress=bar,
    )
    told = f"{out}: {result.episodes} episodes, {result.frames} frames at {result.fps} frames/s"
    if video:
        lost = "nothing lost" if math.isinf(result.psnr) else f"{result.psnr:.1f} dB PSNR"
        told += f"; video, {lost}"
    print(told)
    for name in result.taken_away:
        print(f"{name}, which an interrupted export had left there, was removed")
    if result.without_odometry:
        print(f"{result.without_odometry} rows have no odometry; the statistics leave them out")
    if licence == "unknown":
        print("the card says that the licence is unknown; --license names one")
    write_json(json_file, result)


def import_lerobot(
    source: str = typer.Argument(
        ..., help="A data set's folder, or ORG/NAME or hf://ORG/NAME[@revision] of a hub."
    ),
    out: Path = typer.Argument(..., help="Folder for the episodes."),
    camera: str = typer.Option("", help="Which camera; needed if the data set has several."),
    columns: str = typer.Option(
        "",
        help="Which columns are the velocities, e.g. linear.x=x.vel,angular.z=theta.vel; a number"
        " is a column of `action`. By default found by their names.",
    ),
    degrees: bool | None = typer.Option(
        None,
        "--degrees/--radians",
        help="What angles are in; by default radians, and degrees for LeKiwi's theta.vel.",
    ),
    scenario: str = typer.Option("lerobot", help="Scenario of episodes that name none."),
    instruction: str = typer.Option("", help="For episodes that have no task."),
    frame_period: float = typer.Option(
        0.4, help="Spacing in seconds that a policy takes frames at.", min=0.001
    ),
    image_format: str = typer.Option(
        "raw", help="Of video frames: raw or jpeg. Pictures stay as they are."
    ),
    episodes: str = typer.Option("", help="Only these, e.g. 0-9,12."),
    camera_height: float | None = rig_options.HEIGHT,
    camera_tilt: float | None = rig_options.TILT,
    field_of_view: float | None = rig_options.VIEW,
    exposure_mode: str = rig_options.EXPOSURE,
    json_file: Path | None = JSON,
) -> None:
    """Makes episodes of a LeRobotDataset, version 2 or 3, with pictures or video.

    An episode that cannot be used ends in a sentence and the others still come in; exit 1 then.

    Example: mobile_vla episodes import-lerobot lab_lerobot ~/episodes --camera front
    """
    from mobile_vla_ros.episodes.import_lerobot import LerobotOptions
    from mobile_vla_ros.episodes.import_lerobot import import_lerobot as bring_in

    options = LerobotOptions(
        camera=camera,
        columns=_columns(columns),
        degrees=degrees,
        scenario=scenario,
        instruction=instruction,
        frame_period=frame_period,
        image_format=image_format,
        episodes=_numbers(episodes),
        rig=rig_options.told_rig(camera_height, camera_tilt, field_of_view, exposure_mode),
    )
    result = bring_in(_find(source), out, options, progress=bar)
    for sentence in result.notes:
        print(sentence)
    for number, reason in result.refused:
        print(f"mobile_vla: episode {number}: {reason}", file=sys.stderr)
    print(
        f"{out}: {len(result.files)} of {len(result.files) + len(result.refused)} episodes, "
        f"{result.frames} frames; {', '.join(f'{a} is {c}' for a, c in result.columns.items())}"
    )
    write_json(json_file, result)
    if result.refused:
        raise typer.Exit(1)


def _find(source: str) -> Path:
    """A folder, or a repository of a hub where there is no such folder."""
    from mobile_vla_ros import hub

    path = Path(source)
    if path.exists() or source.count("/") != 1 or source.startswith((".", "~")):
        return path
    hub.quiet_progress()
    return hub.fetch(hub.parse(source, hub.DATASET))


def _columns(text: str) -> dict[str, str]:
    found = {}
    for part in filter(None, (word.strip() for word in text.split(","))):
        axis, mark, column = part.partition("=")
        if not mark or not column.strip():
            raise InputError(f"--columns {part!r}: write it as linear.x=COLUMN")
        found[axis.strip()] = column.strip()
    return found


def _numbers(text: str) -> Sequence[int] | None:
    if not text:
        return None
    found: list[int] = []
    for part in text.split(","):
        first, mark, last = part.strip().partition("-")
        if not first.isdigit() or (mark and not last.isdigit()):
            raise InputError(f"--episodes {text!r}: write it as 0-9,12")
        found += range(int(first), int(last if mark else first) + 1)
    return found
