"""A small Kosmos-2 to train from nothing: the real architecture and files, two million weights.

The library's own initialisation (0.02 everywhere) is made for wide, deep, pretrained networks. In
a narrow one an object's place in the picture then hardly reaches the action token, and training
stalls; so every layer here starts at a width that keeps signals near one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import nn

from mobile_vla_ros.policy.config import CLIP_MEAN, CLIP_STD
from mobile_vla_ros.policy.prompt import TEMPLATE

WIDTH = 128
VOCABULARY = 512
TEXT_LAYERS = 2
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<grounding>")
SENTENCES = (
    "Navigate around obstacles and reach the front of the beverage bottle on the left",
    "Navigate around obstacles and reach the front of the beverage bottle on the right",
    "Go around the box on the left side and stop in front of the bottle",
    "Pass the boxes on the right, then drive to the bottle and stop",
    "장애물을 왼쪽으로 돌아 음료수 병 앞까지 가",
    "장애물을 오른쪽으로 돌아 음료수 병 앞까지 가",
)


def write_small_kosmos2(
    directory: str | Path,
    seed: int = 0,
    *,
    sentences: Sequence[str] = SENTENCES,
    vocabulary: int = VOCABULARY,
    text_layers: int = TEXT_LAYERS,
) -> Path:
    """Writes a fresh small Kosmos-2 directory: configuration, weights, tokenizer.

    Args:
        directory: made if missing.
        seed: decides the weights.
        sentences: the tokenizer knows their words whole, as far as the vocabulary reaches.
        vocabulary: tokens.
        text_layers: of the text model.

    Returns:
        The directory.
    """
    from transformers.models.kosmos2.configuration_kosmos2 import Kosmos2Config
    from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2Model

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    values = small_config(vocabulary, text_layers)
    kosmos = Kosmos2Model(
        Kosmos2Config(
            text_config=values["text_config"],
            vision_config=values["vision_config"],
            latent_query_num=values["latent_query_num"],
        )
    )
    widen(kosmos, torch.Generator().manual_seed(seed))
    state = {name: value.contiguous() for name, value in kosmos.state_dict().items()}
    save_file(state, directory / "model.safetensors", metadata={"format": "pt"})
    for name, content in (
        ("config.json", values),
        ("preprocessor_config.json", _preprocessor()),
        (
            "tokenizer_config.json",
            {
                "tokenizer_class": "PreTrainedTokenizerFast",
                "bos_token": "<s>",
                "eos_token": "</s>",
            },
        ),
    ):
        (directory / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    small_tokenizer(sentences, vocabulary).save(str(directory / "tokenizer.json"))
    return directory


def small_config(vocabulary: int = VOCABULARY, text_layers: int = TEXT_LAYERS) -> dict[str, Any]:
    """Contents of `config.json`."""
    return {
        "architectures": ["Kosmos2ForConditionalGeneration"],
        "model_type": "kosmos-2",
        "latent_query_num": 18,
        "text_config": {
            "model_type": "kosmos_2_text_model",
            "vocab_size": vocabulary,
            "max_position_embeddings": 320,
            "embed_dim": WIDTH,
            "layers": text_layers,
            "ffn_dim": 2 * WIDTH,
            "attention_heads": 4,
            "activation_function": "gelu",
            "dropout": 0.0,
            "attention_dropout": 0.0,
            "activation_dropout": 0.0,
            "layerdrop": 0.0,
            "layer_norm_eps": 1e-5,
            "init_std": 0.02,
            "scale_embedding": True,
            "use_cache": True,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
        },
        "vision_config": {
            "model_type": "kosmos_2_vision_model",
            "hidden_size": WIDTH,
            "intermediate_size": 2 * WIDTH,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_channels": 3,
            "image_size": 224,
            "patch_size": 28,
            "hidden_act": "quick_gelu",
            "layer_norm_eps": 1e-5,
            "attention_dropout": 0.0,
        },
    }


@torch.no_grad()
def widen(kosmos: nn.Module, generator: torch.Generator) -> None:
    """Draws every weight so that what passes through a layer keeps a size near one."""
    for name, weight in kosmos.named_parameters():
        if name.endswith("embed_tokens.weight"):
            std = weight.shape[1] ** -0.5  # the text model multiplies by the root of its width
        elif "position_embedding" in name or "class_embedding" in name:
            std = 0.3
        elif "latent_query" in name or name.endswith("projection.dense.weight"):
            # The vision output is normalised to length one, each value about a tenth of that.
            std = 1.0
        elif weight.dim() < 2:
            continue  # biases stay zero, layer norms one
        else:
            std = weight[0].numel() ** -0.5
            if "out_proj" in name or "fc2" in name:
                std /= 2  # they add to the residual stream
        weight.normal_(0, std, generator=generator)


def small_tokenizer(
    sentences: Sequence[str] = SENTENCES, vocabulary: int = VOCABULARY
) -> Tokenizer:
    """A byte-level tokenizer: whole words of these sentences, any other text in pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    plain = TEMPLATE.replace("<grounding>", "")
    tokenizer.train_from_iterator(
        [plain.format(instruction=sentence) for sentence in sentences] * 2, trainer
    )
    return tokenizer


def _preprocessor() -> dict[str, Any]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": 224},
        "crop_size": {"height": 224, "width": 224},
        "resample": 3,
        "image_mean": list(CLIP_MEAN),
        "image_std": list(CLIP_STD),
        "use_square_size": True,
    }
