"""Loading a policy of any kind, by torch or by onnxruntime. Importing this loads neither."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mobile_vla_ros.hub import resolve
from mobile_vla_ros.policy.errors import PolicyError

if TYPE_CHECKING:
    import torch

RUNTIMES = ("auto", "torch", "onnx")


def load_policy(
    checkpoint: str | Path,
    backbone: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str | torch.device = "auto",
    dtype: str | torch.dtype = "auto",
    runtime: str = "auto",
) -> Any:
    """Loads a policy, strictly: every weight of the model and of the checkpoint is accounted for.

    Args:
        checkpoint: a RoboVLMs ``.pt``, a Lightning ``.ckpt`` (frozen, LoRA, merged or full), a
            directory written by ``mobile_vla convert``, or a plain Kosmos-2 directory (no head:
            image contexts only); or such a directory on a hub, ``hf://ORG/NAME[@revision]``.
        backbone: the Kosmos-2 directory (tokenizer, configuration); by default the run file's
            ``model_path``, else ``pretrained`` beside the checkpoint.
        config: a run JSON (or its contents); by default the one inside the checkpoint, else
            ``config.json`` beside it.
        device: ``auto`` (a GPU when there is one), ``cpu``, ``cuda`` or ``cuda:N``; with onnx
            also ``tensorrt`` and ``openvino``.
        dtype: ``auto``, ``float32``, ``bfloat16``, ``float16`` or ``int8`` (see
            ``precision.choose_precision``); with onnx what the directory was converted to.
        runtime: ``torch``, ``onnx`` (a directory that ``mobile_vla convert --onnx`` wrote; no
            torch is imported, arrays are numpy's), or ``auto``: torch, except where it is not
            installed, the device is onnxruntime's own, or onnx was measured to be faster for
            this directory on this machine.

    Returns:
        The policy, ready for inference: a ``policy.Policy``, or with onnx a
        ``runtime.policy.OnnxPolicy``, which answers the same. The head computes in float32
        always.

    Raises:
        CheckpointError: files are missing, damaged, or do not fit each other.
        PolicyError: device, dtype or runtime cannot be had, or memory does not suffice.
    """
    if runtime not in RUNTIMES:
        raise PolicyError(f"unknown runtime {runtime!r}; give {', '.join(RUNTIMES)}")
    checkpoint = resolve(checkpoint)
    backbone = None if backbone is None else resolve(backbone)
    if runtime == "auto":
        from mobile_vla_ros.runtime.choice import choose_runtime

        def load(name: str) -> Any:
            return load_policy(checkpoint, backbone, config, device, dtype, name)

        runtime = choose_runtime(checkpoint, str(device), str(dtype), load, _torch_has_gpu)
    if runtime == "onnx":
        from mobile_vla_ros.runtime.loading import load_onnx_policy

        return load_onnx_policy(checkpoint, config, str(device), str(dtype))
    if importlib.util.find_spec("torch") is None:
        raise PolicyError(
            f"{checkpoint} needs torch, which is not installed; convert it with `mobile_vla "
            "convert CHECKPOINT OUT --onnx` on a machine that has it, and give the directory OUT"
        )
    from mobile_vla_ros.policy.filling import load_torch_policy

    return load_torch_policy(checkpoint, backbone, config, device, dtype)


def _torch_has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()
