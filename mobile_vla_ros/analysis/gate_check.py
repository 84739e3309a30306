"""One line of the gate's decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Check:
    """One line of the decision.

    Attributes:
        name: what was looked at.
        ok: whether it speaks for promoting.
        value: what was found.
        limit: what would do.
        reason: one clause, for people.
    """

    name: str
    ok: bool
    value: Any
    limit: Any
    reason: str

    def to_plain(self) -> dict[str, Any]:
        """As it stands in the JSON."""
        return vars(self).copy()
