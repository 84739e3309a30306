"""Weight-only int8 by torchao: half of bfloat16's memory, not more speed."""

from __future__ import annotations

import importlib.util

from torch import nn

from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.quiet import quiet_imports


def require_int8() -> None:
    """Raises PolicyError unless torchao is installed."""
    if importlib.util.find_spec("torchao") is None:
        raise PolicyError("dtype int8 needs torchao; pip install torchao")


def to_int8(layer: nn.Linear) -> None:
    """Replaces a linear layer's weight by int8 values with one scale per output, in place."""
    with quiet_imports():
        from torchao.quantization import Int8WeightOnlyConfig, quantize_
    quantize_(layer, Int8WeightOnlyConfig())
    layer.requires_grad_(False)
