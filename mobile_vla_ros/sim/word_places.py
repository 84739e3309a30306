"""Where the nearest thing of each colour and kind is: what an instruction's words point at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.sim.open_field.things import COLOURS, KINDS

OBSTACLES = 2  # boxes and stools, the nearer first
WORDS = (*COLOURS, *KINDS, *("obstacle",) * OBSTACLES, "person")


def word_places(
    things: Sequence[tuple[str, str]],
    thing_places: np.ndarray,
    obstacle_places: np.ndarray,
    person_place: np.ndarray | None = None,
) -> np.ndarray:
    """Places by word, of what is in the picture before what is not, and of that the nearest.

    Args:
        things: (colour, kind) of M things.
        thing_places: float32 [M, 4]: u, v (shares of the picture), bearing (rad), distance (m).
        obstacle_places: float32 [N, 4] of boxes and stools.
        person_place: float32 [4]; None: nobody is there.

    Returns:
        float32 [14, 4] in the order of `WORDS`; NaN where there is no such thing.
    """
    found = np.full((len(WORDS), 4), np.nan, np.float32)
    for row in reversed(_order(thing_places)):
        colour, kind = things[row]
        found[COLOURS.index(colour)] = thing_places[row]
        found[len(COLOURS) + KINDS.index(kind)] = thing_places[row]
    first = len(COLOURS) + len(KINDS)
    nearest = obstacle_places[_order(obstacle_places)[:OBSTACLES]]
    found[first : first + len(nearest)] = nearest
    if person_place is not None:
        found[-1] = person_place
    return found


def _order(places: np.ndarray) -> list[int]:
    inside = ((places[:, :2] >= 0) & (places[:, :2] <= 1)).all(axis=1)
    return [int(row) for row in np.lexsort((places[:, 3], ~inside))]
