"""Low-rank adapters: what a checkpoint carries, and merging it into the base weight with peft."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.quiet import quiet_imports


@dataclass(frozen=True)
class Adapters:
    """The LoRA adapters of a checkpoint.

    Attributes:
        ranks: module name (``text_model.model.layers.0.self_attn.k_proj``) -> rank.
        alpha: the scale is ``alpha / rank``.
        rank_stabilised: the scale is ``alpha / sqrt(rank)`` instead.
        patterns: regular expression of module names -> their own alpha, as peft matches them.
    """

    ranks: Mapping[str, int]
    alpha: float
    rank_stabilised: bool = False
    patterns: Mapping[str, float] = field(default_factory=dict)

    @property
    def rank(self) -> int:
        """The highest rank (usually the only one)."""
        return max(self.ranks.values())

    def scale(self, module: str) -> float:
        """What the product of a module's two matrices is multiplied by."""
        rank = self.ranks[module]
        return self.alpha_of(module) / (math.sqrt(rank) if self.rank_stabilised else rank)

    def alpha_of(self, module: str) -> float:
        """The alpha of a module: of the first pattern that fits its name, else the common one."""
        for pattern, alpha in self.patterns.items():
            if re.match(rf"(.*\.)?({pattern})$", module):
                return alpha
        return self.alpha

    def merge_bias(self, module: str, base: Tensor, adapter: Tensor) -> Tensor:
        """The bias with that of ``lora_B`` (peft's ``lora_bias=True``) merged in, float32."""
        return base.float() + self.scale(module) * adapter.float()


def read_adapters(
    ranks: Mapping[str, int], run: Mapping[str, Any], name: str, alpha: float | None = None
) -> Adapters | None:
    """Joins the ranks found in the keys with the alpha the run file names; None without adapters.

    Raises:
        CheckpointError: the run file does not say alpha, or says a rank that no adapter has.
    """
    if not ranks:
        return None
    setup = run.get("train_setup") or {}
    said = setup.get("lora_alpha", alpha) if isinstance(setup, Mapping) else alpha
    if isinstance(said, bool) or not isinstance(said, (int, float)) or said <= 0:
        raise CheckpointError(
            f"the checkpoint carries LoRA adapters but {name} does not say "
            "train_setup.lora_alpha, without which their scale is unknown"
        )
    rank = setup.get("lora_r") if isinstance(setup, Mapping) else None
    if rank is not None and rank not in ranks.values():
        raise CheckpointError(
            f"{name} disagrees with the weights: it says train_setup.lora_r {rank}, the adapters "
            f"have rank {max(ranks.values())}"
        )
    setup = setup if isinstance(setup, Mapping) else {}
    stabilised = bool(setup.get("use_rslora", False))
    if setup.get("use_dora"):
        raise CheckpointError(
            f"{name} says train_setup.use_dora, but the checkpoint holds plain LoRA adapters "
            "without DoRA's magnitudes; correct the run file, or save it merged by peft"
        )
    return Adapters(dict(ranks), float(said), stabilised, _patterns(setup, name))


def _patterns(setup: Mapping[str, Any], name: str) -> dict[str, float]:
    """peft's ``alpha_pattern``; its ``rank_pattern`` is read off the weights."""
    found: dict[str, float] = {}
    for key in ("alpha_pattern", "lora_alpha_pattern"):
        patterns = setup.get(key) or {}
        if not isinstance(patterns, Mapping):
            raise CheckpointError(f"{name}: train_setup.{key} must map module names to alphas")
        for pattern, alpha in patterns.items():
            try:
                re.compile(str(pattern))
                known = not isinstance(alpha, bool) and float(alpha) > 0
            except (re.error, TypeError, ValueError):
                known = False
            if not known:
                raise CheckpointError(
                    f"{name}: train_setup.{key} holds {pattern!r}: {alpha!r}; it must map a "
                    "regular expression of module names to a positive alpha"
                )
            found[str(pattern)] = float(alpha)
    return found


def fits(layer: nn.Module, down: tuple[int, ...], up: tuple[int, ...]) -> bool:
    """Whether ``lora_A`` and ``lora_B`` of these shapes belong to the layer."""
    shape = tuple(layer.weight.shape)  # type: ignore[arg-type]
    if isinstance(layer, nn.Embedding):
        shape = shape[::-1]
    if len(down) != len(shape) or len(up) != len(shape) or not down[0] or down[0] != up[1]:
        return False
    return up[0] == shape[0] and down[1:] == shape[1:] and all(side == 1 for side in up[2:])


def merge(
    layer: nn.Module,
    base: Tensor,
    down: Tensor,
    up: Tensor,
    adapters: Adapters,
    module: str = "",
) -> Tensor:
    """The weight with its adapter merged in: base + scale * up @ down, in float32, by peft.

    Args:
        layer: the layer the weight belongs to; only its kind and sizes are used.
        base: the base weight.
        down: ``lora_A``, [rank, in].
        up: ``lora_B``, [out, rank].
        adapters: scale and kind.
        module: the layer's name, which may have an alpha of its own.

    Returns:
        float32, shaped like ``base``.
    """
    with quiet_imports():
        from peft import LoraConfig, inject_adapter_in_model

    # One layer at a time, so that a single weight is ever held in float32.
    single = copy.deepcopy(layer)
    single.weight = nn.Parameter(base.to(torch.float32, copy=True), requires_grad=False)
    holder = nn.ModuleDict({"layer": single})
    is_table = isinstance(layer, nn.Embedding)
    rank = down.shape[0]
    config = LoraConfig(
        r=rank,
        lora_alpha=adapters.alpha_of(module),  # type: ignore[arg-type]
        use_rslora=adapters.rank_stabilised,
        target_modules=["layer"],
        lora_dropout=0.0,
        init_lora_weights=False,
    )
    inject_adapter_in_model(config, holder)
    wrapped: Any = holder["layer"]
    if is_table:
        wrapped.lora_embedding_A["default"].data = down.float()
        wrapped.lora_embedding_B["default"].data = up.float()
    else:
        wrapped.lora_A["default"].weight.data = down.float()
        wrapped.lora_B["default"].weight.data = up.float()
    wrapped.merge()
    return wrapped.get_base_layer().weight.data
