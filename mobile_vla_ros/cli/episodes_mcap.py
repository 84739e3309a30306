"""``mobile_vla episodes export-mcap``: recordings for ROS 2, Foxglove and PlotJuggler."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.episode_paths import usable
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import bar
from mobile_vla_ros.errors import InputError


def export_mcap(
    files: list[Path] = typer.Argument(
        ..., help="Episodes, incident capsules, trial logs (.jsonl), or folders of episodes."
    ),
    out: Path = typer.Option(..., "--out", "-o", help="The new .mcap file."),
    trial: list[str] = typer.Option([], help="Only these trials of a log; may be given again."),
    quality: int = typer.Option(
        0, help="JPEG quality of frames recorded raw; 0 makes them PNG, exact.", min=0, max=100
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Writes recordings as one MCAP file with ROS 2 messages; needs no ROS.

    `ros2 bag play OUT.mcap`, Foxglove and PlotJuggler open it. With several recordings each one's
    topics stand under its name.

    Example: mobile_vla episodes export-mcap incident_20260801_101500.h5 --out incident.mcap
    """
    from mobile_vla_ros.episodes.export_mcap import export_mcap as export

    result = export(_sources(files, trial), out, quality=quality, progress=bar)
    count = sum(result.topics.values())
    print(f"{out}: {count} messages in {result.end - result.start:.1f} s")
    for topic, number in sorted(result.topics.items()):
        print(f"  {topic}: {number}")
    write_json(json_file, result)


def _sources(files: Iterable[Path], trials: list[str]) -> list[Any]:
    from mobile_vla_ros.trials.log import read_trials
    from mobile_vla_ros.trials.record import record_to_json

    found: list[Any] = []
    episodes: list[Path] = []
    known: list[str] = []
    for path in files:
        if path.suffix != ".jsonl":
            episodes.append(path)
            continue
        records, _ = read_trials(path)
        known += [record.trial for record in records]
        found += [
            record_to_json(record) for record in records if not trials or record.trial in trials
        ]
    if episodes:
        found = [*usable(episodes, bar), *found]
    missing = [name for name in trials if name not in known]
    if missing:
        raise InputError(f"there is no trial {missing[0]!r}; there are {', '.join(known[:10])}")
    if not found:
        raise InputError("there is no recording in it")
    return found
