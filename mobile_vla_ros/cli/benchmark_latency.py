"""``mobile_vla benchmark`` without a subcommand, and ``compare``: offline latency of a policy."""

from __future__ import annotations

import importlib.util
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from mobile_vla_ros.cli import link
from mobile_vla_ros.cli.latency_text import draw, print_latency, save_samples
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
    source = _Source(checkpoint, backbone, config, random, device, dtype)
    values, samples = _measure(
        source, data, mode=mode, runs=runs, warm_up=warm_up, lean_pairs=lean_pairs, threads=threads
    )
    values["velocity_error"] = _velocity_error(source, data, values.pop("policy"), error)
    print_latency(values)
    write_json(json_file, values)
    if raw is None and json_file is not None:
        raw = json_file.with_suffix(".samples.npz")
    if raw is not None:
        save_samples(raw, samples)
    if plot is not None:
        draw(plot, values, samples)


@dataclass(frozen=True)
class _Source:
    """The policy that is measured, as the command line names it."""

    checkpoint: str
    backbone: str
    config: str
    random: str
    device: str
    dtype: str

    def load(self) -> Policy:
        from mobile_vla_ros.policy import load_policy

        if self.checkpoint:
            return load_policy(
                self.checkpoint,
                backbone=self.backbone or None,
                config=self.config or None,
                device=self.device,
                dtype=self.dtype,
            )
        from mobile_vla_ros.policy.random_policies import SIZES, random_policy

        if self.random not in SIZES:
            raise InputError(f"--random is {self.random!r}: use {', '.join(reversed(SIZES))}")
        return random_policy(self.random, device=self.device, dtype=self.dtype)


def _frames(data: Path | None) -> list[bytes]:
    from mobile_vla_ros.benchmark.frames import drawn_frames, episode_frames

    return episode_frames(data) if data else drawn_frames()


def _measure(
    source: _Source,
    data: Path | None,
    *,
    mode: str,
    runs: int,
    warm_up: int,
    lean_pairs: int,
    threads: int,
) -> tuple[dict[str, Any], dict[str, dict[str, list[float]]]]:
    """Loads the policy and times it; what was found, with the policy, and the raw samples."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("stages are timed in torch, which is not installed; give --runtime onnx")
    import torch

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
    frames = _frames(data)
    before = anonymous_bytes()
    with PeakMemory() as loading:
        begin = time.perf_counter()
        policy = source.load()
        load_seconds = time.perf_counter() - begin
    with ExitStack() as stack:
        plain = None
        if policy.packs and needs_plain(mode, lean_pairs):
            plain = stack.enter_context(
                PlainProcess(source.load, INSTRUCTION, torch.get_num_threads())
            )
        running = stack.enter_context(PeakMemory(period=0.05))
        measure = partial(
            measure_latency,
            policy,
            frames,
            mode=mode,
            runs=runs,
            warm_up=warm_up,
            lean_pairs=lean_pairs,
            plain=plain,
        )
        result = _with_progress(lambda tick: measure(tick=tick))
    result.memory |= {
        "before": before,
        "loading_peak": loading.bytes,
        "running_peak": running.bytes,
    }
    values = vars(result) | {"load_seconds": load_seconds, "policy": policy}
    samples = values.pop("samples")
    for values_of_mode in values["modes"].values():
        values_of_mode["stages"]["load"] = once(load_seconds)
    return values, samples


def _velocity_error(
    source: _Source, data: Path | None, policy: Policy, wanted: bool
) -> dict[str, Any] | None:
    """What the number format costs, against the same policy in float32."""
    if not wanted:
        return None
    from mobile_vla_ros.benchmark.accuracy import velocity_error
    from mobile_vla_ros.benchmark.latency import INSTRUCTION

    exact = replace(source, dtype="float32").load()
    return velocity_error(policy, exact, _frames(data), INSTRUCTION)


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
