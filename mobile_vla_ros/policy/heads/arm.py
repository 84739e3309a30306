"""``LSTMDecoder``: six arm values, and a gripper value without Tanh, as RoboVLMs trains it."""

from __future__ import annotations

from mobile_vla_ros.policy.heads.kind import HeadKind, Part

ARM_HEAD = "LSTMDecoder"

KIND = HeadKind(
    name=ARM_HEAD,
    drives=False,
    parts={"actions": Part(), "gripper": Part(values=1, bounded=False)},
    axes=("x", "y", "z", "roll", "pitch", "yaw", "gripper"),
)
