"""``mobile_vla benchmark`` without a subcommand, and ``compare``: offline latency of a policy."""

from __future__ import annotations

import importlib.util
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mobile_vla_ros.cli import link
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy


def latency(
    context: typer.Context,
    checkpoint: str = typer.Option("", "--checkpoint", "-c", help="The policy to be measured."),
    backbone: str = typer.Option("", help="Its Kosmos-2 directory, if it needs one."),
    config: str = typer.Option("", help="Its run file, if it needs one."),
    random: str = typer.Option("", help="In place of a checkpoint: full, medium, small or tiny."),
    mode: str = typer.Option("both", help="stream, window (the plain way) or both."),
    device: str = typer.Option("auto", help="auto, cpu, cuda or cuda:N."),
    dtype: str = typer.Option(
        "auto", help="auto, float32, bfloat16 or int8; with --runtime several, comma between."
    ),
    runtime: str = typer.Option(
        "", help="torch, onnx or torch,onnx: compare whole steps in every --dtype, in turns."
    ),
    threads: int = typer.Option(0, help="CPU threads of torch; 0 leaves its choice.", min=0),
    runs: int = typer.Option(30, help="Measured runs.", min=1),
    warm_up: int = typer.Option(3, help="Runs before them.", min=0),
    lean_pairs: int = typer.Option(15, help="Pairs of lean and plain frames; 0 none.", min=0),
    error: bool = typer.Option(
        False, help="Load it in float32 as well and print what the number format costs."
    ),
    server: str = link.SERVER,
    token_file: Path | None = link.TOKEN_FILE,
    server_certificate: Path | None = link.CERTIFICATE,
    data: Path | None = typer.Option(None, help="Episodes to take frames from (else drawn ones)."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
    raw: Path | None = typer.Option(None, help="Raw samples as .npz."),
    plot: Path | None = typer.Option(None, help="Stages and tail, as PNG."),
) -> None:
    """Measures a policy frame by frame, or (compare, node, recorder) whole nodes.

    The stages decode, preprocess, vision, text, head and total are timed apart, the first call
    and loading too. `window` computes the whole window at every step as the original code does;
    `stream` encodes each frame once. Both run in turns, so their ratio can be trusted.

    Examples:

    mobile_vla benchmark --checkpoint epoch=09.ckpt --plot latency.png

    mobile_vla benchmark --random full --dtype bfloat16 --runs 5 --json full.json

    mobile_vla benchmark -c left_v3 --runtime torch,onnx --dtype float32,int8

    mobile_vla benchmark --server wss://gpu-box:8765 --token-file token.txt --runs 100
    """
    if context.invoked_subcommand is not None:
        return
    if server:
        link.benchmark(server, token_file, server_certificate, runs, json_file)
        return
    if bool(checkpoint) == bool(random):
        raise InputError("give --checkpoint, --server, or --random full|medium|small|tiny")
    if runtime:
        from mobile_vla_ros.cli.benchmark_runtimes import runtimes

        runtimes(
            checkpoint,
            backbone,
            config,
            random,
            device=device,
            runtime=runtime,
            dtype=dtype,
            threads=threads,
            runs=runs,
            json_file=json_file,
            with_progress=_with_progress,
        )
        return
    if importlib.util.find_spec("torch") is None:
        raise InputError("stages are timed in torch, which is not installed; give --runtime onnx")
    import torch

    from mobile_vla_ros.benchmark.frames import drawn_frames, episode_frames
    from mobile_vla_ros.benchmark.latency import (
        INSTRUCTION,
        MODES,
        measure_latency,
        needs_plain,
        once,
    )
    from mobile_vla_ros.benchmark.memory import PeakMemory, anonymous_bytes
    from mobile_vla_ros.benchmark.plain import PlainProcess

    if mode not in MODES:
        raise InputError(f"--mode is {mode!r}: use {', '.join(MODES)}")
    if threads:
        torch.set_num_threads(threads)
    frames = episode_frames(data) if data else drawn_frames()
    before = anonymous_bytes()
    with PeakMemory() as loading:
        begin = time.perf_counter()
        policy = _policy(checkpoint, backbone, config, random, device, dtype)
        load_seconds = time.perf_counter() - begin
    with ExitStack() as stack:
        plain = None
        if policy.packs and needs_plain(mode, lean_pairs):
            load = partial(_policy, checkpoint, backbone, config, random, device, dtype)
            plain = stack.enter_context(PlainProcess(load, INSTRUCTION, torch.get_num_threads()))
        running = stack.enter_context(PeakMemory(period=0.05))
        result = _with_progress(
            lambda tick: measure_latency(
                policy,
                frames,
                mode=mode,
                runs=runs,
                warm_up=warm_up,
                lean_pairs=lean_pairs,
                plain=plain,
                tick=tick,
            )
        )
    result.memory |= {
        "before": before,
        "loading_peak": loading.bytes,
        "running_peak": running.bytes,
    }
    values = vars(result) | {"load_seconds": load_seconds, "velocity_error": None}
    if error:
        from mobile_vla_ros.benchmark.accuracy import velocity_error

        exact = _policy(checkpoint, backbone, config, random, device, "float32")
        values["velocity_error"] = velocity_error(policy, exact, frames, INSTRUCTION)
    samples = values.pop("samples")
    for values_of_mode in values["modes"].values():
        values_of_mode["stages"]["load"] = once(load_seconds)
    _tell(values)
    write_json(json_file, values)
    if raw is None and json_file is not None:
        raw = json_file.with_suffix(".samples.npz")
    if raw is not None:
        _save_samples(raw, samples)
    if plot is not None:
        _draw(plot, values, samples)


def _save_samples(path: Path, samples: dict[str, dict[str, list[float]]]) -> None:
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


def _draw(path: Path, values: dict[str, Any], samples: dict[str, dict[str, list[float]]]) -> None:
    from mobile_vla_ros.benchmark.latency import DEADLINE
    from mobile_vla_ros.plots.latency import draw_latency
    from mobile_vla_ros.plots.style import save_figure

    model, machine = values["model"], values["machine"]
    place = machine["gpu"]["name"] if model["device"] != "cpu" else machine["cpu"]
    title = f"{model['parameters'] / 1e6:.4g} M parameters, {model['dtype']}, {place}"
    save_figure(draw_latency(samples, title, DEADLINE), path)


def compare(
    first: Path = typer.Argument(..., help="Result of a run (--json)."),
    second: Path = typer.Argument(..., help="Result of another."),
    json_file: Path | None = typer.Option(None, "--json", help="Machine-readable result."),
) -> None:
    """Shows two latency runs side by side, and what else differs between them.

    Example: mobile_vla benchmark compare laptop.json workstation.json
    """
    from rich.console import Console
    from rich.table import Table

    from mobile_vla_ros.benchmark.compare import compare_results, differences, read_result

    a, b = read_result(first), read_result(second)
    rows = compare_results(a, b)
    table = Table(box=None)
    for title in ("mode", "stage", first.name, second.name, "first / second"):
        table.add_column(title)
    for row in rows:
        table.add_row(
            row["mode"],
            row["stage"],
            f"{1e3 * row['first']:.4g} ms",
            f"{1e3 * row['second']:.4g} ms",
            f"{row['ratio']:.3g}",
        )
    Console().print(table)
    others = differences(a, b)
    for sentence in others:
        print(f"differs: {sentence}")
    write_json(json_file, {"rows": rows, "differs": others})


def _policy(
    checkpoint: str, backbone: str, config: str, random: str, device: str, dtype: str
) -> Policy:
    from mobile_vla_ros.policy import load_policy

    if checkpoint:
        return load_policy(
            checkpoint,
            backbone=backbone or None,
            config=config or None,
            device=device,
            dtype=dtype,
        )
    from mobile_vla_ros.policy.random_policies import SIZES, random_policy

    if random not in SIZES:
        raise InputError(f"--random is {random!r}: use {', '.join(reversed(SIZES))}")
    return random_policy(random, device=device, dtype=dtype)


def _with_progress(work) -> Any:
    if not sys.stderr.isatty():
        return work(lambda what, done, total: None)
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        tasks: dict[str, Any] = {}

        def tick(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = progress.add_task(what, total=total)
            progress.update(tasks[what], completed=done + 1)

        return work(tick)


def _tell(result: dict[str, Any]) -> None:
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
