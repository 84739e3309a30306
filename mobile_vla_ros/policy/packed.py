"""Linear layers whose weights are laid out for the processor's matrix unit once, not every call.

For bfloat16 oneDNN brings a weight into a blocked layout at every call, which for a single frame
takes as long as the multiplication itself. Packing does it once and keeps only the packed form.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.heap import return_freed_memory

# Rows the layout is chosen for: a frame's patches in the vision model, its tokens in the text.
VISION_ROWS = 257
TEXT_ROWS = 96


class PackedLinear(nn.Module):
    """Stands in for an ``nn.Linear`` in inference; any number of rows may be passed through.

    Args:
        layer: the layer to replace; bfloat16, on the CPU.
        rows: number of rows the layout is best for.
    """

    def __init__(self, layer: nn.Linear, rows: int) -> None:
        super().__init__()
        self.in_features = layer.in_features
        self.out_features = layer.out_features
        self.bias = layer.bias
        # An opaque tensor: it can be neither moved nor saved, so it is no parameter.
        self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(layer.weight.detach(), rows)

    def forward(self, values: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(values, self._packed, self.bias, "none", [], "")


def can_pack(weight: Tensor) -> bool:
    """Whether a weight is bfloat16 on a CPU that multiplies it in hardware."""
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and type(weight) in (nn.Parameter, Tensor)
        and torch.backends.mkldnn.is_available()
        and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
        and hasattr(torch.ops.mkldnn, "_linear_pointwise")
    )


def pack(backbone: nn.Module) -> int:
    """Packs every linear layer that can be, one at a time, in place.

    Returns:
        How many were packed.
    """
    packed = 0
    # No list of the layers themselves: each must be freed as soon as it is replaced.
    owners = [
        (name, module)
        for name, module in backbone.named_modules()
        if not isinstance(module, nn.Linear)
    ]
    for name, module in owners:
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and can_pack(child.weight):
                rows = VISION_ROWS if name.startswith(("vision", "image")) else TEXT_ROWS
                setattr(module, child_name, PackedLinear(child, rows))
                packed += 1
                return_freed_memory()
    return packed
