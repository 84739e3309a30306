"""What is wrong with a checkpoint's weights themselves, wherever in the network they stand."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import torch

from mobile_vla_ros.analysis.gate_check import Check
from mobile_vla_ros.policy import tensors
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.keys import sort_keys
from mobile_vla_ros.policy.plan import LoadPlan

# So many names of weights in a sentence.
NAMED = 3


def check_finite(plan: LoadPlan) -> Check:
    """Whether every stored value is a number, in all layers, also those that few frames reach.

    The graphs of a directory that was converted with ``--onnx`` are looked through as well.
    """
    bad = [
        name
        for name, stored in plan.checkpoint.stored.items()
        if stored.dtype.is_floating_point and not bool(torch.isfinite(stored.read()).all())
    ]
    if plan.checkpoint.path.is_dir():
        for graph in sorted(plan.checkpoint.path.glob("*.onnx")):
            bad += _bad_in_graph(graph)
    few = ", ".join(bad[:NAMED]) + (" ..." if len(bad) > NAMED else "")
    return Check(
        "finite_weights",
        not bad,
        len(bad),
        0,
        f"NaN or infinity in {len(bad)} weights ({few})" if bad else "every weight is a number",
    )


def _bad_in_graph(path: Path) -> list[str]:
    if importlib.util.find_spec("onnx") is None:
        return []  # what the graphs put out is looked at all the same
    try:
        weights = _weights_of_graph(path)
    except CheckpointError as error:
        return [str(error)]
    # Only numbers with a point can fail to be one.
    return [
        f"{path.name}: {name}"
        for name, array in weights.items()
        if array.dtype.kind == "f" and not np.isfinite(array).all()
    ]


def _weights_of_graph(path: Path) -> dict[str, np.ndarray]:
    import onnx
    from onnx import numpy_helper

    try:
        return {
            value.name: numpy_helper.to_array(value, base_dir=str(path.parent))
            for value in onnx.load(str(path)).graph.initializer
        }
    # A damaged graph, or one whose weights lie elsewhere than it says, meets errors of all kinds.
    except Exception as error:
        why = " ".join(str(error).split())[:120]
        raise CheckpointError(f"{path.name} cannot be read: {why}") from error


def check_merged(plan: LoadPlan) -> Check:
    """Whether adapters are merged into the weights that would go on the robot.

    A checkpoint that still carries them is held, since what drives is the merged one. So is one
    that lost them: its names tell where they were, or its run file speaks of them and its weights
    are those of the base model.
    """
    name, limit = "adapters_merged", "merged, or none"
    if plan.adapters is not None:
        count = len(plan.adapters.ranks)
        reason = (
            f"{count} LoRA adapters are not merged; `mobile_vla convert` merges them: gate the "
            "directory that it writes"
        )
        return Check(name, False, f"{count} not merged", limit, reason)
    wrapped = next((own for own in plan.checkpoint.stored if ".base_layer." in own), None)
    said = _speaks_of_adapters(plan)
    if wrapped or (said and _equals_base(plan)):
        what = (
            f"{wrapped} is what an adapter was laid over"
            if wrapped
            else ("the run file says LoRA, and its weights are those of the base model")
        )
        reason = f"{what}, but it has no adapters: they were lost when it was saved"
        return Check(name, False, "lost", limit, reason)
    if not said:
        return Check(name, True, "none", limit, "it has no adapters")
    return Check(name, True, "merged", limit, "adapters are merged")


def _speaks_of_adapters(plan: LoadPlan) -> bool:
    setup = plan.config.run.get("train_setup")
    return isinstance(setup, dict) and bool(setup.get("lora_enable"))


def _equals_base(plan: LoadPlan) -> bool:
    """Whether the text model's matrices are, to the bit, those of the backbone it names."""
    if plan.tokenizer == plan.checkpoint.path:
        return False
    try:
        base = tensors.from_directory(plan.tokenizer)
        keys = sort_keys(base, str(plan.tokenizer), root="backbone.")
    except (CheckpointError, OSError):
        return False  # a directory without weights: there is nothing to compare with
    compared = False
    for name, own in plan.checkpoint.keys.weights.items():
        stored = plan.checkpoint.stored[own]
        if not name.startswith("backbone.text_model") or len(stored.shape) != 2:
            continue
        if name not in keys.weights or base[keys.weights[name]].shape != stored.shape:
            continue
        value = stored.read()
        if not torch.equal(value, base[keys.weights[name]].read().to(value.dtype)):
            return False
        compared = True
    return compared
