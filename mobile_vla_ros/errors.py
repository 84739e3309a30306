"""The one exception that means: the input is wrong, and this sentence says how to mend it."""

from __future__ import annotations

import re

# A hub's token, and the name and password in an address.
_SECRET = re.compile(r"hf_[A-Za-z0-9]{8,}|(?<=://)[^/\s@]*:[^/\s@]*(?=@)")


def without_secrets(text: str) -> str:
    """The text with three stars in the place of every token and password that stands in it."""
    return _SECRET.sub("***", text)


class InputError(ValueError):
    """An input (file, folder, parameter, device) that cannot be used.

    ``str(error)`` is one sentence a user can act on. The ``mobile_vla`` command prints it on one
    line and exits with status 2; a node logs it and fails to configure. Rooms derive their own
    errors from it (``CheckpointError``, ``EpisodeError``); a bug never is one. What was given is
    often quoted in it, but no secret that stood in that.
    """

    def __str__(self) -> str:
        return without_secrets(super().__str__())
