"""One frame through Kosmos-2, computing only what the action token's feature depends on.

The functions call the modules of a ``Kosmos2Model`` (transformers) one by one, so they also work
with adapters, quantised or packed layers in place of its linear layers, and gradients flow.
Compared with the model's own forward they leave out the language-model head and everything after
the action token, and in the last text layer all queries but the action token's. The text model is
causal, so the result is the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True)
class Prompt:
    """What does not change from frame to frame while an instruction stands.

    Attributes:
        instruction: the instruction.
        ids: token ids, ``<s>`` first, ``</s>`` last.
        base: [1, S, D] scaled embeddings plus positions of ``<s>``, the text and the action
            tokens; at the image's places the positions alone. [N, S, D] from ``together``.
        image_start: first of the image's places.
        action_index: [latent] places of the action tokens.
        action_mask: [latent, S] True where an action token may look, or None when it may look
            everywhere (a single action token at the very end).
    """

    instruction: str
    ids: tuple[int, ...]
    base: Tensor
    image_start: int
    action_index: Tensor
    action_mask: Tensor | None


@dataclass
class AttentionMaps:
    """Attention weights of one pass, kept on request, float32.

    Attributes:
        vision: per vision layer [N, heads, 257, 257].
        projection: [N, heads, 64, 257 + 64]: latent queries over patches and themselves.
        action: per text layer [N, heads, latent, S]: where the action token looks.
    """

    vision: list[Tensor] = field(default_factory=list)
    projection: Tensor | None = None
    action: list[Tensor] = field(default_factory=list)


def image_context(kosmos: Any, pixels: Tensor, maps: AttentionMaps | None = None) -> Tensor:
    """Pixels [N, 3, S, S] to the image context [N, 64, D].

    context = projection(normalize(post_layernorm(vision(pixels)))), as Kosmos-2 defines it.
    """
    vision = kosmos.vision_model.model
    embeddings = vision.embeddings
    weight = embeddings.patch_embedding.weight
    patches = embeddings.patch_embedding(pixels.to(weight.dtype)).flatten(2).transpose(1, 2)
    start = embeddings.class_embedding.expand(len(patches), 1, -1)
    hidden = torch.cat([start, patches], dim=1) + embeddings.position_embedding.weight
    hidden = vision.pre_layrnorm(hidden)
    for layer in vision.encoder.layers:
        normed = layer.layer_norm1(hidden)
        attended, weights = _attend(layer.self_attn, normed, normed, keep=maps is not None)
        if maps is not None:
            maps.vision.append(weights)
        hidden = _added(hidden, layer.self_attn.out_proj, attended)
        hidden = hidden + layer.mlp(layer.layer_norm2(hidden))
    hidden = functional.normalize(vision.post_layernorm(hidden), dim=-1)

    projection = kosmos.image_to_text_projection
    hidden = projection.dense(hidden)
    queries = projection.latent_query.expand(len(hidden), -1, -1)
    attended, weights = _attend(
        projection.x_attn, queries, torch.cat([hidden, queries], dim=1), keep=maps is not None
    )
    if maps is not None:
        maps.projection = weights
    return projection.x_attn.out_proj(attended)


def prepare_prompt(
    kosmos: Any,
    action_token: Tensor,
    instruction: str,
    ids: list[int],
    *,
    latent: int = 1,
    length: int | None = None,
) -> Prompt:
    """Embeds an instruction once: ``<s>``, room for the image, the text, the action tokens.

    ``</s>`` is left out, since nothing before it can look at it. ``length`` pads the sequence
    after the action tokens, for graphs of a fixed shape.
    """
    text = kosmos.text_model.model
    table = text.embed_tokens.weight
    tokens = kosmos.image_to_text_projection.latent_query.shape[0]
    device = table.device
    words = text.embed_tokens(torch.tensor(ids[:-1], device=device))
    used = len(words) + tokens + latent
    total = used if length is None else length
    rows = torch.zeros(total, table.shape[1], dtype=words.dtype, device=device)
    rows[0] = words[0]
    rows[1 + tokens : used - latent] = words[1:]
    rows[used - latent : used] = action_token.to(words.dtype)
    base = rows * text.embed_scale + positions(kosmos, total)
    index = torch.arange(used - latent, used, device=device)
    mask = None
    if latent > 1 or total > used:
        mask = torch.arange(total, device=device)[None] <= index[:, None]
    return Prompt(instruction, tuple(ids), base[None], 1, index, mask)


def together(prompts: Sequence[Prompt], frames: int) -> Prompt:
    """Prompts of as many tokens each as one, for ``frames`` frames of each after another.

    Args:
        prompts: P of them; none of them padded.
        frames: that each is said with.

    Returns:
        One with ``base`` [P * frames, S, D]; instruction and ids are the first one's.
    """
    if len({prompt.base.shape for prompt in prompts}) != 1:
        raise ValueError("prompts of different lengths do not go through together")
    if all(prompt is prompts[0] for prompt in prompts):
        return prompts[0]
    base = torch.cat([prompt.base for prompt in prompts]).repeat_interleave(frames, 0)
    return replace(prompts[0], base=base)


def positions(kosmos: Any, length: int) -> Tensor:
    """The text model's sinusoidal positions of the first ``length`` places, [length, D]."""
    text = kosmos.text_model.model
    table = text.embed_positions
    start = table.padding_idx + 1
    if start + length > len(table.weights):
        raise ValueError(f"a sequence of {length} is longer than the text model's positions")
    return table.weights[start : start + length].to(text.embed_tokens.weight.dtype)


def action_features(
    kosmos: Any, prompt: Prompt, context: Tensor, maps: AttentionMaps | None = None
) -> Tensor:
    """Image context [N, 64, D] and a prompt to the features at the action tokens [N, latent, D].

    The features are the text model's last hidden states after its final layer norm.
    """
    text = kosmos.text_model.model
    start, end = prompt.image_start, prompt.image_start + context.shape[1]
    scaled = context.to(prompt.base.dtype) * text.embed_scale
    batch = len(context)
    hidden = torch.cat(
        [
            prompt.base[:, :start].expand(batch, -1, -1),
            prompt.base[:, start:end] + scaled,
            prompt.base[:, end:].expand(batch, -1, -1),
        ],
        dim=1,
    )
    for layer in text.layers[:-1]:
        normed = layer.self_attn_layer_norm(hidden)
        attended, _ = _attend(layer.self_attn, normed, normed, causal=True)
        if maps is not None:
            maps.action.append(_action_weights(layer.self_attn, normed, prompt))
        hidden = _finish(layer, hidden, attended)
    layer = text.layers[-1]
    normed = layer.self_attn_layer_norm(hidden)
    attended, weights = _attend(
        layer.self_attn,
        normed.index_select(1, prompt.action_index),
        normed,
        mask=prompt.action_mask,
        keep=maps is not None,
    )
    if maps is not None:
        maps.action.append(weights)
    hidden = _finish(layer, hidden.index_select(1, prompt.action_index), attended)
    return text.layer_norm(hidden)


def _finish(layer: Any, hidden: Tensor, attended: Tensor) -> Tensor:
    """The rest of a text layer after its attention: inner norm, output, feed-forward."""
    attention = layer.self_attn
    hidden = _added(hidden, attention.out_proj, attention.inner_attn_ln(attended))
    feed = layer.ffn
    inner = feed.ffn_layernorm(feed.activation_fn(feed.fc1(layer.final_layer_norm(hidden))))
    return _added(hidden, feed.fc2, inner)


def _added(hidden: Tensor, linear: Any, values: Tensor) -> Tensor:
    """hidden + linear(values), in one step where the layer knows how."""
    at_once = getattr(linear, "added_to", None)
    return hidden + linear(values) if at_once is None else at_once(hidden, values)


def _projected(attention: Any, queries: Tensor, sources: Tensor) -> tuple[Tensor, ...]:
    """Queries, keys and values [N, heads, Q or K, D / heads]."""
    joined = getattr(attention, "qkv_proj", None)
    if joined is None:
        parts = (
            attention.q_proj(queries),
            attention.k_proj(sources),
            attention.v_proj(sources),
        )
    else:
        parts = joined(sources).chunk(3, -1)
        if queries is not sources:
            parts = (joined(queries).chunk(3, -1)[0], *parts[1:])
    heads = attention.num_heads
    return tuple(part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in parts)


def _attend(
    attention: Any,
    queries: Tensor,
    sources: Tensor,
    *,
    causal: bool = False,
    mask: Tensor | None = None,
    keep: bool = False,
) -> tuple[Tensor, Tensor]:
    """Multi-head attention up to (not including) its output projection.

    Returns:
        [N, Q, D], and the weights [N, heads, Q, K] in float32 if ``keep``, else an empty tensor.
    """
    query, key, value = _projected(attention, queries, sources)
    if keep:
        weights = _weights(query, key, mask)
        mixed = weights.to(value.dtype) @ value
    else:
        weights = query.new_empty(0)
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, is_causal=causal
        )
    return mixed.transpose(1, 2).flatten(2), weights


def _action_weights(attention: Any, normed: Tensor, prompt: Prompt) -> Tensor:
    query, key, _ = _projected(attention, normed.index_select(1, prompt.action_index), normed)
    return _weights(query, key, prompt.action_mask)


def _weights(query: Tensor, key: Tensor, mask: Tensor | None) -> Tensor:
    scores = query.float() @ key.float().transpose(-1, -2) * query.shape[-1] ** -0.5
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(-1)
