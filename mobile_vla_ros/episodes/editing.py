"""Changes to finished episodes: always a new file first, then one rename."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.identity import origins_of
from mobile_vla_ros.episodes.names import check_scenario, free_path, scenario_of
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.trimmed import TRIMMED_FROM
from mobile_vla_ros.episodes.writer import EpisodeWriter
from mobile_vla_ros.files import rename_new, sha256_of, sync, whole_file
from mobile_vla_ros.rig import differences, rig_of

# What the writer sets by itself; the rest of an episode's attributes is carried over.
_WRITTEN = {
    "schema_version",
    "episode_name",
    "num_frames",
    "total_duration",
    "action_axes",
    "frame_period",
    "image_format",
    "outcome",
    "complete",
    "frames_received",
    "frames_written",
    "frames_dropped",
    "frames_lost",
    "scenario",
    "instruction",
    "camera",
}


def relabel(
    path: str | Path,
    *,
    instruction: str | None = None,
    scenario: str | None = None,
    outcome: str | None = None,
) -> Path:
    """Changes what an episode says about itself; the frames stay as they are.

    A new scenario also changes the file's name, where the old one stands in it. Old files keep
    their layout and get the attributes beside it.

    Returns:
        The episode's path, new if the scenario changed.

    Raises:
        EpisodeError: it is no episode, or nothing was given to change.
    """
    file = Path(path)
    if instruction is None and scenario is None and outcome is None:
        raise EpisodeError("give what is to change: instruction, scenario or outcome")
    if file.name.endswith(schema.PART_SUFFIX):
        raise EpisodeError(f"{file} is not finished; `mobile_vla episodes repair` does that")
    open_episode(file).close()  # says what is wrong with a file that is none
    if file.is_symlink():
        return _relabel_link(file, instruction, scenario, outcome)
    target = file
    if scenario is not None and scenario_of(file.name) not in ("", check_scenario(scenario)):
        name = file.name.replace(f"_{scenario_of(file.name)}", f"_{scenario}", 1)
        target = free_path(file.with_name(name))
    try:
        with whole_file(target, replace=target == file, prefix=".relabel_") as temporary:
            named = target.stem if target != file else None
            _copy_with_words(file, temporary, instruction, scenario, outcome, named)
        if target != file:
            file.unlink()
            sync(file.parent)
    except OSError as error:
        raise EpisodeError(f"cannot relabel {file}: {error.strerror or error}") from error
    return target


def _relabel_link(
    link: Path, instruction: str | None, scenario: str | None, outcome: str | None
) -> Path:
    """Changes the file that a link leads to, under its own name, and renames the link only."""
    target = link
    old = scenario_of(link.name)
    if scenario is not None and old not in ("", check_scenario(scenario)):
        target = free_path(link.with_name(link.name.replace(f"_{old}", f"_{scenario}", 1)))
    real = link.resolve()
    try:
        with whole_file(real, prefix=".relabel_") as temporary:
            _copy_with_words(real, temporary, instruction, scenario, outcome)
        if target != link:
            rename_new(link, target)
            sync(link.parent)
    except OSError as error:
        raise EpisodeError(f"cannot relabel {link}: {error.strerror or error}") from error
    return target


def _copy_with_words(
    file: Path,
    copy: Path,
    instruction: str | None,
    scenario: str | None,
    outcome: str | None,
    name: str | None = None,
) -> None:
    shutil.copyfile(file, copy)
    shutil.copymode(file, copy)
    with h5py.File(copy, "r+", libver="earliest") as content:
        if instruction is not None:
            _set_instruction(content, instruction)
        if scenario is not None:
            content.attrs["scenario"] = scenario
        if outcome is not None:
            content.attrs["outcome"] = schema.storable(outcome)
        if name is not None:
            content.attrs["episode_name"] = schema.storable(name)


def trim(path: str | Path, out: str | Path, *, first: int = 0, last: int = 0) -> Path:
    """Writes a copy without the first and last rows.

    Args:
        path: the episode.
        out: the new file, which must not exist.
        first: rows to leave out at the start.
        last: rows to leave out at the end.

    Raises:
        EpisodeError: nothing would be left, or ``out`` is taken.
    """
    with open_episode(path) as episode:
        if first < 0 or last < 0 or first + last >= len(episode):
            raise EpisodeError(
                f"{episode.path.name} has {len(episode)} frames; {first} at the start and "
                f"{last} at the end cannot be cut off"
            )
        rows = range(first, len(episode) - last)
        attributes = {
            name: value[rows.start : rows.stop]
            if isinstance(value, np.ndarray) and value.shape[:1] == (len(episode),)
            else value
            for name, value in _carried(episode).items()
        }
        note = {TRIMMED_FROM: episode.path.name, "trimmed_first": first, "trimmed_last": last}
        whole = {**attributes, **note, **origins_of([episode])}
        with _writer_like(episode, out, whole) as writer:
            _copy_rows(writer, episode, rows)
            return writer.finish(outcome=episode.outcome, complete=episode.complete)


def join(paths: Sequence[str | Path], out: str | Path) -> Path:
    """Joins parts of one recording to one episode, in the order of their stamps.

    Raises:
        EpisodeError: the parts differ (see ``check_alike``), overlap in time, or ``out`` exists.
    """
    episodes = [open_episode(path) for path in paths]
    try:
        check_alike(episodes)
        if not all(episode.stamped for episode in episodes):
            raise EpisodeError("episodes without stamps cannot be joined in time")
        episodes.sort(key=lambda episode: float(episode.image_stamps[0]))
        for before, after in itertools.pairwise(episodes):
            if after.image_stamps[0] <= before.image_stamps[-1]:
                raise EpisodeError(
                    f"{before.path.name} and {after.path.name} overlap in time; they are not "
                    "parts of one recording"
                )
            for what in ("instruction", "scenario", "image_format"):
                if getattr(before, what) != getattr(after, what):
                    raise EpisodeError(
                        f"{before.path.name} and {after.path.name} have different {what}: "
                        f"{getattr(before, what)!r} and {getattr(after, what)!r}"
                    )
        newest = episodes[-1]
        note = {"joined_from": ", ".join(episode.path.name for episode in episodes)}
        whole = {**_carried(newest, rows=False), **note, **origins_of(episodes)}
        with _writer_like(newest, out, whole) as writer:
            for episode in episodes:
                _copy_rows(writer, episode, range(len(episode)))
            return writer.finish(outcome=newest.outcome, complete=newest.complete)
    finally:
        for episode in episodes:
            episode.close()


def gather(paths: Sequence[str | Path], folder: str | Path) -> tuple[list[Path], list[Path]]:
    """Copies episodes from several folders into one collection; nothing is overwritten.

    A file that is there already, byte for byte, is not copied again; another one of the same name
    gets a counter.

    Returns:
        The copies made, and the sources that were there already.

    Raises:
        EpisodeError: the episodes, with those that are there, differ (see ``check_alike``).
    """
    target = Path(folder)
    there = sorted(target.glob("*.h5")) if target.is_dir() else []
    sources = list(map(Path, paths))
    first, *others = [*there, *sources]
    with open_episode(first) as reference:
        for path in others:
            with open_episode(path) as episode:
                check_alike([reference, episode])
    target.mkdir(parents=True, exist_ok=True)
    known = {sha256_of(path) for path in there}
    copies: list[Path] = []
    skipped: list[Path] = []
    for path in sources:
        digest = sha256_of(path)
        if digest in known:
            skipped.append(path)
            continue
        known.add(digest)
        copy = free_path(target / path.name)
        with whole_file(copy, replace=False, prefix=".gather_") as temporary:
            shutil.copyfile(path, temporary)
            shutil.copymode(path, temporary)
        copies.append(copy)
    return copies, skipped


def check_alike(episodes: Sequence[Episode]) -> None:
    """Demands that episodes may stand in one data set.

    Raises:
        EpisodeError: axes, spacing, frame size, camera or rig differ; says which, in which files.
    """
    for other in episodes[1:]:
        first = episodes[0]
        facts: list[tuple[str, Any, Any]] = [
            ("action axes", first.action_axes, other.action_axes),
            ("frame period", first.frame_period, other.frame_period),
            ("frame size", first.image_shape[:2], other.image_shape[:2]),
            ("camera", _camera(first.camera), _camera(other.camera)),
        ]
        for what, one, another in facts:
            if one != another and one and another:
                raise EpisodeError(
                    f"{first.path.name} and {other.path.name} differ in {what}: {_say(one)} and "
                    f"{_say(another)}"
                )
        apart = differences(
            rig_of(first.attributes, first.camera), rig_of(other.attributes, other.camera)
        )
        if apart:
            raise EpisodeError(
                f"{first.path.name} and {other.path.name} differ in their rig: {'; '.join(apart)}"
            )


def _camera(camera: Mapping[str, Any]) -> dict[str, Any]:
    """What tells cameras apart; a frame rate or an exposure may differ between days."""
    return {
        key: camera[key] for key in ("topic", "id", "calibration", "encoding") if camera.get(key)
    }


def _say(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {item}" for key, item in value.items())
    if isinstance(value, tuple):
        return " x ".join(map(str, value)) if isinstance(value[0], int) else ", ".join(value)
    return str(value)


def _carried(episode: Episode, rows: bool = True) -> dict[str, Any]:
    """Attributes to carry over; with ``rows`` False not those with a value per row."""
    return {
        name: value
        for name, value in episode.attributes.items()
        if name not in _WRITTEN
        and (rows or not (isinstance(value, np.ndarray) and len(value) == len(episode)))
    }


def _writer_like(
    episode: Episode, out: str | Path, attributes: Mapping[str, Any]
) -> EpisodeWriter:
    return EpisodeWriter(
        out,
        scenario=episode.scenario,
        instruction=episode.instruction,
        action_axes=episode.action_axes,
        frame_period=episode.frame_period,
        image_format=episode.image_format,
        camera=episode.camera,
        odom=episode.odom is not None,
        takeovers=episode.taken_over is not None,
        attributes=attributes,
        flush=False,
    )


def _copy_rows(writer: EpisodeWriter, episode: Episode, rows: range) -> None:
    for row in rows:
        jpeg, event = episode.jpeg(row), episode.events[row]
        writer.append(
            jpeg=jpeg,
            image=episode.image(row) if jpeg is None else None,
            action=episode.actions[row],
            event=event if event in schema.EVENT_TYPES else "start_action",
            image_stamp=episode.image_stamps[row],
            received_stamp=episode.received_stamps[row],
            action_stamp=episode.action_stamps[row],
            odom=None if episode.odom is None else episode.odom[row],
            taken_over=episode.taken_over is not None and bool(episode.taken_over[row]),
        )


def _set_instruction(file: h5py.File, text: str) -> None:
    field = schema.cut_utf8(text, schema.INSTRUCTION_BYTES)
    if schema.INSTRUCTION in file:
        del file[schema.INSTRUCTION]
    file[schema.INSTRUCTION] = np.array([field], schema.INSTRUCTION_TYPE)
    file.attrs["instruction"] = schema.storable(text)
