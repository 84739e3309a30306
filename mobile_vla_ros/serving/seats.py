"""Whose frame comes next: the newest of each robot, one robot after the other."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


@dataclass
class Seat:
    """One robot's place at the server.

    Attributes:
        waiting: its newest frame that the model has not taken yet; None when there is none.
        order: (generation, stamp) of the newest frame that the model has taken.
    """

    waiting: Any = None
    order: tuple[int, float] | None = None


class Seats:
    """Keeps the newest frame of each robot and hands them out in turn.

    A frame is passed over when a newer one of the same robot comes before the model has time for
    it, or when it comes after one that was captured later (connections may overtake each other).

    Args:
        limit: how many robots may sit here at most.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._seats: OrderedDict[str, Seat] = OrderedDict()

    def __len__(self) -> int:
        return len(self._seats)

    def __contains__(self, robot: str) -> bool:
        return robot in self._seats

    def take_seat(self, robot: str) -> bool:
        """Gives a robot its seat; False when all are taken."""
        if robot in self._seats:
            return True
        if len(self._seats) >= self.limit:
            return False
        self._seats[robot] = Seat()
        return True

    def leave(self, robot: str) -> Any:
        """Frees the seat; returns the frame that still waited on it, if any."""
        seat = self._seats.pop(robot, None)
        return None if seat is None else seat.waiting

    def offer(self, robot: str, frame: Any) -> Any:
        """Lets a frame wait for the model.

        Args:
            robot: who has a seat.
            frame: anything with ``generation`` and ``stamp``.

        Returns:
            The frame that is passed over for it (perhaps the offered one itself), or None.
        """
        seat = self._seats[robot]
        key = (frame.generation, frame.stamp)
        if seat.order is not None and key <= seat.order:
            return frame
        older = seat.waiting
        if older is not None and key <= (older.generation, older.stamp):
            return frame
        seat.waiting = frame
        return older

    def next(self) -> tuple[str, Any] | None:
        """The next robot's frame; that robot then comes last. None when nobody waits."""
        for robot, seat in self._seats.items():
            if seat.waiting is not None:
                frame, seat.waiting = seat.waiting, None
                seat.order = (frame.generation, frame.stamp)
                self._seats.move_to_end(robot)
                return robot, frame
        return None

    def drop_waiting(self) -> list[tuple[str, Any]]:
        """Takes every waiting frame away, e.g. because the model has failed."""
        dropped = [(name, seat.waiting) for name, seat in self._seats.items() if seat.waiting]
        for seat in self._seats.values():
            seat.waiting = None
        return dropped
