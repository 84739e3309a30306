"""What goes wrong with checkpoints, run files and requests to a policy."""

from __future__ import annotations

from mobile_vla_ros.errors import InputError


class CheckpointError(InputError):
    """A checkpoint, backbone directory or run file that cannot be loaded, in one sentence."""


class PolicyError(InputError):
    """A request that this policy cannot serve (no driving head, too many frames, bad image)."""


class QuantisationError(CheckpointError):
    """In fewer bits the policy would drive differently: its velocities move too far."""
