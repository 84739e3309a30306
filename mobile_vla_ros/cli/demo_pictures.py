"""The picture and the film of a demo: one drive, with an episode for each instruction."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any


def _title(trace: dict[str, Any]) -> str:
    """What was asked for, one after the other, and how it ended."""
    return f"{', then '.join(text for _, text in trace['told'])}: {trace['reason']}"


def _drive(trace: dict[str, Any], scenario: str, seed: int) -> dict[str, Any]:
    """What picture and film show alike."""
    import numpy as np

    return {
        "scenario": scenario,
        "seed": seed,
        "title": _title(trace),
        "odometry": np.array(trace["odometry"]).reshape(-1, 6),
        "commands": np.array(trace["commands"]).reshape(-1, 4),
    }


def _frames(trace: dict[str, Any], episodes: Sequence[Path]) -> list[tuple[float, Path, int]]:
    """Every recorded frame: s since the first instruction, its episode, its row there."""
    from mobile_vla_ros.episodes import open_episode

    found = []
    for (began, _), episode in zip(trace["told"], episodes, strict=True):
        with open_episode(episode) as recorded:
            stamps = [float(stamp) for stamp in recorded.image_stamps]
        start = max(0.0, float(began)) - stamps[0]
        found += [(start + stamp, episode, row) for row, stamp in enumerate(stamps)]
    return found


def _pictures(frames: Iterable[tuple[float, Path, int]]) -> Iterator[tuple[float, Any]]:
    """The pictures of frames that lie in order, with their times."""
    from mobile_vla_ros.episodes import open_episode

    for path, rows in itertools.groupby(frames, key=lambda frame: frame[1]):
        with open_episode(path) as recorded:
            for when, _, row in rows:
                yield when, recorded.image(row)


def film(
    trace: dict[str, Any], scenario: str, seed: int, episodes: Sequence[Path], target: Path
) -> None:
    """Writes a film of what the robot saw, and of its path from above; arguments as for `draw`."""
    from mobile_vla_ros.sim.drivefilm import write_film

    write_film(
        target,
        **_drive(trace, scenario, seed),
        frames=_pictures(_frames(trace, episodes)),
    )


def draw(
    trace: dict[str, Any], scenario: str, seed: int, episodes: Sequence[Path], picture: Path
) -> None:
    """Draws the drive as one picture.

    Args:
        trace: what the director heard.
        scenario, seed: of the field.
        episodes: what was recorded, one for each instruction.
        picture: where to.
    """
    import numpy as np

    from mobile_vla_ros.sim.demoplot import draw_drive

    frames = _frames(trace, episodes)
    shown = np.linspace(0, len(frames) - 1, 4).round().astype(int)
    draw_drive(
        picture,
        **_drive(trace, scenario, seed),
        states=[(when, text) for when, text in trace["states"]],
        frames=list(_pictures(frames[at] for at in shown)),
        told=[(when, text) for when, text in trace["told"]],
    )
