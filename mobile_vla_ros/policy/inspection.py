"""What a checkpoint is, told from its names, shapes and run file; no weight is read."""

from __future__ import annotations

from collections import Counter
from typing import Any

from mobile_vla_ros.policy.plan import LoadPlan

HAND_CAMERA = (
    "it was pretrained with a second, gripper camera (use_hand_rgb); a mobile base has none, so "
    "it is read with one image"
)
UNCONFIRMED = (
    "nothing says what its outputs mean; {axes} is assumed (check with `mobile_vla verify`, or "
    "put action_axes into the run file)"
)


def describe(plan: LoadPlan) -> dict[str, Any]:
    """The facts ``mobile_vla inspect`` reports, as plain values."""
    config, checkpoint = plan.config, plan.checkpoint
    return {
        "path": str(checkpoint.path),
        "kind": checkpoint.kind,
        "trained": plan.trained,
        "head": config.head,
        "drives": config.drives,
        "dof": config.dof,
        "window_size": config.window_size,
        "chunk_size": config.chunk_size,
        "hidden_size": config.hidden_size,
        "num_layers": config.num_layers,
        "latent": config.latent,
        "lora": lora(plan),
        "action_axes": list(config.action_axes),
        "action_axes_confirmed": config.action_axes_confirmed,
        "frame_period": config.frame_period,
        "action_period": config.action_period,
        "norm_min": list(config.norm_min),
        "norm_max": list(config.norm_max),
        "image_size": config.image_size,
        "context_tokens": plan.kosmos.latent_query_num,
        "context_width": plan.kosmos.text_config.embed_dim,
        "text_layers": plan.kosmos.text_config.layers,
        "vision_layers": plan.kosmos.vision_config.num_hidden_layers,
        "parameters": plan.parameters,
        "bytes": plan.stored_bytes,
        "dtypes": dtypes(plan),
        "coverage": {
            "loaded": plan.coverage.loaded,
            "missing": list(plan.coverage.missing),
            "unexpected": list(plan.coverage.unexpected),
            "unused": len(plan.coverage.unused),
        },
        "backbone": str(plan.tokenizer),
        "training_files": len(checkpoint.provenance.training_files),
        "data_revisions": list(checkpoint.provenance.data_revisions),
        "instructions": list(checkpoint.provenance.instructions),
        "notes": notes(plan),
        **checkpoint.details,
    }


def lora(plan: LoadPlan) -> dict[str, Any] | None:
    """Rank, alpha and modules of the adapters; of a converted directory, those merged into it."""
    if plan.adapters is not None:
        modules = sorted(name.removeprefix("backbone.") for name in plan.adapters.ranks)
        return {
            "r": plan.adapters.rank,
            "alpha": plan.adapters.alpha,
            "modules": modules,
            "merged": False,
        }
    recorded = plan.checkpoint.provenance.recorded.get("lora")
    return {**recorded, "merged": True} if isinstance(recorded, dict) else None


def notes(plan: LoadPlan, axes_given: bool = False) -> list[str]:
    """What a user should know before trusting the checkpoint.

    Args:
        plan: of loading it.
        axes_given: whether a person says what its outputs mean.
    """
    config = plan.config
    found = []
    if config.use_hand_rgb:
        found.append(HAND_CAMERA)
    checkpoint = plan.checkpoint
    averages = list(checkpoint.details.get("averages") or ())
    if averages or checkpoint.keys.averages:
        first = averages or checkpoint.keys.averages
        found.append(
            f"beside its weights it holds others ({', '.join(first[:3])}), such as a moving "
            "average; they are not used, state_dict is"
        )
    if config.head is None:
        found.append("it has no action head: it gives image contexts and cannot drive")
    elif not config.drives:
        found.append(
            f"its {config.dof}-DoF head moves an arm: it can be analysed, and is refused for "
            "driving"
        )
    elif not (config.action_axes_confirmed or axes_given):
        found.append(UNCONFIRMED.format(axes=", ".join(config.action_axes)))
    return found


def dtypes(plan: LoadPlan) -> dict[str, int]:
    """How many of the loaded weights are stored in each number format."""
    checkpoint = plan.checkpoint
    return dict(
        Counter(
            str(checkpoint.stored[own].dtype).removeprefix("torch.")
            for own in checkpoint.keys.weights.values()
        )
    )
