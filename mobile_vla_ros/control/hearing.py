"""Can everybody who speaks on a safety input be heard?

An input that cannot be heard is not an input that says nothing. The guard listens to each safety
input in every way there is (``ROUTES``), and this file says when that is still not enough: a
publisher of another type, a last word that no way of listening brings over, a publisher that has
just come and whose last word may still be under way, one that the graph shows and no way of
listening is matched with (a partition or ownership of DDS's own, which ROS does not show).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass

# (reliable, latched) of the subscriptions that together hear everybody: the first matches every
# publisher, the second brings over what a latched one said before, the third tells the words of
# latched publishers from those of others.
ROUTES = ((False, False), (True, True), (False, True))
SETTLE_SECONDS = 1.0
# A publisher that is being discovered is matched with a moment after the graph shows it, s.
MATCH_SECONDS = 0.1
# Words of one publisher that come by two routes may overtake each other by so much; more is a
# clock that was set, or another publisher's, ns.
OVERTAKEN = 5_000_000_000


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
        self._heard: set[Hashable] = set()
        self._short_since: float | None = None

    @property
    def publishers(self) -> int:
        """How many there are."""
        return len(self._offers)

    def graph(self, offers: Iterable[Offer], now: float, matched: int | None = None) -> bool:
        """Takes note of who is there.

        Args:
            offers: the publishers that the graph shows.
            now: steady clock, s.
            matched: with how many of them the subscription that should hear all is matched; None:
                that cannot be known.

        Returns:
            Whether somebody has come or gone.
        """
        present = {offer.id: offer for offer in offers}
        changed = present.keys() != self._offers.keys()
        self._offers = present
        self._since = {key: self._since.get(key, now) for key in present}
        self._heard &= present.keys()
        understood = sum(offer.type in self._types for offer in present.values())
        if matched is None or matched >= understood:
            self._short_since = None
        elif self._short_since is None:
            self._short_since = now
        return changed

    def heard_latched(self, now: float, best_effort: bool | None = None) -> None:
        """A message has come on one of the latched routes.

        It speaks for a publisher only where no other can have sent it.

        Args:
            now: steady clock, s.
            best_effort: whether it was sent best effort; None: that is not known.
        """
        del now
        senders = [
            offer.id
            for offer in self._offers.values()
            if offer.latched and best_effort in (None, not offer.reliable)
        ]
        if len(senders) == 1:
            self._heard.update(senders)

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
        if self._short_since is not None and now - self._short_since >= MATCH_SECONDS:
            return (
                f"{self.topic}: not all of its {len(self._offers)} publishers can be heard, for a"
                " reason that ROS does not show (a DDS profile with a partition or exclusive"
                " ownership, security); let them publish with ROS's own settings"
            )
        for offer in self._offers.values():
            since = self._since[offer.id]
            if max(now - since, 0.0) < self._settle:
                return f"{self.topic}: listening who else has come with it"
            if self._one_type or not offer.latched or offer.id in self._heard:
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


class Words:
    """Each position of a button once, and none that an older one would undo.

    The same word may come by several routes, and one that a route has sent again comes late: what
    lets the robot move must not come after what stops it.

    Args:
        frees: the position that lets the robot move.
        most: so many words are remembered.
    """

    def __init__(self, frees: bool, most: int) -> None:
        self._frees = frees
        self._seen: deque[tuple[int, bool]] = deque(maxlen=most)
        self._newest = 0

    def counts(self, position: bool, sent: int) -> bool:
        """Whether a word is news (``sent``: its sender's clock, ns; 0: unknown)."""
        if not sent:
            return True
        if (sent, position) in self._seen:
            return False
        self._seen.append((sent, position))
        late = 0 < self._newest - sent < OVERTAKEN
        if not late:
            self._newest = sent
        return not late or position != self._frees

    def forget(self) -> None:
        """Somebody has come or gone: another clock may count."""
        self._newest = 0
