"""The graph of ``frame_pass.image_context``: pixels to the image context."""

from __future__ import annotations

from typing import Any

from onnx import TensorProto

from mobile_vla_ros.policy.export.graph import Graph

ROOT = "model.backbone."
VISION = ROOT + "vision_model.model."
PROJECTION = ROOT + "image_to_text_projection."


def add_vision(graph: Graph, kosmos: Any, backbone: Any) -> None:
    """Input ``pixels`` [N, 3, S, S]; output ``context`` [N, tokens, D].

    Args:
        graph: empty.
        kosmos: the backbone's configuration.
        backbone: the ``Kosmos2Model`` itself; its sizes are used, not its weights.
    """
    model = backbone.vision_model.model
    settings = kosmos.vision_config
    side, width = settings.image_size, settings.hidden_size
    places = (side // settings.patch_size) ** 2 + 1
    pixels = graph.input("pixels", ["N", 3, side, side])
    batch = graph.size(pixels, 0)
    # In float32 whatever the rest computes in: Conv knows no bfloat16 in this opset.
    patches = graph.op(
        "Conv",
        pixels,
        graph.weight(VISION + "embeddings.patch_embedding.weight", TensorProto.FLOAT),
        strides=[settings.patch_size] * 2,
        kernel_shape=[settings.patch_size] * 2,
    )
    patches = graph.op("Reshape", graph.cast(patches), graph.whole(0, width, -1))
    patches = graph.op("Transpose", patches, perm=[0, 2, 1])
    start = graph.op(
        "Reshape", graph.weight(VISION + "embeddings.class_embedding"), graph.whole(1, 1, width)
    )
    start = graph.op("Expand", start, graph.join(batch, graph.whole(1, width)))
    hidden = graph.op(
        "Add",
        graph.join(start, patches, axis=1),
        graph.weight(VISION + "embeddings.position_embedding.weight"),
    )
    hidden = graph.rows(hidden, width)
    hidden = graph.layer_norm(hidden, VISION + "pre_layrnorm", model.pre_layrnorm.eps)
    for index, layer in enumerate(model.encoder.layers):
        hidden = _layer(graph, hidden, f"{VISION}encoder.layers.{index}.", layer, settings, places)
    hidden = graph.layer_norm(hidden, VISION + "post_layernorm", model.post_layernorm.eps)
    length = graph.op("ReduceL2", hidden, axes=[-1], keepdims=1)
    hidden = graph.op("Div", hidden, graph.op("Max", length, graph.number(1e-7)))
    _project(graph, hidden, kosmos, backbone.image_to_text_projection, batch, places)


def _layer(graph: Graph, hidden: str, name: str, layer: Any, settings: Any, places: int) -> str:
    width, heads = settings.hidden_size, layer.self_attn.num_heads
    normed = graph.layer_norm(hidden, name + "layer_norm1", layer.layer_norm1.eps)
    shape = graph.whole(-1, places, heads, width // heads)
    attention = name + "self_attn."
    attended = graph.attend(
        *(graph.linear(normed, f"{attention}{part}_proj") for part in "qkv"),
        heads=heads,
        width=width,
        shapes=(shape, shape),
    )
    hidden = graph.op("Add", hidden, graph.linear(attended, attention + "out_proj"))
    normed = graph.layer_norm(hidden, name + "layer_norm2", layer.layer_norm2.eps)
    inner = graph.activation(graph.linear(normed, name + "mlp.fc1"), settings.hidden_act)
    return graph.op("Add", hidden, graph.linear(inner, name + "mlp.fc2"))


def _project(
    graph: Graph, hidden: str, kosmos: Any, projection: Any, batch: str, places: int
) -> None:
    width, tokens = kosmos.text_config.embed_dim, kosmos.latent_query_num
    heads = projection.x_attn.num_heads
    dense = graph.linear(hidden, PROJECTION + "dense")
    dense = graph.op("Reshape", dense, graph.whole(-1, places, width))
    queries = graph.op(
        "Reshape", graph.weight(PROJECTION + "latent_query"), graph.whole(1, tokens, width)
    )
    queries = graph.op("Expand", queries, graph.join(batch, graph.whole(tokens, width)))
    sources = graph.rows(graph.join(dense, queries, axis=1), width)
    attention = PROJECTION + "x_attn."
    attended = graph.attend(
        graph.linear(graph.rows(queries, width), attention + "q_proj"),
        graph.linear(sources, attention + "k_proj"),
        graph.linear(sources, attention + "v_proj"),
        heads=heads,
        width=width,
        shapes=(
            graph.whole(-1, tokens, heads, width // heads),
            graph.whole(-1, places + tokens, heads, width // heads),
        ),
    )
    context = graph.linear(attended, attention + "out_proj")
    context = graph.op("Reshape", context, graph.whole(-1, tokens, width))
    graph.output(context, "context", ["N", tokens, width])
