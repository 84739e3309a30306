"""Can everybody who speaks on a safety input be heard?

An input that cannot be heard is not an input that says nothing. The guard listens to each safety
input in every way there is (``ROUTES``), and this file says when that is still not enough: a
publisher of another type, a last word that no way of listening brings over, a publisher that has
just come and whose last word may still be under way.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

# (reliable, latched) of the subscriptions that together hear everybody: the first matches every
# publisher, the second brings over what a latched one said before, the third tells the words of
# latched publishers from those of others.
ROUTES = ((False, False), (True, True), (False, True))
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Offer:
    """One publisher of a topic, as the graph shows it.

    Attributes:
        id: tells publishers apart.
        type: of its messages.
        reliable: whether it offers reliable delivery.
        latched: whether it keeps its last word for those who come later (transient local).
        node: its node's name, for the sentence.
    """

    id: Hashable
    type: str
    reliable: bool
    latched: bool
    node: str = ""


class Hearing:
    """What is known of the publishers of one safety input.

    Args:
        topic: its name, for the sentence.
        types: message types that are understood.
        one_type: whether only publishers of one and the same type can be heard at a time.
        settle: seconds that a publisher must have been there before it may drive anything: who
            came with it (its e-stop, say) may be seen a little later.
    """

    def __init__(
        self, topic: str, types: Iterable[str], *, one_type: bool = False, settle: float = 0.0
    ) -> None:
        self.topic = topic
        self._types = tuple(types)
        self._one_type = one_type
        self._settle = settle
        self._offers: dict[Hashable, Offer] = {}
        self._since: dict[Hashable, float] = {}
        self._latched_heard = -float("inf")

    @property
    def publishers(self) -> int:
        """How many there are."""
        return len(self._offers)

    def graph(self, offers: Iterable[Offer], now: float) -> bool:
        """Takes note of who is there (``now``: steady clock, s); True when that has changed."""
        present = {offer.id: offer for offer in offers}
        changed = present.keys() != self._offers.keys()
        self._offers = present
        self._since = {key: self._since.get(key, now) for key in present}
        return changed

    def heard_latched(self, now: float) -> None:
        """A message has come on one of the latched routes."""
        self._latched_heard = now

    def deaf(self, now: float) -> str | None:
        """Why somebody may be speaking unheard; None when nobody can."""
        for offer in self._offers.values():
            if offer.type not in self._types:
                return (
                    f"{self.topic}: {offer.node or 'a node'} publishes {offer.type}, which is not"
                    f" understood; publish {' or '.join(self._types)}"
                )
        if self._one_type and len({offer.type for offer in self._offers.values()}) > 1:
            return f"{self.topic}: publishers of two types speak; let all publish the same one"
        for offer in self._offers.values():
            since = self._since[offer.id]
            if now - since < self._settle:
                return f"{self.topic}: listening who else has come with it"
            if self._one_type or not offer.latched or self._latched_heard >= since:
                continue
            if not offer.reliable:
                return (
                    f"{self.topic}: {offer.node or 'a node'} keeps its last word (transient local)"
                    " but sends it best effort, so it cannot be heard; publish reliable, or"
                    " publish again and again"
                )
            if now - since < SETTLE_SECONDS:
                return f"{self.topic}: waiting for the last word of {offer.node or 'a node'}"
        return None
