"""The frames that results point to."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.errors import InputError


def frame(place: Mapping) -> np.ndarray | None:
    """The frame at {'path', 'row'}, uint8 [H, W, 3] RGB; None when its file is gone."""
    try:
        with open_episode(place["path"]) as episode:
            return episode.image(place["row"])
    except (InputError, OSError, IndexError):
        return None
