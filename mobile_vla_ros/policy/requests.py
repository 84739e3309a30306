"""What a policy refuses to do, whatever computes it. No torch here."""

from __future__ import annotations

from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.provenance import Provenance


def without_head(provenance: Provenance) -> PolicyError:
    """The error of a backbone that is asked for more than image contexts."""
    return PolicyError(
        f"{provenance.source} is a Kosmos-2 backbone without an action head: it gives image "
        "contexts only and cannot drive"
    )


def require_driving(config: PolicyConfig, provenance: Provenance) -> None:
    """Raises PolicyError, with the reason, unless the outputs are velocities of a base."""
    if config.head is None:
        raise without_head(provenance)
    if not config.drives:
        raise PolicyError(
            f"{provenance.source} cannot drive a mobile base: its {config.dof}-DoF head "
            f"({config.head}) puts out arm and gripper motions, not velocities; it can be "
            "analysed only"
        )


def check_window(frames: int, config: PolicyConfig) -> None:
    """Raises PolicyError unless a window may have so many frames."""
    if not 1 <= frames <= config.window_size:
        raise PolicyError(f"a window has 1 to {config.window_size} frames, not {frames}")
