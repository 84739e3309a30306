"""Quantising a policy that is being converted: following it through, writing, judging."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobile_vla_ros.policy.errors import QuantisationError
from mobile_vla_ros.policy.export.calibration import BOUND, Clip, velocity_errors
from mobile_vla_ros.policy.export.int8 import Quantiser
from mobile_vla_ros.policy.export.walk import walkable
from mobile_vla_ros.policy.filling import prompt_reader
from mobile_vla_ros.policy.plan import LoadPlan
from mobile_vla_ros.policy.preprocess import preprocess
from mobile_vla_ros.policy.safetensors_file import Slot, write_safetensors
from mobile_vla_ros.policy.safetensors_header import Header, read_header
from mobile_vla_ros.runtime.manifest import INT8_FILE

# The walk keeps all frames at once: this many of 224 pixels take about a gigabyte at full size.
FRAMES = 32
# The first instruction's frames choose the form, the others' only judge it.
INSTRUCTIONS = 4


@dataclass
class Quantised:
    """A quantised policy, before it is judged.

    Attributes:
        header: of the written file.
        clips: the frames that it was followed with.
        features: per clip float32 [T, latent, D] in full precision; empty without a head.
        kept: layers that stayed in float32.
        errors: relative error of each group of layers by its first.
    """

    header: Header
    clips: list[Clip]
    features: list[np.ndarray]
    kept: list[str]
    errors: dict[str, float]


@torch.inference_mode()
def quantise(directory: Path, plan: LoadPlan, clips: Sequence[Clip]) -> Quantised:
    """Writes the quantised layers of a policy beside its plain weights.

    Args:
        directory: being written.
        plan: checked.
        clips: at least one; with several instructions the one with most frames comes first.
    """
    chosen = thinned(clips)
    quantiser = Quantiser(plan)
    config = plan.config
    look = (config.image_size, config.image_mean, config.image_std)
    features = []
    with walkable(plan, quantiser.visit) as model:
        for clip in chosen:
            pixels = preprocess(clip.images, *look)
            context = model.context(pixels)
            if config.head is not None:
                ids = prompt_reader(plan).ids(clip.instruction)
                found = model.features(context, model.prompt(clip.instruction, ids))
                features.append(found.numpy())
    slots = [
        Slot(name, tuple(value.shape), value.dtype)
        for name, value in sorted(quantiser.values.items())
    ]
    write_safetensors(directory / INT8_FILE, slots, lambda name: quantiser.values[name])
    return Quantised(
        read_header(directory / INT8_FILE),
        chosen,
        features,
        sorted(set(quantiser.kept)),
        quantiser.errors,
    )


def judge(directory: Path, quantised: Quantised, *, told: bool) -> dict[str, Any]:
    """Measures what quantising did to the velocities, in both forms that processors take.

    Args:
        directory: complete.
        quantised: how it was made.
        told: write it whatever the error.

    Returns:
        What ``config.json`` says of it: ``kept`` layers, ``layer_error`` (the largest),
        ``velocity_error`` in 8 and in 7 bits (see ``velocity_errors``).

    Raises:
        QuantisationError: the error is above ``BOUND`` and nobody said that it may be.
    """
    from mobile_vla_ros.runtime.loading import load_onnx_policy

    found: dict[str, Any] = {}
    for bits in (8, 7):
        policy = load_onnx_policy(directory, device="cpu", weight_bits=bits)
        if policy.config.head is None:
            break
        features = [
            policy.encode_frames(policy.preprocess(clip.images), clip.instruction)
            for clip in quantised.clips
        ]
        found[f"{bits}_bits"] = velocity_errors(
            policy.config, features, quantised.features, policy.decode
        )
    worst = max((errors["p99"] for errors in found.values()), default=0.0)
    if worst > BOUND and not told:
        raise QuantisationError(
            f"in int8 the velocities move by {worst:.3f} at the 99th percentile (normalised, "
            f"allowed is {BOUND:g}); convert to float32, calibrate on episodes of this robot with "
            "--calibrate DIR, or accept it with --accept-error"
        )
    return {
        "kept": quantised.kept,
        "layer_error": max(quantised.errors.values(), default=0.0),
        "velocity_error": found,
    }


def thinned(clips: Sequence[Clip]) -> list[Clip]:
    """At most ``FRAMES`` frames an instruction, from all its clips alike; most frames first."""
    by_instruction: dict[str, list[np.ndarray]] = {}
    for clip in clips:
        by_instruction.setdefault(clip.instruction, []).append(clip.images)
    ranked = sorted(
        by_instruction.items(), key=lambda item: -sum(len(images) for images in item[1])
    )
    result = []
    for instruction, parts in ranked[:INSTRUCTIONS]:
        room = max(1, FRAMES // len(parts))
        pieces = [images[:room] for images in parts[:FRAMES]]
        sizes = {piece.shape[1:] for piece in pieces}
        if len(sizes) == 1:
            result.append(Clip(np.concatenate(pieces), instruction))
        else:
            result += [Clip(piece, instruction) for piece in pieces]
    return result
