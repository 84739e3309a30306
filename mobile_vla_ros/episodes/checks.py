"""Looks at an episode the way a careful person would before training on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.check_limits import CheckLimits, frames_are, times
from mobile_vla_ros.episodes.check_pictures import looks, pictures
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.episodes.recovery import being_recorded
from mobile_vla_ros.episodes.schema import PART_SUFFIX, EpisodeError


@dataclass(frozen=True)
class EpisodeReport:
    """What a check found.

    Attributes:
        path: the file.
        ok: no problem was found.
        complete: the recording was ended on purpose (old files say nothing and count as that).
        frames: rows in it; 0 when it cannot be opened.
        problems: one sentence each.
    """

    path: Path
    ok: bool
    complete: bool
    frames: int
    problems: tuple[str, ...]


def check_episode(path: str | Path, limits: CheckLimits | None = None) -> EpisodeReport:
    """Checks one file.

    Nothing is raised for a bad file: an unreadable one is a report with one problem. Equal frames
    only count where the command in force should have moved the picture.
    """
    limits = limits or CheckLimits()
    file = Path(path)
    if file.name.endswith(PART_SUFFIX):
        return _interrupted(file)
    try:
        with open_episode(file) as episode:
            problems = [said for check in CHECKS for said in check(episode, limits)]
            problems += episode.problems  # last: looking at an attribute is what finds them
            return EpisodeReport(
                file, not problems, episode.complete, len(episode), tuple(problems)
            )
    except EpisodeError as error:
        return EpisodeReport(file, False, False, 0, (str(error),))


def why_unusable(path: str | Path, most: int | None = None) -> str | None:
    """Why nothing should be made of the file: a sentence that names it, or None.

    Looser than a check: what a careful person only wants to know of (gaps, lost frames, limits)
    leaves an episode usable.

    Args:
        path: the file.
        most: how many frames are looked at, evenly over the episode (of raw ones, which cannot
            fail to decode, a tenth of that); None: all.
    """
    file = Path(path)
    try:
        with open_episode(file) as episode:
            episode.require_order()
            rows = range(len(episode))
            if most is not None:
                count = most if episode.image_format == "jpeg" else max(1, most // 10)
                rows = rows[:: max(1, -(-len(rows) // count))]
            sizes = set()
            for row, look in zip(rows, looks(episode, rows), strict=True):
                if look is None:
                    return f"{file}: the frame of row {row} cannot be decoded"
                if look[3]:
                    return f"{file}: bytes of the frame of row {row} are missing"
                sizes.add(look[2])
            if len(sizes) > 1:
                return f"{file}: the frames change size"
    except EpisodeError as error:
        return str(error)
    return None


def _interrupted(file: Path) -> EpisodeReport:
    said = "is being recorded now"
    if not being_recorded(file):
        said = "is an interrupted recording; `mobile_vla episodes repair` finishes it"
    try:
        with open_episode(file) as episode:
            rows = len(episode)
    except EpisodeError:
        rows = 0
    return EpisodeReport(file, False, False, rows, (f"{file} {said}",))


def _counts(episode: Episode, _limits: CheckLimits) -> Iterator[str]:
    said = episode.count("num_frames")
    if said is not None and said != len(episode):
        yield f"num_frames says {said}, but there are {len(episode)} frames"
    numbers = {
        name: episode.count(f"frames_{name}") or 0
        for name in ("received", "written", "dropped", "lost")
    }
    if "frames_written" in episode.attributes:
        if numbers["written"] != len(episode):
            yield f"frames_written says {numbers['written']}, but there are {len(episode)} frames"
        if numbers["received"] != numbers["written"] + numbers["dropped"]:
            yield (
                f"{numbers['received']} frames were received, but {numbers['written']} "
                f"written and {numbers['dropped']} dropped"
            )
    if numbers["dropped"]:
        yield (
            f"{frames_are(numbers['dropped'])} dropped: the disk was slow, their stamps"
            " were wrong, or they could not be read"
        )
    if numbers["lost"]:
        yield f"{frames_are(numbers['lost'])} lost between the camera and the recorder"


def _stamps(episode: Episode, limits: CheckLimits) -> Iterator[str]:
    if not episode.stamped or len(episode) < 2:
        return
    stamps = episode.image_stamps
    if not np.isfinite(stamps).all():
        yield "the image stamps are not all numbers"
        return
    steps = np.diff(stamps)
    backward = np.flatnonzero(steps <= 0)
    if len(backward):
        yield (
            f"the image stamps do not rise: {times(len(backward))}, first after row {backward[0]}"
        )
        return
    if str(episode.attributes.get("recording_mode")) == "key_press":
        return  # a row per press: the person decides how far apart they are
    median = float(np.median(steps))
    gaps = np.flatnonzero(steps > limits.gap * median)
    if len(gaps):
        widest = gaps[np.argmax(steps[gaps])]
        yield (
            f"{len(gaps)} gap{'s' if len(gaps) > 1 else ''} in the stamps, the widest "
            f"{steps[widest]:.2f} s after row {widest} (rows are {median:.3f} s apart)"
        )
    period = episode.frame_period
    # Up to half a period apart, some row is always near enough to the time that is asked for.
    if median > 0.55 * period and abs(median - period) > 0.1 * period:
        yield (
            f"rows are {median:.3f} s apart, which does not fit the frame period of {period:.3f} s"
        )


def _commands(episode: Episode, limits: CheckLimits) -> Iterator[str]:
    actions = episode.actions
    bad = int((~np.isfinite(actions)).any(axis=1).sum())
    if bad:
        yield f"{bad} of {len(episode)} commands are not numbers"
        return
    for column, axis in enumerate(episode.action_axes):
        limit, unit = (
            (limits.speed, "m/s") if axis.startswith("linear") else (limits.turn_rate, "rad/s")
        )
        over = np.abs(actions[:, column]) > limit * 1.0001
        if over.any():
            yield (
                f"{int(over.sum())} of {len(episode)} commands on {axis} are beyond {limit:g} "
                f"{unit} (up to {np.abs(actions[:, column]).max():.3g}): they would be saturated"
            )
    unknown = sorted(set(episode.events) - set(schema.EVENT_TYPES))
    if unknown:
        yield f"unknown event {unknown[0]!r}"


def _odometry(episode: Episode, limits: CheckLimits) -> Iterator[str]:
    """Rows before the first odometry came are empty in every recording: no fault."""
    if episode.odom is None:
        return
    finite = np.isfinite(episode.odom)
    whole = finite.all(axis=1)
    if not whole.any():
        yield "there is odometry, but not one row of it is of numbers"
        return
    first = int(np.argmax(whole))
    bad = int((~whole[first:]).sum()) + int(finite[:first].any(axis=1).sum())
    if bad:
        yield f"{bad} of {len(episode)} rows of odometry are not numbers"
    if not episode.stamped or not np.isfinite(episode.image_stamps).all():
        return
    stamps = episode.odom[:, schema.ODOM_COLUMNS.index("stamp")]
    if not stamps[whole].any():
        return  # its clock was never set: nothing to compare
    age = np.where(whole, episode.image_stamps - stamps, 0.0)
    old = np.flatnonzero(np.abs(age) > limits.odometry_age)
    if len(old):
        worst = old[np.argmax(np.abs(age[old]))]
        what = "older" if age[worst] > 0 else "newer"
        yield (
            f"odometry is out of date in {len(old)} of {len(episode)} rows, first row {old[0]}: "
            f"up to {abs(age[worst]):.1f} s {what} than its frame"
        )


def _words(episode: Episode, _limits: CheckLimits) -> Iterator[str]:
    if not episode.instruction:
        yield "no instruction, and none follows from the scenario; `relabel --instruction` adds it"


CHECKS: tuple[Callable[[Episode, CheckLimits], Iterator[str]], ...] = (
    _counts,
    _stamps,
    _commands,
    _odometry,
    _words,
    pictures,
)
"""Every check: an open episode and the limits to one sentence per problem; in order of telling."""
