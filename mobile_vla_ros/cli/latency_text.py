"""What ``mobile_vla benchmark`` prints, draws and keeps of a latency run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mobile_vla_ros.errors import InputError


def save_samples(path: Path, samples: dict[str, dict[str, list[float]]]) -> None:
    """Writes the seconds of every run and stage as .npz."""
    import numpy as np

    flat = {
        f"{mode_name}_{stage}": np.array(seconds)
        for mode_name, stages in samples.items()
        for stage, seconds in stages.items()
    }
    try:
        np.savez(path, allow_pickle=False, **flat)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def draw(path: Path, values: dict[str, Any], samples: dict[str, dict[str, list[float]]]) -> None:
    """Draws stages and tail as PNG."""
    from mobile_vla_ros.benchmark.latency import DEADLINE
    from mobile_vla_ros.plots.latency import draw_latency
    from mobile_vla_ros.plots.style import save_figure

    model, machine = values["model"], values["machine"]
    place = machine["gpu"]["name"] if model["device"] != "cpu" else machine["cpu"]
    title = f"{model['parameters'] / 1e6:.4g} M parameters, {model['dtype']}, {place}"
    save_figure(draw_latency(samples, title, DEADLINE), path)


def print_latency(result: dict[str, Any]) -> None:
    """Prints a run in a few lines; the rest is in its JSON."""
    machine, model = result["machine"], result["model"]
    place = machine["gpu"]["name"] if model["device"] != "cpu" else machine["cpu"]
    print(
        f"{model['source']}: {model['parameters'] / 1e6:.4g} M parameters, {model['dtype']}, "
        f"{place}, {machine['threads']} threads, torch {machine['torch']}"
    )
    for mode, values in result["modes"].items():
        stages = values["stages"]
        total = stages["total"]
        print(
            f"{mode}: p50 {_ms(total['p50'])}, p90 {_ms(total['p90'])}, p99 {_ms(total['p99'])}, "
            f"max {_ms(total['max'])}, jitter {_ms(total['jitter'])}, "
            f"{values['throughput']:.3g} steps/s, {values['missed_deadlines']} of "
            f"{total['count']} over {_ms(values['deadline'])}"
        )
        print(
            "  "
            + ", ".join(
                f"{name} {_ms(times['p50'])}" for name, times in stages.items() if name != "total"
            )
        )
    _print_ratios(result)
    _print_cost(result)


def _print_ratios(result: dict[str, Any]) -> None:
    if result["stream_over_window"] is not None:
        print(
            f"the window takes {result['stream_over_window']:.3g} times the stream's step; "
            f"largest action difference {result['max_action_difference']:.2g} (normalised)"
        )
    if result["lean_over_plain"] is not None:
        print(
            f"the lean frame takes {result['lean_over_plain']:.3f} of the plain one "
            f"(median of {result['lean_pairs']} pairs)"
        )
    if result["velocity_error"] is not None:
        found = result["velocity_error"]
        axes = ", ".join(
            f"{axis} at most {values['max']:.2g} (mean {values['mean']:.2g})"
            for axis, values in found["axes"].items()
        )
        print(
            f"against float32, {found['windows']} windows: {axes}; normalised at most "
            f"{found['max_normalised']:.2g}"
        )


def _print_cost(result: dict[str, Any]) -> None:
    floor, memory = result["floor"], result["memory"]
    print(
        f"floor {_ms(floor.seconds)}: {floor.operations / 1e9:.4g} GFLOP at "
        f"{floor.matrix_rate / 1e9:.4g} GFLOP/s, {floor.weight_bytes / 1e9:.3g} GB of weights at "
        f"{floor.copy_bandwidth / 1e9:.3g} GB/s; measured {floor.measured_over_floor:.3g} times it"
    )
    device = memory["device_peak"]
    print(
        f"memory: loading up to {memory['loading_peak'] / 1e9:.2f} GB, running up to "
        f"{memory['running_peak'] / 1e9:.2f} GB"
        + (f", on the device {device / 1e9:.2f} GB" if device else "")
    )


def _ms(seconds: float) -> str:
    return f"{1e3 * seconds:.4g} ms"
