"""The graphs of ``frame_pass.prepare_prompt`` and ``frame_pass.action_features``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from onnx import TensorProto

from mobile_vla_ros.policy.export.graph import TO_THE_END, Graph

TEXT = "model.backbone.text_model.model."
# Softmax gives exactly 0 for it in float32, and float16 still has it.
HIDDEN = -6e4


def add_prompt(graph: Graph, kosmos: Any, text: Any, latent: int) -> None:
    """Input ``ids`` [L], ``</s>`` left out; output ``base`` [1, S, D], S = L + tokens + latent.

    The base holds scaled embeddings plus positions of ``<s>``, the text and the action tokens; at
    the image's places the positions alone.
    """
    width, tokens = kosmos.text_config.embed_dim, kosmos.latent_query_num
    scale = graph.number(_scale(text, width))
    ids = graph.input("ids", ["L"], TensorProto.INT64)
    # Only the rows looked up are cast, never the table.
    words = graph.op("Gather", graph.stored(TEXT + "embed_tokens.weight"), ids, axis=0)
    words = graph.op("Cast", words, to=TensorProto.FLOAT)
    first = graph.cut(words, graph.whole(0), graph.whole(1), 0)
    rest = graph.cut(words, graph.whole(1), graph.whole(TO_THE_END), 0)
    room = graph.op("Expand", graph.number(0.0), graph.whole(tokens, width))
    action = graph.op("Expand", graph.weight("model.action_token"), graph.whole(latent, width))
    rows = graph.op("Mul", graph.join(first, room, rest, action), scale)
    start = text.embed_positions.padding_idx + 1
    length = graph.op("Add", graph.size(ids, 0), graph.whole(tokens + latent))
    places = graph.op(
        "Range",
        graph.array(np.array(start), "first_place"),
        graph.op("Squeeze", graph.op("Add", length, graph.whole(start))),
        graph.array(np.array(1), "one_place"),
    )
    places = graph.op("Cast", places, to=TensorProto.FLOAT)
    angles = graph.op(
        "Mul",
        graph.op("Reshape", places, graph.whole(-1, 1)),
        graph.array(_frequencies(width), "frequencies"),
    )
    positions = graph.join(graph.op("Sin", angles), graph.op("Cos", angles), axis=1)
    base = graph.op("Unsqueeze", graph.op("Add", rows, positions), graph.whole(0))
    graph.output(base, "base", [1, "S", width])


def add_text(graph: Graph, kosmos: Any, text: Any, latent: int) -> None:
    """Inputs ``context`` [N, tokens, D] and ``base`` [1, S, D]; output ``features``.

    The features are [N, latent, D].
    """
    settings = kosmos.text_config
    width, tokens = settings.embed_dim, kosmos.latent_query_num
    context = graph.cast(graph.input("context", ["N", tokens, width]))
    base = graph.cast(graph.input("base", [1, "S", width]))
    batch, length = graph.size(context, 0), graph.size(base, 1)
    hidden = _embedded(graph, context, base, tokens, width, _scale(text, width), batch)
    hidden = graph.rows(hidden, width)
    mask = _causal_mask(graph, length)
    heads = settings.attention_heads
    last = len(text.layers) - 1
    # Spelled out, as -1 may stand once in a shape.
    shape = graph.join(batch, length, graph.whole(heads, width // heads))
    for index, layer in enumerate(text.layers):
        name = f"{TEXT}layers.{index}."
        attention = name + "self_attn."
        normed = graph.layer_norm(
            hidden, name + "self_attn_layer_norm", layer.self_attn_layer_norm.eps
        )
        asking, shapes, seen = normed, (shape, shape), mask
        if index == last:
            hidden = _last_rows(graph, hidden, batch, length, latent, width)
            asking = _last_rows(graph, normed, batch, length, latent, width)
            few = graph.join(batch, graph.whole(latent, heads, width // heads))
            shapes = (few, shape)
            seen = graph.cut(mask, graph.whole(-latent), graph.whole(TO_THE_END), 0)
        attended = graph.attend(
            graph.linear(asking, attention + "q_proj"),
            graph.linear(normed, attention + "k_proj"),
            graph.linear(normed, attention + "v_proj"),
            heads=heads,
            width=width,
            shapes=shapes,
            mask=seen,
        )
        hidden = _finish(graph, hidden, attended, name, layer, settings.activation_function)
    hidden = graph.layer_norm(hidden, TEXT + "layer_norm", text.layer_norm.eps)
    features = graph.op("Reshape", hidden, graph.whole(-1, latent, width))
    graph.output(features, "features", ["N", latent, width])


def _finish(
    graph: Graph, hidden: str, attended: str, name: str, layer: Any, activation: str
) -> str:
    attention = name + "self_attn."
    if graph.has(attention + "inner_attn_ln.weight"):
        eps = layer.self_attn.inner_attn_ln.eps
        attended = graph.layer_norm(attended, attention + "inner_attn_ln", eps)
    hidden = graph.op("Add", hidden, graph.linear(attended, attention + "out_proj"))
    normed = graph.layer_norm(hidden, name + "final_layer_norm", layer.final_layer_norm.eps)
    inner = graph.activation(graph.linear(normed, name + "ffn.fc1"), activation)
    inner = graph.layer_norm(inner, name + "ffn.ffn_layernorm", layer.ffn.ffn_layernorm.eps)
    return graph.op("Add", hidden, graph.linear(inner, name + "ffn.fc2"))


def _embedded(
    graph: Graph, context: str, base: str, tokens: int, width: int, scale: float, batch: str
) -> str:
    scaled = graph.op("Mul", context, graph.number(scale))
    before = graph.cut(base, graph.whole(0), graph.whole(1), 1)
    at = graph.cut(base, graph.whole(1), graph.whole(1 + tokens), 1)
    after = graph.cut(base, graph.whole(1 + tokens), graph.whole(TO_THE_END), 1)
    rest = graph.join(batch, graph.size(after, 1), graph.whole(width))
    return graph.join(
        graph.op("Expand", before, graph.join(batch, graph.whole(1, width))),
        graph.op("Add", at, scaled),
        graph.op("Expand", after, rest),
        axis=1,
    )


def _causal_mask(graph: Graph, length: str) -> str:
    """[S, S]: 0 where a place may look, ``HIDDEN`` where not."""
    places = graph.op(
        "Range",
        graph.array(np.array(0), "first_place"),
        graph.op("Squeeze", length),
        graph.array(np.array(1), "one_place"),
    )
    across = graph.op("Reshape", places, graph.whole(1, -1))
    down = graph.op("Reshape", places, graph.whole(-1, 1))
    later = graph.op("Greater", across, down)
    return graph.op("Where", later, graph.number(HIDDEN), graph.number(0.0))


def _last_rows(graph: Graph, rows: str, batch: str, length: str, latent: int, width: int) -> str:
    spread = graph.op("Reshape", rows, graph.join(batch, length, graph.whole(width)))
    last = graph.cut(spread, graph.whole(-latent), graph.whole(TO_THE_END), 1)
    return graph.rows(last, width)


def _scale(text: Any, width: int) -> float:
    # transformers holds it in the text model in some versions, in the embedding in others.
    return float(getattr(text, "embed_scale", math.sqrt(width)))


def _frequencies(width: int) -> np.ndarray:
    """float32 [1, width / 2], of the sinusoidal positions as tensor2tensor has them."""
    half = width // 2
    step = np.float32(math.log(10_000) / (half - 1))
    return np.exp(np.arange(half, dtype=np.float32) * -step)[None]
