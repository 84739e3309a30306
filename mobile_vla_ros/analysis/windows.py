"""Which windows of which episodes are looked at: chosen once, so that two models see the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mobile_vla_ros.analysis.recordings import Progress, Recordings, side_of_name, silent
from mobile_vla_ros.planar import integrate
from mobile_vla_ros.sampling import full_windows


@dataclass(frozen=True)
class Window:
    """One window of one episode, with what is known about its frames.

    Attributes:
        path: the episode file.
        episode: its name; windows of one file share it.
        sha256: of the file.
        rows: rows of the frames, oldest first.
        scenario: the episode's scenario.
        side: 'left', 'right' or None.
        instruction: the episode's own.
        progress: per frame, time since the start over the episode's length, 0 to 1.
        distance: per frame, metres travelled since the start, from the odometry where there is
            one and else from the recorded commands.
        velocities: per frame, the recorded command, m/s and rad/s.
        axes: names of the columns of ``velocities``.
    """

    path: str
    episode: str
    sha256: str
    rows: tuple[int, ...]
    scenario: str
    side: str | None
    instruction: str
    progress: tuple[float, ...]
    distance: tuple[float, ...]
    velocities: tuple[tuple[float, ...], ...]
    axes: tuple[str, ...]

    def as_json(self) -> dict:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict) -> Window:
        """The inverse of ``as_json``."""
        kept = dict(values)
        for name in ("rows", "progress", "distance", "axes"):
            kept[name] = tuple(kept[name])
        kept["velocities"] = tuple(tuple(row) for row in kept["velocities"])
        return cls(**kept)


def choose_windows(
    recordings: Recordings,
    frame_period: float,
    window_size: int,
    per_episode: int = 1,
    progress: Progress = silent,
) -> list[Window]:
    """Chooses windows evenly over each episode; episodes too short for one are skipped.

    Args:
        recordings: the episodes; those that cannot be used are noted there.
        frame_period: spacing of the frames, seconds.
        window_size: frames per window.
        per_episode: windows per episode; 1 takes the first, 0 takes all there are.
        progress: shows how far it is.

    Raises:
        AnalysisError: no episode has a window.
    """
    chosen: list[Window] = []
    for episode in recordings.walk(progress, "choosing windows"):
        stamps = np.asarray(episode.image_stamps, dtype=np.float64)
        windows = full_windows(stamps, frame_period, window_size)
        if not windows:
            recordings.skip(
                episode.path,
                f"has no window of {window_size} frames {frame_period:g} s apart (it has "
                f"{len(stamps)} frames)",
            )
            continue
        wanted = len(windows) if per_episode <= 0 else min(per_episode, len(windows))
        places = np.unique(np.linspace(0, len(windows) - 1, wanted).astype(int))
        axes = tuple(episode.action_axes)
        velocities = np.asarray(episode.velocities(axes), dtype=np.float64)
        distance = _distance(episode, stamps, velocities, axes)
        span = max(float(stamps[-1] - stamps[0]), 1e-9)
        fingerprint = episode.sha256()
        for place in places:
            rows = windows[place]
            chosen.append(
                Window(
                    path=str(Path(episode.path).resolve()),
                    episode=episode.path.name,
                    sha256=fingerprint,
                    rows=tuple(int(row) for row in rows),
                    scenario=episode.scenario or "",
                    side=episode.side or side_of_name(episode.scenario or episode.path.name),
                    instruction=episode.instruction or "",
                    progress=tuple(float((stamps[row] - stamps[0]) / span) for row in rows),
                    distance=tuple(float(distance[row]) for row in rows),
                    velocities=tuple(tuple(map(float, velocities[row])) for row in rows),
                    axes=axes,
                )
            )
    recordings.require(len(chosen))
    return chosen


def episode_labels(windows: Sequence[Window]) -> np.ndarray:
    """int64 [windows]: windows of the same file have the same number."""
    _, labels = np.unique([window.sha256 for window in windows], return_inverse=True)
    return labels


def _distance(
    episode, stamps: np.ndarray, velocities: np.ndarray, axes: tuple[str, ...]
) -> np.ndarray:
    odom = episode.odom
    if odom is not None and np.isfinite(odom[:, :2]).all():
        path = np.asarray(odom[:, :2], dtype=np.float64)
    else:
        # A command holds until the next row.
        path = integrate(velocities[:-1], axes, np.diff(stamps))[:, :2]
    steps = np.linalg.norm(np.diff(path, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])
