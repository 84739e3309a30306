"""Kosmos-2's classes in transformers, imported in one place and without noise."""

from __future__ import annotations

from typing import Any

from mobile_vla_ros.policy.quiet import quiet_imports

with quiet_imports():
    from transformers.models.kosmos2.configuration_kosmos2 import Kosmos2Config
    from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2Model

__all__ = ["Kosmos2Config", "Kosmos2Model", "backbone_sizes"]


def backbone_sizes(config: Any) -> dict[str, int]:
    """What a runtime without transformers wants to know of a backbone.

    Returns:
        ``width``, ``tokens`` (of an image), ``image_size``, ``patches`` (class token included),
        ``begin`` and ``end`` (token ids), ``vocabulary``, ``positions``, and the layers, width
        and inner width of both models.
    """
    text, vision = config.text_config, config.vision_config
    return {
        "width": text.embed_dim,
        "tokens": config.latent_query_num,
        "image_size": vision.image_size,
        "patches": (vision.image_size // vision.patch_size) ** 2 + 1,
        "begin": text.bos_token_id,
        "end": text.eos_token_id,
        "vocabulary": text.vocab_size,
        "positions": text.max_position_embeddings,
        "text_layers": text.layers,
        "text_inner": text.ffn_dim,
        "vision_layers": vision.num_hidden_layers,
        "vision_width": vision.hidden_size,
        "vision_inner": vision.intermediate_size,
    }
