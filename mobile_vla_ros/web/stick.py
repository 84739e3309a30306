"""The stick of the operator's page: one person holds it, and letting go means standing.

Everything that can go wrong between a finger and the base ends in zero: the finger lifted, the tab
closed, the phone locked, the page frozen with the stick held, a socket that delivers seconds late.

The server sends beats, numbered. A page puts the number of the newest beat that it has received
into every message, so the server knows by its own clock alone how old a message can be at most:
the time since that beat was sent. What is older than ``FRESH_SECONDS`` drives nothing.

API (``now``: steady clock, seconds; one thread)::

    stick = Stick(max_linear, max_angular)
    stick.beat(now) -> int                          to be sent to every page, about ten a second
    stick.join(person, name, now), stick.leave(person, now)
    stick.ask(person, now), stick.grant(person, now)      who may hold it
    stick.hold(person, number, beat, x, y, now) -> str    '' when it was taken, else why not
    stick.let_go(person, now), stick.give_back(person, now), stick.put_down(now)
    stick.tick(now) -> Wish                         what is to be published now
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass

FRESH_SECONDS = 0.25
"""A message that may be older than this drives nothing."""
HOLD_SECONDS = 0.2
"""So long one message holds; then the next must have come."""
FAREWELL_SECONDS = 0.5
"""Zeros are said for so long after the stick was let go."""
ASK_SECONDS = 10.0
"""A driver who does not answer, and does not hold, gives the stick up after this."""
KEPT_BEATS = 100

NOT_DRIVER = "another person has the stick"
OLD = "the message is too old"
REPEATED = "the message is a repeated or overtaken one"
UNKNOWN_BEAT = "the message answers no beat of this server"
NO_NUMBER = "the stick's position is no number"


@dataclass(frozen=True)
class Wish:
    """What the node publishes.

    Attributes:
        held: True: velocity and deadman; False: zeros and a deadman that is let go; None: nothing.
        linear: m/s, forward.
        angular: rad/s, to the left.
    """

    held: bool | None
    linear: float = 0.0
    angular: float = 0.0


@dataclass
class _Person:
    name: str
    heard: float
    number: int = -1


class Stick:
    """See the module's text.

    Args:
        max_linear: m/s at the stick's end.
        max_angular: rad/s at the stick's end.
    """

    def __init__(self, max_linear: float, max_angular: float) -> None:
        self.max_linear = max_linear
        self.max_angular = max_angular
        self._people: OrderedDict[str, _Person] = OrderedDict()
        self._beats: OrderedDict[int, float] = OrderedDict()
        self._next_beat = 0
        self._driver: str | None = None
        self._asking: tuple[str, float] | None = None
        self._position = (0.0, 0.0)
        # When the newest message that holds was sent at the earliest; -inf: nobody holds.
        self._fresh = -math.inf
        self._released = -math.inf

    # -- people --------------------------------------------------------------------------------

    @property
    def driver(self) -> str | None:
        """Who has the stick."""
        return self._driver

    @property
    def asking(self) -> str | None:
        """Who would like to have it."""
        return None if self._asking is None else self._asking[0]

    def name(self, person: str | None) -> str:
        """What a person is called; '' for nobody."""
        return self._people[person].name if person and person in self._people else ""

    def join(self, person: str, name: str, now: float) -> None:
        """A page is open."""
        self._people[person] = _Person(name, now)

    def leave(self, person: str, now: float) -> None:
        """A page is closed, or its link is lost."""
        self._people.pop(person, None)
        if self._asking is not None and self._asking[0] == person:
            self._asking = None
        if self._driver == person:
            self._put_down(now)
            self._driver = None

    def ask(self, person: str, now: float) -> bool:
        """Asks for the stick; True when the person has it now."""
        if person not in self._people:
            return False
        if self._driver in (None, person):
            self._hand(person, now)
            return True
        self._asking = (person, now)
        return False

    def grant(self, person: str, now: float) -> bool:
        """The driver hands the stick to who asks for it."""
        if person != self._driver or self._asking is None:
            return False
        self._hand(self._asking[0], now)
        return True

    def give_back(self, person: str, now: float) -> bool:
        """The driver puts the stick down for good; who asks for it has it then."""
        if person != self._driver:
            return False
        if self._asking is not None:
            self._hand(self._asking[0], now)
            return True
        self._put_down(now)
        self._driver = None
        return True

    def _hand(self, person: str, now: float) -> None:
        if person != self._driver:
            self._put_down(now)
        self._driver, self._asking = person, None

    # -- the stick -----------------------------------------------------------------------------

    def beat(self, now: float) -> int:
        """A new beat for every page."""
        self._next_beat += 1
        self._beats[self._next_beat] = now
        while len(self._beats) > KEPT_BEATS:
            self._beats.popitem(last=False)
        return self._next_beat

    def age(self, beat: int, now: float) -> float:
        """How old a message with this beat can be at most, seconds; inf for an unknown one."""
        return now - self._beats.get(beat, -math.inf)

    def hold(self, person: str, number: int, beat: int, x: float, y: float, now: float) -> str:
        """The stick is held at a position.

        Args:
            person: whose.
            number: of the message; rising.
            beat: the newest that the page had received.
            x: to the right, -1 to 1.
            y: forward, -1 to 1.
            now: steady clock, seconds.

        Returns:
            '' when it was taken, else why not. What is not taken changes nothing.
        """
        if person not in self._people:
            return NOT_DRIVER
        if self._driver is None:
            self._hand(person, now)
        if self._driver != person:
            return NOT_DRIVER
        one = self._people[person]
        if number <= one.number:
            return REPEATED
        one.number = number
        if not (math.isfinite(x) and math.isfinite(y)):
            self._put_down(now)
            return NO_NUMBER
        if beat not in self._beats:
            return UNKNOWN_BEAT
        sent = self._beats[beat]
        if now - sent > FRESH_SECONDS:
            return OLD
        one.heard = now
        self._position = (max(-1.0, min(1.0, x)), max(-1.0, min(1.0, y)))
        self._fresh = max(self._fresh, sent)
        return ""

    def let_go(self, person: str, now: float) -> None:
        """The finger is up."""
        if person == self._driver:
            self._put_down(now)

    def put_down(self, now: float) -> None:
        """Whoever holds it does not hold it any more: messages under way count no longer."""
        self._put_down(now)

    def tick(self, now: float) -> Wish:
        """What is to be published now."""
        if (
            self._asking is not None
            and now - self._asking[1] >= ASK_SECONDS
            and not self._held(now)
        ):
            self._hand(self._asking[0], now)
        if self._held(now):
            x, y = self._position
            return Wish(True, self.max_linear * y, -self.max_angular * x)
        if self._fresh > -math.inf:
            self._put_down(now)
        if now - self._released < FAREWELL_SECONDS:
            return Wish(False)
        return Wish(None)

    def _held(self, now: float) -> bool:
        return now - self._fresh <= HOLD_SECONDS + FRESH_SECONDS / 5

    def _put_down(self, now: float) -> None:
        if self._fresh > -math.inf:
            self._released = now
        self._fresh = -math.inf
        self._position = (0.0, 0.0)
