"""What can be wrong with a link between a robot and a policy server."""

from __future__ import annotations

from mobile_vla_ros.errors import InputError


class ServingError(InputError):
    """A server or link cannot work with what it was given."""


class WireError(ServingError):
    """A message that does not follow the wire format; the sentence says where."""
