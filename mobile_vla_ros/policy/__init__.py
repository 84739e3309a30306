"""The policy room: checkpoints in, features and velocities out. Importing it loads no torch."""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "load_policy": "loading",
    "Policy": "policy",
    "PolicyStream": "stream",
    "PolicyConfig": "config",
    "read_run_file": "run_file",
    "random_policy": "random_policies",
    "random_kosmos2": "random_policies",
    "write_random_checkpoint": "random_policies",
    "CheckpointError": "errors",
    "PolicyError": "errors",
}

__all__ = ["ActionChunk", *_PLACES]


def __getattr__(name: str) -> Any:
    if name == "ActionChunk":
        return importlib.import_module("mobile_vla_ros.control.chunk").ActionChunk
    if name in _PLACES:
        return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
