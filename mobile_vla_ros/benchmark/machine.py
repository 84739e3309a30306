"""What stands beside every number: machine, versions, threads."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

from mobile_vla_ros.processor import threads


def describe_machine() -> dict[str, Any]:
    """CPU, cores, memory, GPU and versions, as plain values."""
    import psutil

    gpu = None
    torch = _installed("torch")
    if torch is not None and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu = {
            "name": properties.name,
            "bytes": properties.total_memory,
            "cuda": torch.version.cuda,
        }
    return {
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "gpu": gpu,
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "torch": _version("torch"),
        "transformers": _version("transformers"),
        "onnxruntime": _version("onnxruntime"),
        "threads": threads() if torch is None else torch.get_num_threads(),
        "load_average": os.getloadavg()[0],
    }


def _installed(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _version(name: str) -> str | None:
    """An installed package's version, without importing it; None where there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor's own name."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
