"""Writing the graphs into a converted directory, beside the weights that they refer to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mobile_vla_ros.policy.export.graph import OPSET, Graph, check
from mobile_vla_ros.policy.export.head import add_head
from mobile_vla_ros.policy.export.text import add_prompt, add_text
from mobile_vla_ros.policy.export.vision import add_vision
from mobile_vla_ros.policy.kosmos import backbone_sizes
from mobile_vla_ros.policy.plan import LoadPlan
from mobile_vla_ros.policy.safetensors_header import Header, read_header
from mobile_vla_ros.runtime.manifest import NATIVE, VERSION, graph_file

HALF = {"float16": "F16", "bfloat16": "BF16"}


def write_graphs(
    directory: Path, plan: LoadPlan, dtype: str, more: Sequence[Header] = ()
) -> dict[str, Any]:
    """Writes a graph each for the vision model, the prompt, the text model and the head.

    Where the weights are of 16 bits there are two forms of the first and the third: one computes
    in float32, for processors, and one in the weights' own format, for GPUs.

    Args:
        directory: holds ``model.safetensors`` already.
        plan: what was converted; the model's sizes are used.
        dtype: what the graphs are made for.
        more: further files of weights, looked into first (quantised ones).

    Returns:
        What the directory's ``config.json`` says of them (``mobile_vla.onnx``).

    Raises:
        CheckpointError: the network has a part that no graph is known for.
    """
    # What stands in both is meant to be the first one's: a norm that took up a spread, say.
    weights = (*more, read_header(directory / "model.safetensors"))
    kosmos, backbone, config = plan.kosmos, plan.model.backbone, plan.config
    text, latent = backbone.text_model.model, config.latent
    parts: dict[str, Callable[[Graph], None]] = {
        "vision": lambda graph: add_vision(graph, kosmos, backbone)
    }
    if config.head is not None:
        parts["prompt"] = lambda graph: add_prompt(graph, kosmos, text, latent)
        parts["text"] = lambda graph: add_text(graph, kosmos, text, latent)
        parts["head"] = lambda graph: add_head(graph, config, kosmos.text_config.embed_dim)
    written: dict[str, str] = {}
    for name, add in parts.items():
        written[graph_file(name)] = _write(directory, name, weights, add)
        if dtype in HALF and name in NATIVE:
            native = graph_file(name, native=True)
            written[native] = _write(directory, name, weights, add, HALF[dtype])
    return {
        "version": VERSION,
        "opset": OPSET,
        "dtype": dtype,
        "graphs": written,
        "weights": {header.path.name: header.sha256 for header in weights},
        "backbone": backbone_sizes(kosmos),
        "parameters": plan.parameters,
    }


def _write(
    directory: Path,
    name: str,
    weights: Sequence[Header],
    add: Callable[[Graph], None],
    native: str | None = None,
) -> str:
    """Writes one graph; returns its SHA-256."""
    graph = Graph(name, weights, native=native is not None)
    if native is not None:
        graph.use_kind(native)
    add(graph)
    content = graph.finish({"mobile_vla": str(VERSION)})
    path = directory / graph_file(name, native=native is not None)
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    check(str(path))
    return hashlib.sha256(content).hexdigest()
