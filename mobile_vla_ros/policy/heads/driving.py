"""``MobileVLALSTMDecoder``: velocities of a mobile base."""

from __future__ import annotations

from mobile_vla_ros.policy.heads.kind import HeadKind, Part

DRIVING_HEAD = "MobileVLALSTMDecoder"

KIND = HeadKind(name=DRIVING_HEAD, drives=True, parts={"velocities": Part()})
