"""The backbone laid out for one processor's matrix unit, once and not at every call.

For bfloat16 oneDNN brings a weight into a blocked layout at every call, which for a single frame
takes as long as the multiplication itself; in float32 a plain product reads a large weight in an
order that suits no cache. Packing does it once and keeps only the packed form.
On the way layers that read the same values become one, and what follows a product number by number
(an activation, the sum with the residual) is done while the product is still in the cache.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import GELUActivation, QuickGELUActivation

from mobile_vla_ros.policy.heap import return_freed_memory, use_huge_pages

# Rows the layout is chosen for: a frame's patches in the vision model, its tokens in the text.
VISION_ROWS = 257
TEXT_ROWS = 96

# quick_gelu(x) = x * sigmoid(QUICK * x)
QUICK = 1.702


class PackedLinear(nn.Module):
    """Stands in for linear layers in inference; any number of rows may be passed through.

    Args:
        layers: layers that read the same values; their results come side by side. bfloat16 or
            float32, on the CPU.
        rows: number of rows the layout is best for.
        gelu: put the result through the exact GELU.
        bias: float32 [out_features] in place of the layers' own.
    """

    def __init__(
        self, *layers: nn.Linear, rows: int, gelu: bool = False, bias: Tensor | None = None
    ) -> None:
        super().__init__()
        self.in_features = layers[0].in_features
        self.out_features = sum(layer.out_features for layer in layers)
        weight: Tensor = layers[0].weight.detach()
        own: Tensor | None = layers[0].bias
        if len(layers) > 1:
            weight = torch.cat([layer.weight.detach() for layer in layers])
            own = torch.cat([layer.bias.detach() for layer in layers])
        self.bias = own if bias is None else bias
        # An opaque tensor: it can be neither moved nor saved, so it is no parameter.
        self._packed: Any = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
        use_huge_pages(
            torch.ops.mkldnn.data_ptr(self._packed), torch.ops.mkldnn._nbytes(self._packed)
        )
        none: list[float] = []
        self._after = ("gelu", none, "none") if gelu else ("none", none, "")

    def forward(self, values: Tensor) -> Tensor:
        return torch.ops.mkldnn._linear_pointwise(values, self._packed, self.bias, *self._after)

    def added_to(self, total: Tensor, values: Tensor) -> Tensor:
        """``total`` plus the result for ``values``, rounded once."""
        return torch.ops.mkldnn._linear_pointwise.binary(
            values, total, self._packed, self.bias, "add"
        )


class PackedQuickGelu(nn.Module):
    """A vision layer's norm and feed-forward: fc2(quick_gelu(fc1(norm(x)))).

    torch has silu(x) = x * sigmoid(x) as one step, but quick_gelu(x) = silu(1.702 x) / 1.702 as
    three only. So the norm gives 1.702 times its values, computed in float32 and rounded once, as
    without the factor, and the factor is taken from the result.
    """

    def __init__(self, norm: nn.LayerNorm, feed: Any) -> None:
        super().__init__()
        self._shape = norm.normalized_shape
        self._eps = norm.eps
        self._weight = norm.weight.detach().float() * QUICK
        self._bias = norm.bias.detach().float() * QUICK
        self.fc1 = PackedLinear(feed.fc1, rows=VISION_ROWS, bias=feed.fc1.bias.float() * QUICK)
        self.fc2 = PackedLinear(feed.fc2, rows=VISION_ROWS, bias=feed.fc2.bias.float() * QUICK)

    def forward(self, hidden: Tensor) -> Tensor:
        normed = functional.layer_norm(hidden, self._shape, self._weight, self._bias, self._eps)
        inner = functional.silu(self.fc1(normed), inplace=True)
        return self.fc2(inner).mul_(1 / QUICK)


def can_pack(weight: Tensor, *, float32: bool = False) -> bool:
    """Whether a weight is bfloat16 on a CPU that multiplies it in hardware.

    Args:
        weight: of a linear layer.
        float32: whether float32 counts as well.
    """
    if weight.device.type != "cpu" or type(weight) not in (nn.Parameter, Tensor):
        return False
    if not torch.backends.mkldnn.is_available() or not hasattr(
        torch.ops.mkldnn, "_linear_pointwise"
    ):
        return False
    if weight.dtype == torch.float32:
        return float32
    return weight.dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def pack(backbone: Any, *, float32: bool = False) -> int:
    """Packs every linear layer that can be, a few at a time, in place.

    Args:
        backbone: the Kosmos-2 model.
        float32: pack float32 as well, which pays for large layers.

    Afterwards the self-attention of a layer has a ``qkv_proj`` in place of ``q_proj``, ``k_proj``
    and ``v_proj``, except where queries and sources differ. Only the lean pass (``frame_pass``)
    knows what to do with it, transformers' own forward does not.

    Returns:
        How many were packed.
    """
    packed = 0
    for layer in backbone.vision_model.model.encoder.layers:
        packed += _join_attention(layer.self_attn, VISION_ROWS, float32)
        feed = layer.mlp
        if _packable(feed, float32) and isinstance(feed.activation_fn, QuickGELUActivation):
            layer.mlp = PackedQuickGelu(layer.layer_norm2, layer.mlp)
            layer.layer_norm2 = nn.Identity()
            packed += 2
            return_freed_memory()
    for layer in backbone.text_model.model.layers[:-1]:
        packed += _join_attention(layer.self_attn, TEXT_ROWS, float32)
    for layer in backbone.text_model.model.layers:
        feed = layer.ffn
        if _packable(feed, float32) and isinstance(feed.activation_fn, GELUActivation):
            feed.fc1 = PackedLinear(feed.fc1, rows=TEXT_ROWS, gelu=True)
            feed.activation_fn = nn.Identity()
            packed += 1
            return_freed_memory()
    return packed + _pack_rest(backbone, float32)


def _packable(module: nn.Module, float32: bool) -> bool:
    weights = [layer.weight for layer in module.modules() if isinstance(layer, nn.Linear)]
    return bool(weights) and all(can_pack(weight, float32=float32) for weight in weights)


def _join_attention(attention: Any, rows: int, float32: bool) -> int:
    if not _packable(attention, float32):
        return 0
    attention.qkv_proj = PackedLinear(
        attention.q_proj, attention.k_proj, attention.v_proj, rows=rows
    )
    del attention.q_proj, attention.k_proj, attention.v_proj
    return_freed_memory()
    return 3


def _pack_rest(backbone: nn.Module, float32: bool) -> int:
    packed = 0
    # No list of the layers themselves: each must be freed as soon as it is replaced.
    owners = [
        (name, module)
        for name, module in backbone.named_modules()
        if not isinstance(module, nn.Linear)
    ]
    for name, module in owners:
        for child_name, child in list(module.named_children()):
            if isinstance(child, nn.Linear) and can_pack(child.weight, float32=float32):
                rows = VISION_ROWS if name.startswith(("vision", "image")) else TEXT_ROWS
                setattr(module, child_name, PackedLinear(child, rows=rows))
                packed += 1
                return_freed_memory()
    return packed
