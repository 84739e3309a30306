"""What a converted directory with graphs is, told without torch; the facts of ``inspect``."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mobile_vla_ros.policy.provenance import revisions_of
from mobile_vla_ros.processor import this_processor
from mobile_vla_ros.runtime.loading import policy_config_of
from mobile_vla_ros.runtime.manifest import Manifest
from mobile_vla_ros.words import instructions_of

NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "I8": "int8"}


def describe_manifest(manifest: Manifest) -> dict[str, Any]:
    """The facts of ``policy.inspection.describe``, as far as graphs and notes hold them."""
    config, extra, sizes = policy_config_of(manifest), manifest.extra, manifest.backbone
    source = extra.get("source") or {}
    lora = source.get("lora")
    places = [place for header in manifest.weights for place in header.places.values()]
    weights = manifest.weights[-1]
    return {
        "path": str(manifest.directory),
        "kind": "converted",
        "trained": source.get("trained", "unknown"),
        "head": config.head,
        "drives": config.drives,
        "dof": config.dof,
        "window_size": config.window_size,
        "chunk_size": config.chunk_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "latent": config.latent,
        "lora": {**lora, "merged": True} if isinstance(lora, dict) else None,
        "action_axes": list(config.action_axes),
        "action_axes_confirmed": config.action_axes_confirmed,
        "frame_period": config.frame_period,
        "action_period": config.action_period,
        "norm_min": list(config.norm_min),
        "norm_max": list(config.norm_max),
        "image_size": config.image_size,
        "context_tokens": sizes["tokens"],
        "context_width": sizes["width"],
        "text_layers": sizes["text_layers"],
        "vision_layers": sizes["vision_layers"],
        "parameters": manifest.parameters,
        "bytes": sum(place.nbytes for place in places),
        "dtypes": dict(Counter(NAMES[place.dtype] for place in places)),
        "coverage": {
            "loaded": len(weights.places),
            "missing": [],
            "unexpected": [],
            "unused": 0,
        },
        "backbone": str(manifest.directory),
        "training_files": len(extra.get("training_files") or ()),
        "data_revisions": list(revisions_of(extra)),
        "instructions": list(instructions_of(extra)),
        "notes": [str(note) for note in extra.get("notes") or ()],
    }


def graph_facts(manifest: Manifest) -> dict[str, Any]:
    """What ``inspect`` adds for a directory with graphs.

    Returns:
        ``dtype``, ``opset``, ``graphs`` (file names), ``int8`` (what quantising found, or None),
        ``slow`` (a sentence when this processor computes slowly in that format, or None).
    """
    section = manifest.extra["onnx"]
    computed = "int8" if manifest.dtype == "int8" else "float32"
    return {
        "dtype": manifest.dtype,
        "opset": section.get("opset"),
        "graphs": sorted(manifest.graphs),
        "int8": dict(manifest.quantised) or None,
        "slow": this_processor().slow(computed),
    }


def slow_formats() -> list[str]:
    """A sentence for each number format that this processor computes slowly."""
    processor = this_processor()
    found = (processor.slow(dtype) for dtype in ("bfloat16", "float16", "int8"))
    return [sentence for sentence in found if sentence]
