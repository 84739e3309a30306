"""Reading the episodes that a quantisation is chosen and judged by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.policy.export.calibration import Clip

# So many frames of an episode, from its start to its end, and so many episodes.
FRAMES = 8
EPISODES = 40


def read_clips(directory: Path) -> list[Clip]:
    """Frames of a folder's episodes, evenly spaced in each, with its instruction.

    Raises:
        InputError: there is no readable episode.
    """
    from mobile_vla_ros.episodes import find_episodes, open_episode
    from mobile_vla_ros.policy.export.calibration import INSTRUCTION, Clip

    paths = find_episodes(directory)
    clips = []
    step = max(1, len(paths) // EPISODES)
    for path in paths[::step][:EPISODES]:
        try:
            with open_episode(path) as episode:
                count = min(FRAMES, len(episode))
                rows = np.unique(np.linspace(0, len(episode) - 1, count).round().astype(int))
                images = np.stack([episode.image(int(row)) for row in rows])
                clips.append(Clip(images, episode.instruction or INSTRUCTION))
        except InputError:
            continue
    if not clips:
        raise InputError(f"--calibrate {directory} holds no readable episode")
    return clips
