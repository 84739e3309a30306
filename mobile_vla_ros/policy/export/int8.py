"""Linear layers in 8 bits: per-channel weights, activations quantised frame by frame.

A frame's activations share one scale, so a few channels that are far larger than the rest (trained
transformers have them) would leave the rest few levels. Two guards stand against that. Where a
layer norm comes before, the size of such channels moves from the activations into the weights
(Xiao et al., 'SmoothQuant', ICML 2023), as far as it lowers the measured error. And layers whose
error is still large stay in float32; so do the vision model's second feed-forward layer and the
image projection, whose inputs no norm bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mobile_vla_ros.policy.export.walk import read_weight
from mobile_vla_ros.policy.plan import LoadPlan

# Shares of the activations' spread that move into the weights; the best one counts.
STRENGTHS = (0.0, 0.25, 0.5, 0.75)
# Relative error of a layer's output above which it stays in float32. Gaussian values give 0.008.
LARGEST_ERROR = 0.03
# So many frames, and so many rows of each, are multiplied to measure it.
FRAMES = 4
ROWS = 48
LEVELS = 127
_SMALLEST = 1e-5

_VISION = r"(backbone\.vision_model\.model\.encoder\.layers\.\d+\.)"
_TEXT = r"(backbone\.text_model\.model\.layers\.\d+\.)"
# Which layers are quantised, and the norm before each; those that share one go together.
_BEFORE = (
    (_VISION + r"self_attn\.[qkv]_proj", "layer_norm1"),
    (_VISION + r"self_attn\.out_proj", ""),
    (_VISION + r"mlp\.fc1", "layer_norm2"),
    (_TEXT + r"self_attn\.[qkv]_proj", "self_attn_layer_norm"),
    (_TEXT + r"self_attn\.out_proj", "self_attn.inner_attn_ln"),
    (_TEXT + r"ffn\.fc1", "final_layer_norm"),
    (_TEXT + r"ffn\.fc2", "ffn.ffn_layernorm"),
)


@dataclass(frozen=True)
class Group:
    """Linear layers that read the same values, quantised together or not at all.

    Attributes:
        layers: their names (``backbone...``).
        norm: the layer norm that gives the values, or None.
    """

    layers: tuple[str, ...]
    norm: str | None


@dataclass
class Quantiser:
    """Quantises layers as a walk reaches them.

    Attributes:
        plan: the policy.
        values: what is to be stored beside the plain weights, by name with ``model.``.
        errors: first layer of a group -> relative error of its outputs.
        kept: names of layers that stay in float32.
    """

    plan: LoadPlan
    values: dict[str, Tensor] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._groups: dict[str, Group] = {}
        for group in _groups(self.plan):
            self._groups |= dict.fromkeys(group.layers, group)
        self._done: set[Group] = set()

    def visit(self, layer: str, inputs: Tensor) -> None:
        """Quantises the layer's group on the first of its layers; see ``walk.Visitor``.

        Args:
            layer: its name.
            inputs: what goes in, [frames, rows, in].
        """
        group = self._groups.get(layer)
        if group is None:
            self.kept.append(layer)
        elif group not in self._done:
            self._done.add(group)
            self._quantise(group, inputs)

    def _quantise(self, group: Group, inputs: Tensor) -> None:
        weights = [read_weight(self.plan, f"{layer}.weight") for layer in group.layers]
        strengths = STRENGTHS if group.norm is not None else (0.0,)
        largest = inputs.abs().amax(dim=(0, 1)).clamp(min=_SMALLEST)
        sample = inputs[:: max(1, len(inputs) // FRAMES)][:FRAMES]
        step = max(1, sample.shape[1] // ROWS)
        exact = [sample[:, ::step] @ weight.T for weight in weights]
        found = []
        for strength in strengths:
            divisor = _divisor(largest, weights, strength)
            quantised = torch.stack([quantise_rows(frame / divisor) for frame in sample])
            error = max(
                _error(quantised[:, ::step], weight * divisor, product)
                for weight, product in zip(weights, exact, strict=True)
            )
            found.append((error, strength, divisor))
        # A moved spread must earn its place: an equal error is no reason to change a norm.
        error, strength, divisor = min(found, key=lambda item: (round(item[0], 4), item[1]))
        self.errors[group.layers[0]] = error
        if error > LARGEST_ERROR:
            self.kept += group.layers
            return
        for layer, weight in zip(group.layers, weights, strict=True):
            levels, scale = quantise_weight(weight * divisor)
            self.values[f"model.{layer}.int8"] = levels.T.contiguous()
            self.values[f"model.{layer}.scale"] = scale
        if strength:
            for parameter in ("weight", "bias"):
                name = f"{group.norm}.{parameter}"
                self.values[f"model.{name}"] = read_weight(self.plan, name) / divisor


def quantise_weight(weight: Tensor) -> tuple[Tensor, Tensor]:
    """A weight [out, in] as int8 levels of the same shape and one scale for each output, [out]."""
    scale = weight.abs().amax(1).clamp(min=_SMALLEST * _SMALLEST) / LEVELS
    return (weight / scale[:, None]).round().clamp(-LEVELS, LEVELS).to(torch.int8), scale


def quantise_rows(values: Tensor) -> Tensor:
    """One frame's activations after ONNX' DynamicQuantizeLinear and back."""
    low, high = values.amin().clamp(max=0), values.amax().clamp(min=0)
    scale = ((high - low) / 255).clamp(min=_SMALLEST * _SMALLEST)
    zero = (-low / scale).round().clamp(0, 255)
    return ((values / scale).round() + zero).clamp(0, 255).sub(zero) * scale


def _divisor(largest: Tensor, weights: list[Tensor], strength: float) -> Tensor:
    """What each channel of the activations is divided by, [in]; the weights take it up."""
    if not strength:
        return torch.ones_like(largest)
    reach = torch.stack([weight.abs().amax(0) for weight in weights]).amax(0)
    divisor = largest**strength / reach.clamp(min=_SMALLEST) ** (1 - strength)
    # Only the proportions count: the mean size of the activations stays.
    return (divisor / divisor.log().mean().exp()).clamp(_SMALLEST, 1 / _SMALLEST)


def _error(inputs: Tensor, weight: Tensor, exact: Tensor) -> float:
    """Relative error of a layer's product, at the worst of the frames.

    Args:
        inputs: quantised and back, [frames, rows, in].
        weight: what is to be quantised, [out, in].
        exact: the product it should give, [frames, rows, out].
    """
    levels, scale = quantise_weight(weight)
    found = inputs @ (levels.float() * scale[:, None]).T
    size = exact.flatten(1).norm(dim=1)
    errors = (found - exact).flatten(1).norm(dim=1)
    return float((errors / size.clamp(min=_SMALLEST * _SMALLEST)).max())


def _groups(plan: LoadPlan) -> Iterator[Group]:
    modules: dict[str, Any] = dict(plan.model.named_modules())
    grouped: dict[tuple[str, str], list[str]] = {}
    for name in modules:
        for pattern, norm in _BEFORE:
            match = re.fullmatch(pattern, name)
            if match is not None:
                grouped.setdefault((match[1], norm or name), []).append(name)
    for (start, norm), layers in grouped.items():
        before = f"{start}{norm}"
        held = getattr(modules.get(before), "weight", None) is not None
        yield Group(tuple(layers), before if held else None)
