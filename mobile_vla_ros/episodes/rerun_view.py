"""Recordings in Rerun: frames, commands, paths and words on one timeline."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes.incident import Incident, is_incident, read_incident
from mobile_vla_ros.episodes.lerobot.layout import require
from mobile_vla_ros.episodes.reader import Episode, open_episode
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.sheet import driven_path
from mobile_vla_ros.files import shown_name, whole_file
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.planar import integrate, placed_at

TIMELINE = "time"
_DRIVEN, _PLANNED, _WISHED = [78, 152, 226], [245, 119, 77], [92, 214, 169]
_JPEG_QUALITY = 85  # of frames recorded raw; a viewer is no archive


@dataclass(frozen=True)
class Wish:
    """What a policy would have done at one frame.

    Attributes:
        stamp: the frame's capture time, seconds.
        velocities: float32 [steps, axes], m/s and rad/s.
        axes: names of its columns.
        period: seconds per step.
    """

    stamp: float
    velocities: np.ndarray
    axes: tuple[str, ...]
    period: float


def view(
    paths: Sequence[str | Path],
    save: str | Path | None = None,
    wishes: dict[Path, Sequence[Wish]] | None = None,
) -> Path | None:
    """Shows episodes and incident capsules, or writes them as one .rrd file.

    Args:
        paths: the recordings; each has its own branch, and its time begins at 0.
        save: the file to write, whole or not at all; None opens the viewer.
        wishes: what a policy would have done, by recording.

    Returns:
        The file, if one was asked for.

    Raises:
        EpisodeError: rerun is missing, a recording cannot be read, or the file is taken.
    """
    require("rerun", "episodes view", "view")
    import rerun as rr

    target = Path(save) if save is not None else None
    if target is not None:
        if target.suffix != ".rrd":
            raise EpisodeError(f"the name {target.name!r} must end in .rrd")
        if target.exists():
            raise EpisodeError(f"{target} exists already and is not overwritten")
        if not target.absolute().parent.is_dir():
            raise EpisodeError(f"the folder {target.parent} does not exist")
    stream = rr.RecordingStream("mobile_vla episodes")
    try:
        with contextlib.ExitStack() as ending:
            if target is None:
                stream.spawn()
            else:
                stream.save(str(ending.enter_context(whole_file(target, replace=False))))
            names = [shown_name(Path(path).stem) for path in paths]
            stream.send_blueprint(_blueprint(names))
            for path, name in zip(map(Path, paths), names, strict=True):
                _log(stream, name, path, (wishes or {}).get(path, ()))
            stream.flush()
            stream.disconnect()
    except FileExistsError:
        raise EpisodeError(f"{target} exists already and is not overwritten") from None
    return target


def _log(stream: Any, name: str, path: Path, wishes: Sequence[Wish]) -> None:
    if is_incident(path):
        incident = read_incident(path)
        _log_incident(stream, name, incident, wishes)
        return
    with open_episode(path) as episode:
        _log_episode(stream, name, episode, wishes)


def _log_episode(stream: Any, name: str, episode: Episode, wishes: Sequence[Wish]) -> None:
    start = float(episode.image_stamps[0])
    _log_words(stream, name, episode.instruction, f"{episode.scenario} {episode.outcome}")
    route, source = driven_path(episode)
    _log_route(stream, name, route[:, :2], source)
    shown = iter(wishes)
    wish = next(shown, None)
    for row in range(len(episode)):
        stamp = float(episode.image_stamps[row])
        stream.set_time(TIMELINE, duration=stamp - start)
        data = episode.jpeg(row) or encode_jpeg(episode.image(row), _JPEG_QUALITY)
        _log_frame(stream, name, data)
        velocities = dict(zip(episode.action_axes, episode.actions[row], strict=True))
        _log_speeds(stream, f"{name}/commands", velocities)
        if episode.events[row] != "start_action":
            _log_event(stream, name, episode.events[row])
        place = route[min(row, len(route) - 1)]
        while wish is not None and wish.stamp <= stamp + 1e-6:
            _log_plan(stream, f"{name}/floor/policy", wish, place, _WISHED)
            first = dict(zip(wish.axes, wish.velocities[0], strict=True))
            _log_speeds(stream, f"{name}/policy", first)
            wish = next(shown, None)


def _log_incident(stream: Any, name: str, incident: Incident, wishes: Sequence[Wish]) -> None:
    times = [*incident.frame_stamps, *incident.chunk_stamps, *incident.commands[:, 0]]
    start = min([float(time) for time in times] + [incident.time])
    told = str(incident.attributes.get("instruction") or "")
    _log_words(stream, name, told, incident.reason)
    odometry = incident.odometry
    _log_route(stream, name, odometry[:, 1:3], "odometry")

    def place(time: float) -> np.ndarray:
        if not len(odometry):
            return np.zeros(3)
        return odometry[max(0, int(np.searchsorted(odometry[:, 0], time, "right")) - 1), 1:4]

    for index, stamp in enumerate(incident.frame_stamps.tolist()):
        stream.set_time(TIMELINE, duration=stamp - start)
        _log_frame(stream, name, incident.jpegs[index])
    plans = [
        Wish(float(stamp), chunk, incident.axes, incident.action_period)
        for stamp, chunk in zip(incident.chunk_stamps, incident.chunks, strict=True)
    ]
    branches = ((plans, "planned", _PLANNED), (wishes, "policy", _WISHED))
    for shown, branch, colour in branches:
        for wish in shown:
            stream.set_time(TIMELINE, duration=wish.stamp - start)
            _log_plan(stream, f"{name}/floor/{branch}", wish, place(wish.stamp), colour)
            first = dict(zip(wish.axes, wish.velocities[0], strict=True))
            _log_speeds(stream, f"{name}/{branch}", first)
    for time, *speeds in incident.commands.tolist():
        stream.set_time(TIMELINE, duration=time - start)
        _log_speeds(stream, f"{name}/commands", dict(zip(PLANAR_AXES, speeds, strict=True)))
    for time, words in incident.events:
        stream.set_time(TIMELINE, duration=time - start)
        _log_event(stream, name, words)


def _log_words(stream: Any, name: str, instruction: str, more: str) -> None:
    import rerun as rr

    text = f"# {instruction or '(no instruction)'}\n\n{more}"
    document = rr.TextDocument(text, media_type="text/markdown")
    stream.log(f"{name}/instruction", document, static=True)


def _log_frame(stream: Any, name: str, data: bytes) -> None:
    import rerun as rr

    kind = "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"
    stream.log(f"{name}/camera", rr.EncodedImage(contents=data, media_type=kind))


def _log_speeds(stream: Any, branch: str, velocities: dict[str, Any]) -> None:
    import rerun as rr

    for axis, value in velocities.items():
        if np.isfinite(value):
            stream.log(f"{branch}/{axis}", rr.Scalars(float(value)))


def _log_event(stream: Any, name: str, words: str) -> None:
    import rerun as rr

    stream.log(f"{name}/events", rr.TextLog(words))


def _log_route(stream: Any, name: str, points: np.ndarray, source: str) -> None:
    import rerun as rr

    kept = points[np.isfinite(points).all(axis=1)]
    if len(kept) > 1:
        line = rr.LineStrips3D([_lifted(kept)], colors=[_DRIVEN], labels=[f"driven ({source})"])
        stream.log(f"{name}/floor/driven", line, static=True)


def _log_plan(
    stream: Any, branch: str, wish: Wish, place: np.ndarray, colour: Sequence[int]
) -> None:
    """The path that a chunk leads along, from where the base was."""
    import rerun as rr

    if not np.isfinite(place).all():
        return
    ahead = integrate(wish.velocities, wish.axes, wish.period)[:, :2]
    points = _lifted(placed_at(place, ahead))
    stream.log(branch, rr.LineStrips3D([points], colors=[colour]))


def _lifted(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.zeros(len(points))])


def _blueprint(names: Iterable[str]) -> Any:
    import rerun.blueprint as rrb

    tabs = [
        rrb.Horizontal(
            rrb.Vertical(
                rrb.Spatial2DView(origin=f"{name}/camera", name="Camera"),
                rrb.TimeSeriesView(
                    origin=name,
                    contents=[
                        f"+ {name}/{branch}/**" for branch in ("commands", "planned", "policy")
                    ],
                    name="Velocities, m/s and rad/s",
                ),
            ),
            rrb.Vertical(
                rrb.TextDocumentView(origin=f"{name}/instruction", name="Instruction"),
                rrb.Spatial3DView(origin=f"{name}/floor", name="From above"),
                rrb.TextLogView(origin=f"{name}/events", name="What happened"),
                row_shares=[1, 3, 2],
            ),
            name=name,
        )
        for name in names
    ]
    return rrb.Blueprint(tabs[0] if len(tabs) == 1 else rrb.Tabs(*tabs))
