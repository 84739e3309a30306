"""Under which orders a policy looked at the frames of an incident.

A policy that drives forgets what it has seen at every reset, stop, new instruction and disable
(see ``control.pilot``). Whoever shows the same frames to another checkpoint has to do the same at
the same places, or the two remember different things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mobile_vla_ros.episodes.incident import Incident
from mobile_vla_ros.states import (
    CHUNK_USED_UP,
    DISABLED,
    DRIVING,
    ENABLED_EVENT,
    INSTRUCTION_EVENT,
    MODEL_TOO_SLOW,
    RESET_EVENT,
    SERVER_LOST,
    SERVER_REFUSED,
    STATES,
    STOP_EVENT,
    STOP_SERVICE,
    STOPPED,
    WORKER_EVENT,
)

# A state follows the request behind it at the next tick of the control loop; a busy robot is late.
FOLLOWS_WITHIN = 0.5
# These empty a memory only where they end a drive; else they say that there is none yet.
_ENDS_A_DRIVE = tuple(
    STOPPED + reason for reason in (CHUNK_USED_UP, MODEL_TOO_SLOW, SERVER_LOST, SERVER_REFUSED)
)
_DISABLE = f"{ENABLED_EVENT}False"


@dataclass(frozen=True)
class Order:
    """From when on the policy began anew.

    Attributes:
        time: when it was heard of, s.
        instruction: what it follows from then on; None: not known.
        empty: its memory was empty then, for sure; False: it may have gone on.
    """

    time: float
    instruction: str | None
    empty: bool


def orders_of(incident: Incident) -> list[Order]:
    """What the capsule's events mean for the policy's memory, oldest first.

    The first entry stands for the time before any event: what the policy had seen by then is not
    in the capsule.
    """
    words = _instruction_before(incident)
    orders = [Order(-float("inf"), words, empty=False)]
    state, asked = "", {DISABLED: -float("inf"), STOPPED + STOP_SERVICE: -float("inf")}
    for time, text in incident.events:
        empty = None
        if text.startswith(INSTRUCTION_EVENT):
            told = text.removeprefix(INSTRUCTION_EVENT).strip()
            if told != words:
                # After an unknown one it may be the same once more, which changes nothing.
                empty, words = words is not None, told
        elif text in (RESET_EVENT, STOP_EVENT, _DISABLE) or text.startswith(WORKER_EVENT):
            empty = True
            if text == _DISABLE:
                asked[DISABLED] = time
            elif text == STOP_EVENT:
                asked[STOPPED + STOP_SERVICE] = time
        elif text == DISABLED or text.startswith(STOPPED):
            follows = time - asked.get(text, -float("inf")) < FOLLOWS_WITHIN
            if not follows and (text not in _ENDS_A_DRIVE or state == DRIVING):
                empty = True
            state = text
        elif text in STATES:
            state = text
        if empty is not None:
            orders.append(Order(time, words, empty))
    return orders


def order_behind(orders: Sequence[Order], received: float, answered: float) -> int:
    """Which of the orders a frame was looked at under.

    A frame that came before an order gets no chunk after it, so every frame with a chunk came and
    was answered on one side of it. The middle between the two is farthest from both sides, as the
    topics that frames, chunks and events come on may overtake each other a little.

    Args:
        orders: as of ``orders_of``.
        received: arrival of the frame, s.
        answered: arrival of its chunk, s.
    """
    middle = (received + answered) / 2
    return max(index for index, order in enumerate(orders) if order.time <= middle)


def _instruction_before(incident: Incident) -> str | None:
    """The instruction in force when the capsule begins; None: not known."""
    known = incident.attributes.get("instruction_before")
    if known is not None:
        return str(known).strip()
    trial = str(incident.attributes.get("instruction") or "").strip()
    for _, text in incident.events:
        if text.startswith(INSTRUCTION_EVENT):
            # The trial's own instruction was given here: before it, another trial's was in force.
            return None if text.removeprefix(INSTRUCTION_EVENT).strip() == trial else trial
    return trial
