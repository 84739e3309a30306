"""What a page may say: one JSON object per message, checked before anything is done with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mobile_vla_ros.errors import InputError

LONGEST_MESSAGE = 4096
LONGEST_TEXT = 500
LONGEST_NAME = 40
_MOST = 2**53

# kind of message -> field -> type; every field is needed.
_FIELDS: dict[str, dict[str, type]] = {
    "hello": {"token": str, "version": str, "name": str},
    "hold": {"number": int, "beat": int, "x": float, "y": float},
    "go": {},
    "here": {"beat": int},
    "seen": {"picture": int},
    "look": {"on": bool},
    "ask": {},
    "grant": {},
    "give": {},
    "stop": {},
    "order": {"id": int, "name": str, "value": object},
}


class MessageError(InputError):
    """Something that no page of this server says."""


@dataclass(frozen=True)
class Message:
    """One message of a page.

    Attributes:
        kind: what it is.
        values: its fields by name, of the types that the kind has.
    """

    kind: str
    values: dict[str, Any]


def read_message(text: str) -> Message:
    """Reads and checks a message.

    Raises:
        MessageError: it is none.
    """
    if len(text) > LONGEST_MESSAGE:
        raise MessageError("the message is too long")
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise MessageError("the message is no JSON") from None
    if not isinstance(told, dict) or not isinstance(told.get("t"), str):
        raise MessageError("the message does not say what it is")
    fields = _FIELDS.get(told["t"])
    if fields is None:
        raise MessageError("no such message is known here; reload the page")
    return Message(told["t"], {name: _value(told, name, kind) for name, kind in fields.items()})


def _value(told: dict[str, Any], name: str, kind: type) -> Any:
    value: Any = told.get(name)
    if _fits(value, kind):
        return float(value) if kind is float else value
    raise MessageError(f"the message's {name} is missing or cannot be used")


def _fits(value: Any, kind: type) -> bool:
    if isinstance(value, str):
        return kind in (str, object) and len(value) <= LONGEST_TEXT
    if isinstance(value, bool):
        return kind in (bool, object)
    if value is None:
        return kind is object
    if kind is int:
        return isinstance(value, int) and abs(value) < _MOST
    return kind is float and isinstance(value, (int, float)) and abs(value) < _MOST


def plain_text(text: str) -> str:
    """One line of text as a person means it: no control characters, no space around it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
