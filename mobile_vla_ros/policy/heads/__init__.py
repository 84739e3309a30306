"""The action heads: one file each says what a head is. No torch here; see ``network``."""

from __future__ import annotations

from collections.abc import Mapping

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heads import arm, driving
from mobile_vla_ros.policy.heads.arm import ARM_HEAD
from mobile_vla_ros.policy.heads.driving import DRIVING_HEAD
from mobile_vla_ros.policy.heads.kind import LAST_LAYER, HeadKind, HeadShape, Part

KINDS: dict[str, HeadKind] = {
    kind.name: kind
    for kind in (
        driving.KIND,
        arm.KIND,
    )
}
"""Every kind of head by its name; a new one is a file and a line here."""


def head_shape(shapes: Mapping[str, tuple[int, ...]], source: str) -> HeadShape | None:
    """Reads the head's kind and sizes off its keys (without ``act_head.``); None without keys.

    Raises:
        CheckpointError: the keys are of no head known here.
    """
    if not shapes:
        return None
    first = shapes.get("rnn.weight_ih_l0")
    if first is None or len(first) != 2:
        raise CheckpointError(
            f"{source} has a head without an LSTM (act_head.rnn.weight_ih_l0 is missing); "
            f"only {' and '.join(KINDS)} are supported"
        )
    layers = 1
    while f"rnn.weight_ih_l{layers}" in shapes:
        layers += 1
    flat = [
        name for name, shape in shapes.items() if name.endswith(LAST_LAYER) and len(shape) != 2
    ]
    if flat:
        raise CheckpointError(
            f"{source} has another kind of head: act_head.{flat[0]} is {list(shapes[flat[0]])}, "
            "not a matrix"
        )
    for kind in KINDS.values():
        widths = kind.widths(shapes)
        if widths is not None:
            return HeadShape(kind.name, first[0] // 4, layers, first[1], *widths)
    known = [f"{kind.name} ({kind.keys})" for kind in KINDS.values()]
    raise CheckpointError(f"{source} has a head that is neither {' nor '.join(known)}")


__all__ = [
    "ARM_HEAD",
    "DRIVING_HEAD",
    "KINDS",
    "HeadKind",
    "HeadShape",
    "Part",
    "head_shape",
]
