"""Policies with random weights in several sizes, for tests, benchmarks and training from nothing.

A random full-size Kosmos-2 costs as much to load and to run as the real one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    processors,
    trainers,
)
from torch import Tensor, nn

from mobile_vla_ros.policy import precision as formats
from mobile_vla_ros.policy.config import PolicyConfig, policy_config
from mobile_vla_ros.policy.filling import reader_for
from mobile_vla_ros.policy.heads import DRIVING_HEAD, KINDS
from mobile_vla_ros.policy.kosmos import Kosmos2Config
from mobile_vla_ros.policy.model import PolicyModel, empty_model, rebuild_buffers
from mobile_vla_ros.policy.plan import Coverage
from mobile_vla_ros.policy.policy import Policy
from mobile_vla_ros.policy.provenance import Provenance

# size -> (text width, layers, feed-forward, heads), (vision width, layers, feed-forward, heads)
SIZES: dict[str, tuple[tuple[int, int, int, int], tuple[int, int, int, int]]] = {
    "tiny": ((64, 2, 128, 4), (32, 2, 64, 2)),
    "small": ((256, 4, 1024, 8), (192, 4, 768, 6)),
    "medium": ((768, 8, 3072, 12), (384, 8, 1536, 6)),
    "full": ((2048, 24, 8192, 32), (1024, 24, 4096, 16)),
}
VOCABULARY = {"full": 65_037}
SMALL_VOCABULARY = 1_095
HIDDEN = {"tiny": 48, "small": 128, "medium": 256, "full": 512}
CHECKPOINT_NAME = "epoch_epoch=09-val_loss=val_loss=0.013.ckpt"
ARM_CHECKPOINT_NAME = "kosmos_ph_oxe-pretrain.pt"

# Sentences the random models' tokenizer learns its words from; any other text falls to bytes.
SENTENCES = (
    "An image of a robot",
    "Navigate around obstacles and reach the front of the beverage bottle on the left",
    "Navigate around obstacles and reach the front of the beverage bottle on the right",
    "Go straight to the bottle, turn, stop, drive slowly past one box or two boxes",
)


def kosmos_of(size: str) -> Kosmos2Config:
    """The configuration of a backbone: ``tiny``, ``small``, ``medium`` or ``full`` (1.66 B)."""
    text, vision = SIZES[size]
    return Kosmos2Config(
        text_config={
            "vocab_size": VOCABULARY.get(size, SMALL_VOCABULARY),
            "max_position_embeddings": 2048 if size == "full" else 512,
            "embed_dim": text[0],
            "layers": text[1],
            "ffn_dim": text[2],
            "attention_heads": text[3],
        },
        vision_config={
            "hidden_size": vision[0],
            "num_hidden_layers": vision[1],
            "intermediate_size": vision[2],
            "num_attention_heads": vision[3],
        },
        latent_query_num=64,
    )


def run_of(size: str, **changes: Any) -> dict[str, Any]:
    """A run file for a random policy, in RoboVLMs' layout.

    Args:
        size: of the backbone.
        changes: ``head`` (``MobileVLALSTMDecoder`` or ``LSTMDecoder``), ``hidden_size``,
            ``num_layers``, ``latent``, ``window_size``, ``chunk_size``, ``dof``, ``norm_min``,
            ``norm_max``, ``lora_r``, ``lora_alpha``; anything else becomes a key of its own.
    """
    head = changes.pop("head", DRIVING_HEAD)
    window = changes.pop("window_size", 8)
    chunk = changes.pop("chunk_size", 10)
    rank = changes.pop("lora_r", None)
    return {
        "robovlm_name": "RoboKosMos",
        "model": "kosmos",
        "image_size": 224,
        "window_size": window,
        "fwd_pred_next_n": chunk,
        "use_hand_rgb": False,
        "model_path": "pretrained",
        "model_load_path": None,
        "train_setup": {
            "freeze_backbone": True,
            "lora_enable": rank is not None,
            "lora_r": rank or 64,
            "lora_alpha": changes.pop("lora_alpha", 16),
            "lora_dropout": 0.1,
            "lora_bias": "none",
        },
        "act_head": {
            "type": head,
            "hidden_size": changes.pop("hidden_size", HIDDEN[size]),
            "action_dim": changes.pop("dof", len(KINDS[head].axes) or 2),
            "down_sample": "none",
            "latent": changes.pop("latent", 1),
            "fwd_pred_next_n": chunk,
            "window_size": window,
            "action_space": "continuous",
            "with_history": True,
            "history_type": "post",
            "num_layers": changes.pop("num_layers", 4),
        },
        "norm_action": True,
        "norm_min": changes.pop("norm_min", -1.15),
        "norm_max": changes.pop("norm_max", 1.15),
        **changes,
    }


def random_policy(
    size: str = "tiny",
    seed: int = 0,
    *,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    **changes: Any,
) -> Policy:
    """A policy with random weights, made in memory; no file is read or written.

    Args:
        size: ``tiny`` (0.2 M values), ``small`` (5 M), ``medium`` (73 M) or ``full`` (1.66 B).
        seed: of the weights.
        device: as in ``load_policy``.
        dtype: as in ``load_policy``, but for ``int8``.
        changes: as in ``run_of``.
    """
    place = formats.choose_device(device)
    model, config, kosmos = _random_model(size, run_of(size, **changes))
    chosen = formats.choose_precision(dtype, place, sum(w.numel() for w in model.parameters()))
    formats.check_room(sum(w.numel() for w in model.parameters()) * chosen.compute.itemsize, place)
    _fill_randomly(model, seed, place, chosen.compute)
    rebuild_buffers(model, place, chosen.compute)
    source = Path(f"random {size} policy")
    return Policy(
        model=model,
        config=config,
        prompts=reader_for(random_tokenizer(), str(source), kosmos, config),
        provenance=Provenance(source=source, kind="random", weights=source),
        coverage=Coverage(len(model.state_dict()), (), (), ()),
        adapters=None,
        device=place,
        precision=chosen,
    )


def random_kosmos2(
    directory: str | Path, size: str = "tiny", seed: int = 0, dtype: torch.dtype = torch.float32
) -> Path:
    """Writes a Kosmos-2 directory with random weights: config, weights, tokenizer, preprocessor.

    Returns:
        The directory.
    """
    directory = Path(directory)
    model, _, kosmos = _random_model(size, run_of(size))
    _fill_randomly(model, seed, torch.device("cpu"), dtype)
    write_backbone_files(directory, kosmos)
    state = {
        name.removeprefix("backbone."): value
        for name, value in model.state_dict().items()
        if name.startswith("backbone.")
    }
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    return directory


def write_random_checkpoint(
    directory: str | Path,
    size: str = "tiny",
    seed: int = 0,
    *,
    kind: str = "lightning",
    name: str | None = None,
    prefix: str = "model.",
    container: str = "state_dict",
    dtype: torch.dtype = torch.float32,
    adapted: Callable[[str], bool] | None = None,
    hyper_parameters: bool = True,
    run_file: bool = True,
    extra: Mapping[str, Any] | None = None,
    **changes: Any,
) -> Path:
    """Writes a checkpoint with random weights as RoboVLMs or Lightning would.

    Beside it go ``pretrained/`` (configuration, tokenizer and preprocessor, without weights) and
    ``config.json``.

    Args:
        directory: made if needed.
        size: of the backbone.
        seed: of the weights.
        kind: ``lightning`` (``.ckpt``) or ``robovlms`` (``.pt``).
        name: file name.
        prefix: what stands before ``backbone.``, ``act_head.`` and ``action_token``.
        container: the key of the weights, ``state_dict`` or ``model_state_dict``.
        dtype: of the weights.
        adapted: says of a linear layer's name (``text_model.model.layers.0.ffn.fc1``) whether it
            carries a LoRA adapter; give ``lora_r`` too.
        hyper_parameters: whether a Lightning file holds its run file.
        run_file: whether ``config.json`` is written.
        extra: the ``mobile_vla`` entry of the checkpoint.
        changes: as in ``run_of``.

    Returns:
        The checkpoint file.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    run = run_of(size, **changes)
    model, _, kosmos = _random_model(size, run)
    _fill_randomly(model, seed, torch.device("cpu"), dtype, head=dtype)
    write_backbone_files(directory / "pretrained", kosmos)
    if run_file:
        (directory / "config.json").write_text(json.dumps(run, indent=1), encoding="utf-8")
    state = {
        f"{prefix}{key}": value for key, value in _checkpoint_state(model, adapted, run, seed)
    }
    content: dict[str, Any] = {container: state}
    if kind == "lightning":
        content = {
            "epoch": 9,
            "global_step": 1230,
            "pytorch-lightning_version": "2.4.0",
            container: state,
            "optimizer_states": [],
        }
        if hyper_parameters:
            content["hparams_name"] = "configs"
            content["hyper_parameters"] = {"configs": run}
    if extra is not None:
        content["mobile_vla"] = dict(extra)
    path = directory / (name or (CHECKPOINT_NAME if kind == "lightning" else ARM_CHECKPOINT_NAME))
    torch.save(content, path)
    return path


def write_backbone_files(directory: Path, kosmos: Kosmos2Config) -> None:
    """Writes what a Kosmos-2 directory holds beside its weights."""
    directory.mkdir(parents=True, exist_ok=True)
    kosmos.save_pretrained(directory)
    random_tokenizer().save(str(directory / "tokenizer.json"))
    (directory / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}),
        encoding="utf-8",
    )
    (directory / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "CLIPImageProcessor", "size": {"shortest_edge": 224}}),
        encoding="utf-8",
    )


def random_tokenizer() -> Tokenizer:
    """A small tokenizer laid out like Kosmos-2's: ``<s>`` 0, ``<pad>`` 1, ``</s>`` 2."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    tokenizer.add_special_tokens([AddedToken("<grounding>", normalized=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def _random_model(
    size: str, run: Mapping[str, Any]
) -> tuple[PolicyModel, PolicyConfig, Kosmos2Config]:
    kosmos = kosmos_of(size)
    section = run["act_head"]
    width = SIZES[size][0][0]
    shape = KINDS[section["type"]].shape(
        section["hidden_size"],
        section["num_layers"],
        width * section["latent"],
        run["fwd_pred_next_n"],
        section["action_dim"],
    )
    config = policy_config(run, head=shape, width=width, name=f"the random {size} policy")
    return empty_model(kosmos, config), config, kosmos


def _fill_randomly(
    model: PolicyModel,
    seed: int,
    device: torch.device,
    dtype: torch.dtype,
    head: torch.dtype = torch.float32,
) -> None:
    """Weights that keep the variance of what passes through, so that outputs differ by input."""
    generator = torch.Generator().manual_seed(seed)
    for module_name, module in model.named_modules():
        kind = head if module_name.startswith("act_head") else dtype
        for name, weight in list(module.named_parameters(recurse=False)):
            value = torch.empty(weight.shape, dtype=kind)
            value.normal_(0, _spread(module, name, weight), generator=generator)
            if isinstance(module, nn.LayerNorm) and name == "weight":
                value.add_(1)
            setattr(module, name, nn.Parameter(value.to(device), requires_grad=False))


def _spread(module: nn.Module, name: str, weight: Tensor) -> float:
    if name.startswith("bias") or isinstance(module, nn.LayerNorm):
        return 0.02
    if isinstance(module, nn.LSTM):
        return 1 / math.sqrt(weight.shape[-1])
    if name in ("latent_query", "class_embedding", "action_token"):
        return 1.0 if name == "latent_query" else 1 / math.sqrt(weight.shape[-1])
    fan_in = math.prod(weight.shape[1:]) or 1
    return 1 / math.sqrt(fan_in)


def _checkpoint_state(
    model: PolicyModel,
    adapted: Callable[[str], bool] | None,
    run: Mapping[str, Any],
    seed: int,
) -> list[tuple[str, Tensor]]:
    """Names and values as a checkpoint holds them, language-model head and adapters included."""
    state = dict(model.state_dict())
    state["backbone.text_model.lm_head.weight"] = state[
        "backbone.text_model.model.embed_tokens.weight"
    ]
    if adapted is None:
        return list(state.items())
    linear = {
        name for name, module in model.backbone.named_modules() if isinstance(module, nn.Linear)
    }
    rank = run["train_setup"]["lora_r"]
    generator = torch.Generator().manual_seed(seed + 1)
    named = []
    for key, value in state.items():
        if not key.startswith("backbone."):
            named.append((key, value))
            continue
        name = key.removeprefix("backbone.")
        owner, _, parameter = name.rpartition(".")
        start = f"backbone.base_model.model.{owner}"
        if owner not in linear or not adapted(owner):
            named.append((f"backbone.base_model.model.{name}", value))
            continue
        named.append((f"{start}.base_layer.{parameter}", value))
        if parameter == "weight":
            for part, shape in (("A", (rank, value.shape[1])), ("B", (value.shape[0], rank))):
                matrix = torch.empty(shape, dtype=value.dtype)
                matrix.normal_(0, 1 / math.sqrt(shape[1]), generator=generator)
                named.append((f"{start}.lora_{part}.default.weight", matrix))
    return named
