"""Makes an episode of a rosbag2 recording (mcap or sqlite3), without ROS.

A row is chosen and labelled as the recorder does it: the frame nearest to each tick of the rate,
with the command that was in force when it was captured.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.bag import Bag, open_bag
from mobile_vla_ros.episodes.bag_pictures import BagRows
from mobile_vla_ros.episodes.bag_rig import rig_of_bag
from mobile_vla_ros.episodes.bag_signals import (
    COMPRESSED,
    IMAGE,
    ODOM,
    TRANSPORTS,
    TWIST,
    TWIST_STAMPED,
    BagTopics,
    read_signals,
)
from mobile_vla_ros.episodes.names import check_scenario, unique_path
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.files import shown_name
from mobile_vla_ros.rig import ATTRIBUTE, Rig, completed


@dataclass(frozen=True)
class BagImport:
    """What was brought in.

    Attributes:
        path: the episode.
        frames: rows written.
        messages: images in the bag.
        topics: what was read.
        note: on clocks, rows without a command, and everything that was replaced or left out;
            the episode's attribute ``import_notes`` says the same.
        left_out: frames that could not be read.
    """

    path: Path
    frames: int
    messages: int
    topics: BagTopics
    note: str
    left_out: int = 0


def import_bag(
    bag: str | Path,
    directory: str | Path,
    *,
    scenario: str,
    instruction: str,
    topics: BagTopics | None = None,
    rate: float = 10.0,
    image_format: str = "raw",
    action_axes: tuple[str, ...] = PLANAR_AXES,
    frame_period: float = schema.DEFAULT_FRAME_PERIOD,
    rig: Rig | None = None,
) -> BagImport:
    """Reads one bag into one episode.

    Args:
        bag: the bag's folder (mcap or sqlite3, packed or not), or one of its files.
        directory: where the episode goes, named by its first frame's time and the scenario.
        scenario, instruction: what the episode is recorded under.
        topics: which topics; see ``BagTopics``.
        rate: rows per second; 0 takes every frame.
        image_format: ``raw`` or ``jpeg``. Frames of a compressed topic stay as they are.
        action_axes: the velocities that a row carries.
        frame_period: spacing in seconds that a policy takes frames at.
        rig: what a person knows of the camera; it goes before what the bag says of it.

    Raises:
        EpisodeError: it is no bag, lacks a topic or has several, or holds images that cannot be
            read. No file is left then.
    """
    check_scenario(scenario)
    if not (math.isfinite(rate) and rate >= 0):
        raise EpisodeError(f"the rate must be 0 or a positive number of rows/s, not {rate}")
    path = Path(bag)
    with open_bag(path) as opened:
        chosen = _choose(opened, topics or BagTopics())
        notes: list[str] = []
        camera, commands, odometry = read_signals(opened, chosen, notes)
        rows = BagRows(opened, chosen, camera, notes)
        said = completed(rig or Rig(), rig_of_bag(opened, chosen.image, rows.frame, notes))
        writer = EpisodeWriter(
            unique_path(directory, _date(path, rows.first), scenario),
            scenario=scenario,
            instruction=instruction,
            action_axes=action_axes,
            frame_period=frame_period,
            image_format="jpeg" if rows.compressed else image_format,
            camera={"topic": chosen.image, "encoding": rows.encoding},
            odom=bool(chosen.odom),
            attributes={
                "imported_from": shown_name(path.name),
                "rows_per_second": rate,
                ATTRIBUTE: said.to_json(),
            },
            flush=False,
        )
        with contextlib.ExitStack() as undo:
            undo.callback(writer.discard)
            without = rows.write(writer, commands, odometry, action_axes, rate)
            if not writer.rows:
                raise EpisodeError(rows.nothing())
            if without == writer.rows:
                raise EpisodeError(
                    f"{path}: no command on {chosen.cmd_vel} was sent before the last picture on "
                    f"{chosen.image}; name another command topic by --cmd-vel-topic"
                )
            notes[:0] = ["stamps are true"] if not rows.substituted else []
            if without:
                notes.append(f"{without} frames before the first command count as standing")
            notes += rows.told() + opened.notes
            final = writer.finish(
                complete=not opened.cut, attributes={"import_notes": "; ".join(notes)}
            )
            undo.pop_all()
    return BagImport(final, writer.rows, rows.messages, chosen, "; ".join(notes), rows.left_out)


def _choose(bag: Bag, wanted: BagTopics) -> BagTopics:
    """The topics to read."""

    def find(name: str, what: str, option: str, types: tuple[str, ...], needed: bool) -> str:
        fitting = sorted(topic for topic, kinds in bag.kinds.items() if kinds & set(types))
        if name:
            if name in fitting:
                return name
            there = f"it has {', '.join(fitting)}" if fitting else "it has none"
            raise EpisodeError(f"{bag.path} has no {what} topic {name}; {there}")
        # The same pictures, packed, are no second camera.
        packed = [topic for topic in fitting for end in TRANSPORTS if topic.endswith(end)]
        first = [t for t in fitting if t not in packed or t.rpartition("/")[0] not in fitting]
        if len(first) > 1:
            raise EpisodeError(
                f"{bag.path} has several {what} topics ({', '.join(fitting)}); name one by "
                f"--{option}"
            )
        if needed and not first:
            read = f"; {bag.notes[-1]}" if bag.notes else ""
            raise EpisodeError(f"{bag.path} has no {what} topic{read}")
        return first[0] if first else ""

    return BagTopics(
        find(wanted.image, "image", "image-topic", (IMAGE, COMPRESSED), True),
        find(wanted.cmd_vel, "command", "cmd-vel-topic", (TWIST, TWIST_STAMPED), True),
        find(wanted.odom, "odometry", "odom-topic", (ODOM,), False),
    )


def _date(path: Path, first: float) -> datetime:
    try:
        return datetime.fromtimestamp(first)
    except (ValueError, OverflowError, OSError):
        raise EpisodeError(
            f"{path}: its first picture is dated {first:g} s, which is no date"
        ) from None
