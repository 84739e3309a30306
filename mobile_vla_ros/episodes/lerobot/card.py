"""The card of a data set: who may use it, what robot and camera, how much, how it was recorded."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.errors import without_secrets
from mobile_vla_ros.rig import ATTRIBUTE, Rig, rig_of

_MARK = "<!-- written by mobile_vla episodes export-lerobot -->"


@dataclass(frozen=True)
class CardFacts:
    """What only a person knows.

    Attributes:
        licence: as a hub names it, e.g. ``cc-by-4.0``; ``unknown`` when nobody said.
        robot: the robot's name.
        note: how the data was recorded, in the lab's own words.
    """

    licence: str = "unknown"
    robot: str = "mobile_base"
    note: str = ""


@dataclass
class Recorded:
    """What the episodes say about how they were recorded."""

    cameras: Counter[str] = field(default_factory=Counter)
    scenarios: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)


def survey(paths: Iterable[str | Path], earlier: Iterable[Mapping[str, Any]] = ()) -> Recorded:
    """What each episode says of its camera, its scenario and its end.

    Args:
        paths: the episodes that are added.
        earlier: rows of the table of episodes that were there already.
    """
    found = Recorded()
    for row in earlier:
        found.scenarios[str(row.get("scenario") or "(none)")] += 1
        found.outcomes[str(row.get("outcome") or "(not said)")] += 1
        if ATTRIBUTE in row:
            found.cameras[say_camera(rig_of(row))] += 1
    for path in paths:
        with open_episode(path) as episode:
            found.cameras[say_camera(rig_of(episode.attributes, episode.camera))] += 1
            found.scenarios[episode.scenario or "(none)"] += 1
            found.outcomes[episode.outcome or "(not said)"] += 1
            found.formats[episode.image_format] += 1
    return found


def say_camera(rig: Rig) -> str:
    """The camera and where it stands, in words."""
    place = str(rig) if rig != Rig(camera=rig.camera) else ""
    return ", ".join(filter(None, (rig.camera, place))) or "(not said)"


def write_card(
    path: Path,
    facts: CardFacts,
    info: Mapping[str, Any],
    tasks: Sequence[str],
    recorded: Recorded,
    *,
    psnr: float,
    without_odometry: int,
    left_out: Sequence[str],
) -> None:
    """Writes ``README.md``; a card that somebody else wrote is left as it is."""
    there = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    if there and _MARK not in there:
        return
    said = re.search(r'^license: "(.+)"$', there, re.MULTILINE)
    licence = said[1] if said and facts.licence == "unknown" else facts.licence
    camera = info["features"][layout.CAMERA]
    height, width, _ = camera["shape"]
    seconds = info["total_frames"] / info["fps"]
    front = "\n".join(
        [
            "---",
            f"license: {json.dumps(licence)}",
            "task_categories:",
            "- robotics",
            "tags:",
            "- LeRobot",
            "- mobile-base",
            "configs:",
            "- config_name: default",
            "  data_files: data/*/*.parquet",
            "---",
        ]
    )
    video = camera.get("info") or {}
    frames = "pictures in the tables: JPEG as recorded, or PNG, exact either way"
    if video:
        lost = "nothing lost" if math.isinf(psnr) else f"{psnr:.1f} dB PSNR against the recording"
        frames = (
            f"video, {video['video.codec']}, quality {video.get('video.crf')}, a key frame every "
            f"{video.get('video.g')} frames, {lost} in the frames compared"
        )
    rows = [
        ("Robot", facts.robot),
        ("Licence", licence),
        ("Episodes", str(info["total_episodes"])),
        ("Frames", f"{info['total_frames']} ({seconds / 60:.1f} minutes)"),
        ("Rate", f"{info['fps']} frames/s"),
        ("Frame size", f"{width} x {height}"),
        ("Frames as", frames),
        ("Actions", ", ".join(info["features"][layout.ACTION]["names"])),
        ("Instructions", str(info["total_tasks"])),
    ]
    table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in rows)
    parts = [
        front,
        _MARK,
        "# Episodes of a mobile base",
        f"| | |\n|---|---|\n{table}",
        "## How it was recorded",
        facts.note or _how(recorded),
        _counts("Cameras", recorded.cameras),
        _counts("Scenarios", recorded.scenarios),
        _counts("Outcomes", recorded.outcomes),
        "## Instructions\n\n" + "\n".join(f"- {_cell(task)}" for task in tasks[:50]),
        _notes(without_odometry, left_out),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    path.write_text(without_secrets(text), encoding="utf-8")


def write_folder_card(folder: Path, licence: str, note: str) -> None:
    """Writes ``README.md`` for a folder of our own episode files."""
    files = sorted(folder.glob("*.h5"))
    recorded = survey(files)
    parts = [
        f"---\nlicense: {json.dumps(licence)}\ntask_categories:\n- robotics\n---",
        _MARK,
        "# Episodes of a mobile base",
        f"{len(files)} episodes in HDF5, as mobile_vla_ros records them. Licence: {licence}.",
        "## How it was recorded",
        note or _how(recorded),
        _counts("Cameras", recorded.cameras),
        _counts("Scenarios", recorded.scenarios),
        _counts("Outcomes", recorded.outcomes),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    (folder / "README.md").write_text(without_secrets(text), encoding="utf-8")


def _how(recorded: Recorded) -> str:
    stored = " and ".join(sorted(recorded.formats))
    return (
        "A person drove the robot and told it what to do; each frame carries the command that was "
        f"in force when it was captured. Recorded frames were stored as {stored}. Velocities are "
        "in m/s and rad/s in the base's frame (x forward, y left, anticlockwise), unless the "
        "columns are LeKiwi's, whose angles are degrees. `observation.stamp` is each frame's true "
        "capture time in seconds from the episode's first frame; `timestamp` is the exact rate "
        "that the format wants."
    )


def _counts(title: str, counted: Counter[str]) -> str:
    if not counted:
        return ""
    rows = "\n".join(f"- {_cell(name)}: {count}" for name, count in sorted(counted.items()))
    return f"### {title} (episodes)\n\n{rows}"


def _notes(without_odometry: int, left_out: Sequence[str]) -> str:
    notes = []
    if without_odometry:
        notes.append(
            f"{without_odometry} rows have no odometry (NaN in `observation.state`); the "
            "statistics leave them out."
        )
    if left_out:
        notes.append(f"{len(left_out)} stretches were too short and are left out.")
    return "## Notes\n\n" + "\n".join(f"- {note}" for note in notes) if notes else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("<", "&lt;")
