"""The graph of the action head: features of a window to normalised actions, in float32."""

from __future__ import annotations

from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.export.graph import Graph
from mobile_vla_ros.policy.heads import KINDS

HEAD = "model.act_head."
# ONNX orders the gates input, output, forget, cell; torch input, forget, cell, output.
GATES = (0, 3, 1, 2)


def add_head(graph: Graph, config: PolicyConfig, width: int) -> None:
    """Input ``features`` [B, T, latent, D].

    Outputs ``actions`` [B, T, chunk, dof], ``output`` [B, T, H], ``h_n`` and ``c_n`` [layers, B,
    H].
    """
    size, chunk, dof = config.hidden_size, config.chunk_size, config.dof
    features = graph.input("features", ["B", "T", config.latent, width])
    values = graph.op("Reshape", features, graph.whole(0, 0, -1))
    values = graph.op("Transpose", values, perm=[1, 0, 2])
    hidden, cells = [], []
    for layer in range(config.num_layers):
        steps, last, cell = graph.ops(
            "LSTM",
            3,
            values,
            _gates(graph, f"weight_ih_l{layer}", size),
            _gates(graph, f"weight_hh_l{layer}", size),
            graph.join(
                _gates(graph, f"bias_ih_l{layer}", size),
                _gates(graph, f"bias_hh_l{layer}", size),
                axis=1,
            ),
            hidden_size=size,
        )
        values = graph.op("Squeeze", steps, graph.whole(1))
        hidden.append(last)
        cells.append(cell)
    output = graph.op("Transpose", values, perm=[1, 0, 2])
    rows = graph.rows(output, size)
    batch = graph.join(graph.size(features, 0), graph.size(features, 1))
    assert config.head is not None
    kind = KINDS[config.head]
    of_part = kind.values(dof)
    parts = [
        _layers(graph, rows, name, batch, chunk, of_part[name], bounded=part.bounded)
        for name, part in kind.parts.items()
    ]
    actions = parts[0] if len(parts) == 1 else graph.join(*parts, axis=-1)
    graph.output(actions, "actions", ["B", "T", chunk, dof])
    graph.output(output, "output", ["B", "T", size])
    graph.output(graph.join(*hidden), "h_n", [config.num_layers, "B", size])
    graph.output(graph.join(*cells), "c_n", [config.num_layers, "B", size])


def _gates(graph: Graph, name: str, size: int) -> str:
    value = graph.weight(f"{HEAD}rnn.{name}")
    parts = [
        graph.cut(value, graph.whole(g * size), graph.whole((g + 1) * size), 0) for g in GATES
    ]
    return graph.op("Unsqueeze", graph.join(*parts), graph.whole(0))


def _layers(
    graph: Graph, rows: str, name: str, batch: str, chunk: int, dof: int, *, bounded: bool
) -> str:
    for index in (0, 2, 4):
        rows = graph.op("Relu", graph.linear(rows, f"{HEAD}{name}.mlp.{index}"))
    rows = graph.linear(rows, f"{HEAD}{name}.mlp.6")
    if bounded:
        rows = graph.op("Tanh", rows)
    return graph.op("Reshape", rows, graph.join(batch, graph.whole(chunk, dof)))
