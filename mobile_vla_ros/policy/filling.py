"""Loading a policy: weights go one by one from the mapped file into their place."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from mobile_vla_ros.policy import precision as formats
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heap import return_freed_memory
from mobile_vla_ros.policy.int8 import require_int8, to_int8
from mobile_vla_ros.policy.model import rebuild_buffers
from mobile_vla_ros.policy.plan import LoadPlan, plan_loading
from mobile_vla_ros.policy.policy import Policy
from mobile_vla_ros.policy.precision import Precision
from mobile_vla_ros.policy.prompt import PromptReader, read_tokenizer
from mobile_vla_ros.processor import this_processor

log = logging.getLogger(__name__)


def load_torch_policy(
    checkpoint: str | Path,
    backbone: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
) -> Policy:
    """Loads a policy, strictly: every weight of the model and of the checkpoint is accounted for.

    Args:
        checkpoint: a RoboVLMs ``.pt``, a Lightning ``.ckpt`` (frozen, LoRA, merged or full), a
            directory written by ``mobile_vla convert``, or a plain Kosmos-2 directory (no head:
            image contexts only).
        backbone: the Kosmos-2 directory (tokenizer, configuration); by default the run file's
            ``model_path``, else ``pretrained`` beside the checkpoint.
        config: a run JSON (or its contents); by default the one inside the checkpoint, else
            ``config.json`` beside it.
        device: ``auto`` (a GPU when there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        dtype: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8`` (weights only); see
            ``precision.choose_precision``.

    Returns:
        The policy, ready for inference. The head computes in float32 always.

    Raises:
        CheckpointError: files are missing, damaged, or do not fit each other.
        PolicyError: device or dtype cannot be had, or memory does not suffice.
    """
    place = formats.choose_device(device)
    if str(dtype) not in ("auto", "int8"):
        # A wrong word is refused before a long load.
        formats.choose_precision(dtype, place, 0)
    if str(dtype) == "int8":
        require_int8()
    plan = plan_loading(checkpoint, backbone, config)
    plan.check()
    chosen = formats.choose_precision(dtype, place, plan.parameters)
    _warn_of_slow_formats(chosen, place)
    prompts = prompt_reader(plan) if plan.config.head is not None else None
    formats.check_room(_weight_bytes(plan, chosen), place)
    fill(plan, place, chosen)
    return Policy(
        model=plan.model,
        config=plan.config,
        prompts=prompts,
        provenance=plan.checkpoint.provenance,
        coverage=plan.coverage,
        adapters=plan.adapters,
        device=place,
        precision=chosen,
    )


def _warn_of_slow_formats(precision: Precision, device: torch.device) -> None:
    """Says so when this processor is slow in what was asked for."""
    if device.type != "cpu":
        return
    slow = this_processor().slow(str(precision.compute).removeprefix("torch."))
    if slow:
        log.warning("%s", slow)
    if precision.quantised:
        log.warning(
            "dtype int8 in torch saves memory, not time; `mobile_vla convert --onnx --dtype int8` "
            "makes a directory that is small and fast"
        )


def prompt_reader(plan: LoadPlan) -> PromptReader:
    """The tokenizer of the plan's backbone.

    Raises:
        CheckpointError: there is none.
    """
    return reader_for(
        read_tokenizer(plan.tokenizer), str(plan.tokenizer), plan.kosmos, plan.config
    )


def reader_for(
    tokenizer: Tokenizer, source: str, kosmos: Any, config: PolicyConfig
) -> PromptReader:
    """A tokenizer set up for a backbone's ids, vocabulary and longest sequence."""
    text = kosmos.text_config
    room = text.max_position_embeddings - kosmos.latent_query_num - config.latent
    return PromptReader(
        tokenizer,
        source,
        begin=text.bos_token_id,
        end=text.eos_token_id,
        vocabulary=text.vocab_size,
        longest=min(config.max_text_len, room),
    )


def fill(plan: LoadPlan, device: torch.device, precision: Precision) -> None:
    """Reads, merges, casts and places every weight; at most one is held twice at a time.

    Raises:
        CheckpointError: a weight holds NaN or infinity.
    """
    model = plan.model
    # A converted directory is written once and never changed, so its file may stay mapped in
    # place of a copy; a training run overwrites its checkpoints.
    mapped = plan.checkpoint.kind == "converted"
    for module, names in _by_module(plan):
        for parameter, name in names:
            dtype = torch.float32 if name.startswith("act_head.") else precision.compute
            value = plan.read(module, name)
            if not (mapped and device.type == "cpu" and value.dtype == dtype):
                value = _placed(value, device, dtype)
            if not is_finite(value):
                raise CheckpointError(
                    f"{plan.checkpoint.path}: the weight {name} holds NaN or infinity"
                    + ("" if dtype != torch.float16 else " in float16")
                )
            setattr(module, parameter, nn.Parameter(value, requires_grad=False))
        if precision.quantised and _is_quantisable(module, names):
            to_int8(cast(nn.Linear, module))
            return_freed_memory()
    rebuild_buffers(model, device, precision.compute)
    return_freed_memory()


def _is_quantisable(module: nn.Module, names: list[tuple[str, str]]) -> bool:
    """Linear layers of the backbone; the head is small, and it decides the velocities."""
    return isinstance(module, nn.Linear) and names[0][1].startswith("backbone.")


def _by_module(plan: LoadPlan) -> list[tuple[nn.Module, list[tuple[str, str]]]]:
    grouped: dict[int, tuple[nn.Module, list[tuple[str, str]]]] = {}
    for module, parameter, name in plan.weights():
        grouped.setdefault(id(module), (module, []))[1].append((parameter, name))
    return list(grouped.values())


def _placed(value: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy on the device in the dtype; the cast happens before the transfer if it shrinks."""
    if device.type == "cpu":
        # `to` may return the mapped file itself.
        return torch.empty(value.shape, dtype=dtype).copy_(value)
    if value.dtype.itemsize > dtype.itemsize:
        value = value.to(dtype)
    return value.to(device, dtype)


def is_finite(value: Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    # NaN and infinity both come through to the extremes, which cost far less than a mask.
    low, high = value.aminmax()
    return bool(torch.isfinite(low) & torch.isfinite(high))


def _weight_bytes(plan: LoadPlan, precision: Precision) -> int:
    size = 0
    for module, parameter, name in plan.weights():
        count = getattr(module, parameter).numel()
        if name.startswith("act_head."):
            size += count * 4
        elif precision.quantised and isinstance(module, nn.Linear) and parameter != "bias":
            size += count
        else:
            size += count * precision.compute.itemsize
    return size
