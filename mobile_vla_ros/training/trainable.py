"""Which weights move, and what they are part of."""

from __future__ import annotations

import warnings

from torch import nn

from mobile_vla_ros.policy.model import PolicyModel
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError

HEAD = "head"
ADAPTERS = "adapters"
BACKBONE = "backbone"
TOKEN = "action token"
AUXILIARY = "auxiliary heads"


def attach_adapters(model: PolicyModel, run: RunConfig) -> list[str]:
    """Puts peft's LoRA adapters on the backbone's linear layers, all or as listed.

    Returns:
        The names of the modules that carry one.

    Raises:
        RunError: a listed name fits no linear layer.
    """
    from peft import LoraConfig, get_peft_model

    linear = [
        name for name, module in model.backbone.named_modules() if isinstance(module, nn.Linear)
    ]
    targets = linear
    if run.setup.lora_modules:
        for wanted in run.setup.lora_modules:
            if not any(_names(wanted, name) for name in linear):
                raise RunError(
                    f"train_setup.lora_modules: '{wanted}' is no linear layer of the backbone; "
                    f"give names such as q_proj, fc1, text_model or vision_model."
                )
        targets = [
            name
            for name in linear
            if any(_names(wanted, name) for wanted in run.setup.lora_modules)
        ]
    settings = LoraConfig(
        r=run.setup.lora_r,
        lora_alpha=run.setup.lora_alpha,  # type: ignore[arg-type]
        lora_dropout=run.setup.lora_dropout,
        bias=run.setup.lora_bias,
        target_modules=targets,
    )
    with warnings.catch_warnings():
        # peft asks transformers 5 by the name that transformers 4 used; the answer is the same.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        model.backbone = get_peft_model(model.backbone, settings)
    return targets


def choose_trainable(model: PolicyModel, run: RunConfig) -> None:
    """Sets `requires_grad` of every parameter as the run file says."""
    setup = run.setup
    if setup.lora_enable:
        for name, parameter in model.backbone.named_parameters():
            biases = setup.lora_bias == "all" and name.endswith("bias")
            parameter.requires_grad_("lora_" in name or biases)
    else:
        model.backbone.requires_grad_(not setup.freeze_backbone)
        model.backbone.vision_model.requires_grad_(setup.train_vision)
    words = model.backbone.text_model.model.embed_tokens
    words.requires_grad_(setup.train_text_embedding and not setup.lora_enable)
    if model.action_token is not None:
        model.action_token.requires_grad_(setup.train_action_token)
    if model.act_head is not None:
        model.act_head.requires_grad_(True)


def kind_of(name: str) -> str:
    """What a parameter is part of, by its name."""
    if name.startswith("auxiliary."):
        return AUXILIARY
    if name.startswith("model.act_head."):
        return HEAD
    if name == "model.action_token":
        return TOKEN
    return ADAPTERS if "lora_" in name else BACKBONE


def _names(wanted: str, name: str) -> bool:
    return name == wanted or name.endswith(f".{wanted}") or name.startswith(f"{wanted}.")
