"""Which runtime `auto` means: what is installed, what the directory has, what was measured."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_vla_ros.runtime.manifest import has_graphs
from mobile_vla_ros.runtime.providers import PROVIDERS

log = logging.getLogger(__name__)


def choose_runtime(
    checkpoint: str | Path,
    device: str,
    dtype: str,
    config: str | Path | Mapping[str, Any] | None = None,
) -> str:
    """``torch`` or ``onnx`` for a checkpoint on this machine.

    Args:
        checkpoint: as ``load_policy`` takes it.
        device: as ``load_policy`` takes it.
        dtype: as ``load_policy`` takes it.
        config: a run JSON that is used in place of the checkpoint's own.
    """
    try:
        directory = Path(checkpoint).expanduser()
    except RuntimeError:
        return "torch"
    if not has_graphs(directory) or importlib.util.find_spec("onnxruntime") is None:
        return "torch"
    if importlib.util.find_spec("torch") is None:
        return "onnx"
    word = device.partition(":")[0]
    if word in PROVIDERS and word not in ("cpu", "cuda"):
        return "onnx"
    return "torch"
