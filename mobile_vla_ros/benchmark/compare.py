"""Two benchmark results side by side."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.files import text_of


def read_result(path: str | Path) -> dict[str, Any]:
    """Reads what ``mobile_vla benchmark --json`` wrote.

    Raises:
        BenchmarkError: the file is missing or something else.
    """
    try:
        result = json.loads(text_of(path))
    except OSError as error:
        raise BenchmarkError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    if not isinstance(result, dict) or not isinstance(result.get("modes"), dict):
        raise BenchmarkError(f"{path} is not the result of a latency benchmark")
    return result


def compare_results(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One row per mode and stage that both have.

    Returns:
        Rows with ``mode``, ``stage``, ``first`` and ``second`` (p50, s), ``ratio`` (first /
        second: above 1 the second is faster), and the same for p99.
    """
    rows = []
    for mode, values in first["modes"].items():
        other = second["modes"].get(mode, {}).get("stages", {})
        for stage, times in values["stages"].items():
            if stage not in other:
                continue
            rows.append(
                {
                    "mode": mode,
                    "stage": stage,
                    "first": times["p50"],
                    "second": other[stage]["p50"],
                    "ratio": times["p50"] / other[stage]["p50"],
                    "first_p99": times["p99"],
                    "second_p99": other[stage]["p99"],
                }
            )
    return rows


def differences(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    """What makes the two not comparable: another machine, model, dtype or thread count."""
    sentences = []
    for part, keys in (
        ("machine", ("cpu", "cores", "gpu", "torch", "threads")),
        ("model", ("parameters", "dtype", "device", "window_size")),
    ):
        for key in keys:
            a, b = first.get(part, {}).get(key), second.get(part, {}).get(key)
            if a != b:
                sentences.append(f"{part} {key}: {a} against {b}")
    return sentences
