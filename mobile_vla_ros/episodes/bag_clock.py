"""Which clock the stamps on a topic are of, and what to take where they are of another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.episodes.schema import EpisodeError

AHEAD = 0.25  # s; a stamp further ahead of its arrival was made by another clock
BEHIND = 1.0  # s; no camera, base or teleop takes that long on its way
_MOST_WRONG = 0.25  # share of stamps that may be off while the topic's clock counts as ours


@dataclass(frozen=True)
class Times:
    """When the messages on one topic were made.

    Attributes:
        times: float64 [N], s, on the clock by which the bag was recorded.
        arrival: they are times of arrival: the stamps are of another clock, or were never set.
        replaced: single stamps that were off and gave way to the arrival.
        note: one sentence for the user; empty when every stamp was taken.
    """

    times: np.ndarray
    arrival: bool
    replaced: int
    note: str


def tell_times(topic: str, stamps: np.ndarray, received: np.ndarray) -> Times:
    """Asks a topic's stamps whether they are of the recording's clock.

    Args:
        topic: its name, for the sentence.
        stamps: float64 [N], s; 0 or below where a message has none.
        received: float64 [N], s.

    Raises:
        EpisodeError: the stamps are of another clock, and the times of arrival tell nothing.
    """
    delays = received - stamps
    is_set = stamps > 0
    ours = is_set & (delays >= -AHEAD) & (delays <= BEHIND)
    if not len(stamps):
        return Times(received, False, 0, "")
    if ours.mean() >= 1 - _MOST_WRONG:
        wrong = int((~ours).sum())
        usual = float(np.median(delays[ours]))
        times = np.where(ours, stamps, received - usual)
        note = f"{wrong} stamps on {topic} were off and gave way to their arrival" if wrong else ""
        return Times(times, False, wrong, note)
    if not is_set.any():
        why = "none was set"
    else:
        off = float(np.median(delays[is_set]))
        side = "behind" if off > 0 else "ahead of"
        why = f"another clock, {abs(off):.1f} s {side} the arrival"
    if _tells_nothing(received, stamps[is_set]):
        raise EpisodeError(
            f"the stamps on {topic} are of another clock ({why}), and its messages arrived all "
            "at once, so that nothing says when they were made; record it again with clocks that "
            "agree"
        )
    return Times(received, True, 0, f"arrival times on {topic} in place of its stamps ({why})")


def plain_times(topic: str, received: np.ndarray) -> Times:
    """The times of messages without a stamp: when they arrived.

    Raises:
        EpisodeError: they arrived all at once.
    """
    if len(received) > 2 and not np.ptp(received):
        raise EpisodeError(
            f"the messages on {topic} carry no stamp and arrived all at once, so that nothing "
            "says when they were made"
        )
    return Times(received, False, 0, "")


def _tells_nothing(received: np.ndarray, stamps: np.ndarray) -> bool:
    """Whether messages came in one burst, long after they were made."""
    if len(received) < 3:
        return False
    there = np.ptp(received)
    made = np.ptp(stamps) if len(stamps) > 2 else 0.0
    return bool(there <= 0 or (0 < made < 1e6 and there < 0.2 * made))
