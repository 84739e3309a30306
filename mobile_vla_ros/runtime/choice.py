"""Which runtime `auto` means: what is installed, what the directory has, what was measured."""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.policy.errors import CheckpointError, PolicyError
from mobile_vla_ros.processor import INSTRUCTIONS, threads
from mobile_vla_ros.runtime.manifest import graph_file, has_graphs
from mobile_vla_ros.runtime.providers import PROVIDERS

log = logging.getLogger(__name__)

STEPS = 3
# Values below which a step takes milliseconds either way, and measuring more than it saves.
SMALL = 100_000_000
INSTRUCTION = "Navigate to the bottle on the left"

Loader = Callable[[str], Any]


def choose_runtime(
    checkpoint: str | Path,
    device: str,
    dtype: str,
    load: Loader | None = None,
    has_gpu: Callable[[], bool] = lambda: False,
) -> str:
    """``torch`` or ``onnx`` for a checkpoint on this machine.

    Where both can run a large policy on the processor, both are measured once, by a few steps,
    and the faster one is remembered for this directory, number format, processor, number of
    threads and versions.

    Args:
        checkpoint: as ``load_policy`` takes it.
        device: as ``load_policy`` takes it.
        dtype: as ``load_policy`` takes it.
        load: gives the policy for a runtime's name, for measuring; without it torch is taken
            where nothing is remembered.
        has_gpu: whether torch sees a GPU; asked for device ``auto`` only.
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
    if word == "cuda" or (word == "auto" and has_gpu()):
        return "torch"
    notes = _notes(directory)
    if dtype.removeprefix("torch.") not in ("auto", "float32", notes.get("dtype")):
        return "torch"
    if notes.get("dtype") == "int8" and dtype in ("auto", "int8"):
        # Whoever converted to int8 was shown what it costs, and wants its speed.
        log.info("%s holds int8 graphs: runtime onnx", directory)
        return "onnx"
    if int(notes.get("parameters", 0)) < SMALL:
        return "torch"
    return _measured(directory, dtype, load)


def _measured(directory: Path, dtype: str, load: Loader | None) -> str:
    key, memory = _key(directory, dtype), memory_file()
    remembered = _read(memory)
    found = remembered.get(key)
    if not isinstance(found, Mapping) or found.get("runtime") not in ("torch", "onnx"):
        if load is None:
            return "torch"
        found = _measure(load)
        _write(memory, {**remembered, key: found})
    log.info(
        "runtime %s for %s: %s (measured once; %s)",
        found["runtime"],
        directory,
        ", ".join(f"{name} {seconds:.2f} s" for name, seconds in found["seconds"].items()),
        memory,
    )
    return str(found["runtime"])


def _measure(load: Loader) -> dict[str, Any]:
    """Times a few steps of each runtime; one that cannot run the policy is out."""
    seconds: dict[str, float] = {}
    for runtime in ("torch", "onnx"):
        try:
            seconds[runtime] = _step_seconds(load(runtime))
        except (CheckpointError, PolicyError) as error:
            log.warning("runtime %s cannot take it: %s", runtime, error)
    if not seconds:
        return {"runtime": "torch", "seconds": {}}
    return {"runtime": min(seconds, key=lambda name: seconds[name]), "seconds": seconds}


def _step_seconds(policy: Any) -> float:
    policy.warm_up(INSTRUCTION)
    stream = policy.stream(INSTRUCTION)
    image = np.random.default_rng(0).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    times = []
    for step in range(STEPS):
        begin = time.perf_counter()
        stream.step(image, 0.4 * step)
        times.append(time.perf_counter() - begin)
    return min(times)


def memory_file() -> Path:
    """Where measured choices are remembered: ``$XDG_CACHE_HOME/mobile_vla_ros/runtime.json``."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "mobile_vla_ros" / "runtime.json"


def _key(directory: Path, dtype: str) -> str:
    """Names what a measurement holds for; another graph, processor or version is another."""
    told = [hashlib.sha256((directory / graph_file("vision")).read_bytes()).hexdigest()]
    told += [dtype, str(threads())]
    try:
        text = INSTRUCTIONS.read_text(encoding="utf-8", errors="replace")
        told += [line for line in text.splitlines() if line.startswith(("model name", "flags"))][
            :2
        ]
    except OSError:
        pass
    told += [importlib.metadata.version(name) for name in ("torch", "onnxruntime")]
    told.append(str((directory / "config.json").stat().st_size))
    return hashlib.sha256("\n".join(told).encode()).hexdigest()


def _notes(directory: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((directory / "config.json").read_bytes())["mobile_vla"]["onnx"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _read(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def _write(path: Path, values: Mapping[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}")
        part.write_text(json.dumps(values, indent=1), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        log.warning("the measured choice cannot be remembered in %s: %s", path, error)
