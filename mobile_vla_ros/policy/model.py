"""The network: Kosmos-2, the action token and the action head, named as RoboVLMs names them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy import frame_pass
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.frame_pass import AttentionMaps, Prompt
from mobile_vla_ros.policy.heads import KINDS
from mobile_vla_ros.policy.heads.network import ActionHead
from mobile_vla_ros.policy.kosmos import Kosmos2Config, Kosmos2Model


class PolicyModel(nn.Module):
    """``backbone`` (a ``Kosmos2Model``: no language-model head), ``action_token``, ``act_head``.

    The names of its parameters are those of a RoboVLMs checkpoint without the leading
    ``model.``. Without a head, ``act_head`` and ``action_token`` are None.

    Args:
        kosmos: configuration of the backbone.
        config: what the policy was trained with.
    """

    action_token: nn.Parameter | None

    def __init__(self, kosmos: Any, config: PolicyConfig) -> None:
        super().__init__()
        self.backbone: Any = Kosmos2Model(kosmos)
        # Some versions of transformers 4 leave this unset, and then compute it causally.
        self.backbone.image_to_text_projection.x_attn.is_causal = False
        self.act_head: ActionHead | None = None
        self.action_token = None
        self.latent = config.latent
        if config.head is not None:
            width = kosmos.text_config.embed_dim
            self.action_token = nn.Parameter(torch.empty(width))
            self.act_head = ActionHead(
                KINDS[config.head],
                width * config.latent,
                config.hidden_size,
                config.num_layers,
                config.chunk_size,
                config.dof,
            )

    def context(self, pixels: Tensor, maps: AttentionMaps | None = None) -> Tensor:
        """Pixels [N, 3, S, S] to the image context [N, 64, D]."""
        return frame_pass.image_context(self.backbone, pixels, maps)

    def prompt(self, instruction: str, ids: list[int], length: int | None = None) -> Prompt:
        """Embeds an instruction once; ``length`` pads it after the action tokens."""
        assert self.action_token is not None
        return frame_pass.prepare_prompt(
            self.backbone, self.action_token, instruction, ids, latent=self.latent, length=length
        )

    def features(
        self, context: Tensor, prompt: Prompt, maps: AttentionMaps | None = None
    ) -> Tensor:
        """Image context [N, 64, D] to the features at the action tokens [N, latent, D]."""
        return frame_pass.action_features(self.backbone, prompt, context, maps)

    def plain_features(
        self, context: Tensor, ids: list[int] | Tensor, *, logits: bool = False
    ) -> Tensor:
        """The same features through transformers' own forward of the text model.

        ``ids`` are one prompt's for all frames, or [N, L], one row for each.

        This is the original way: ``</s>`` is computed too, and with ``logits`` the whole
        language-model head (its weights are the embedding table). It is what the lean pass is
        measured against, and what dropout acts on in training.
        """
        assert self.action_token is not None
        text = self.backbone.text_model.model
        words = text.embed_tokens(torch.as_tensor(ids, device=context.device))
        batch = len(context)
        spread = words.expand(batch, -1, -1)
        embeds = torch.cat(
            [
                spread[:, :1],
                context.to(words.dtype),
                spread[:, 1:-1],
                self.action_token.to(words.dtype).expand(batch, self.latent, -1),
                spread[:, -1:],
            ],
            dim=1,
        )
        hidden = text(inputs_embeds=embeds, use_cache=False).last_hidden_state
        if logits:
            nn.functional.linear(hidden, text.embed_tokens.weight)
        return hidden[:, -1 - self.latent : -1]

    def plain_context(self, pixels: Tensor) -> Tensor:
        """The image context through transformers' own forward of the vision model."""
        vision = self.backbone.vision_model.model
        weight = vision.embeddings.patch_embedding.weight
        hidden = vision(pixel_values=pixels.to(weight.dtype)).last_hidden_state
        hidden = nn.functional.normalize(vision.post_layernorm(hidden), dim=-1)
        return self.backbone.image_to_text_projection(hidden)[0]


def kosmos_config(values: Mapping[str, Any], source: str) -> Kosmos2Config:
    """The backbone's configuration from the contents of its ``config.json``.

    Raises:
        CheckpointError: it is not Kosmos-2's.
    """
    if values.get("model_type") != "kosmos-2":
        raise CheckpointError(
            f"{source} is of model type {values.get('model_type')!r}, not 'kosmos-2'"
        )
    try:
        config = Kosmos2Config(
            text_config=dict(values.get("text_config") or {}),
            vision_config=dict(values.get("vision_config") or {}),
            latent_query_num=values.get("latent_query_num", 64),
        )
    # transformers checks the values with an exception of its own in each of its versions.
    except Exception as error:
        raise CheckpointError(
            f"{source} is not a usable Kosmos-2 configuration: {' '.join(str(error).split())}"
        ) from error
    _check_text(config.text_config, config.latent_query_num, source)
    return config


def _check_text(text: Any, image_tokens: int, source: str) -> None:
    for key in ("pad_token_id", "bos_token_id", "eos_token_id"):
        value = getattr(text, key)
        if not isinstance(value, int) or not 0 <= value < text.vocab_size:
            raise CheckpointError(
                f"{source} is not a usable Kosmos-2 configuration: {key} {value} is not one of "
                f"its {text.vocab_size} tokens"
            )
    if text.max_position_embeddings <= image_tokens:
        raise CheckpointError(
            f"{source} is not a usable Kosmos-2 configuration: {text.max_position_embeddings} "
            f"positions leave no room for {image_tokens} image tokens and a prompt"
        )


def empty_model(kosmos: Kosmos2Config, config: PolicyConfig) -> PolicyModel:
    """The network on the meta device: shapes without memory."""
    with torch.device("meta"):
        return PolicyModel(kosmos, config).eval()


def rebuild_buffers(model: PolicyModel, device: torch.device, dtype: torch.dtype) -> None:
    """Computes the buffers no checkpoint holds: vision position ids and sinusoidal positions.

    On a model made on the meta device they would otherwise stay empty.
    """
    embeddings = model.backbone.vision_model.model.embeddings
    ids = torch.arange(embeddings.num_positions, device=device).expand((1, -1))
    embeddings.register_buffer("position_ids", ids, persistent=False)
    table = model.backbone.text_model.model.embed_positions
    # The empty table has the right length; older versions of transformers note it nowhere else.
    weights = table.get_embedding(len(table.weights), table.embedding_dim, table.padding_idx)
    table.register_buffer("weights", weights.to(device, dtype), persistent=False)
