"""``mobile_vla context extract|compare|probe|ablate|attention``: what the policy sees and uses."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from mobile_vla_ros.cli import context_inside, options
from mobile_vla_ros.cli.evidence import number, show_comparison, show_skipped
from mobile_vla_ros.cli.output import write_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Extract context vectors, compare two models' vectors, and see what they tell.",
)


@app.command()
def extract(
    checkpoint: options.Checkpoint,
    data: options.Data,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the extraction.")],
    backbone: options.Backbone = None,
    config: options.Config = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    instruction: options.Instruction = None,
    windows: options.Windows = 1,
    window_size: Annotated[
        int | None, typer.Option(min=1, help="Frames per window; else the policy's.")
    ] = None,
    batch: Annotated[
        int | None, typer.Option(min=1, help="Frames at a time; else as the memory allows.")
    ] = None,
    limit: options.Limit = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=0, help="Processes that encode; 0: this one.")
    ] = 0,
    on: options.On = "here",
    json_file: options.JsonFile = None,
) -> None:
    """Writes the image context (windows, frames, tokens, D) and the action token's features.

    OUT gets context.npy and action.npy (float16, memory-mapped) and context.json with shape, mean,
    std, min, max, norm, per token and per frame, and where it all came from. An interrupted
    extraction goes on where it stopped when the same command is given again.

    Example: mobile_vla context extract -c best.ckpt -d episodes -o context/best
    """
    from mobile_vla_ros.analysis.context import extract as run
    from mobile_vla_ros.analysis.encoding import Others
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.spreading import HERE

    policy = load_policy(checkpoint, backbone, config, device, dtype, "torch")
    others = None
    if workers or on != HERE:
        # What "auto" has come to here holds everywhere.
        chosen = (device, str(policy.dtype).removeprefix("torch."), "torch")
        others = Others((checkpoint, backbone, config, *chosen), workers or 1, on)
    found = run(
        policy,
        data,
        out,
        window_size=window_size,
        per_episode=windows,
        instruction=instruction,
        batch=batch,
        limit=limit,
        progress=bar,
        others=others,
    )
    summary = found.summary
    write_json(json_file, summary)
    typer.echo(f"shape {summary['shape']} in {out}")
    for name in ("mean", "std", "min", "max", "norm"):
        typer.echo(f"{name:>5} {summary[name]:.4f}")
    show_skipped(summary["skipped"])


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A checkpoint, or the folder of an extraction.")],
    b: Annotated[Path, typer.Argument(help="Another one; extractions must show the same frames.")],
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", "-d", help="Episodes, when A and B are checkpoints."),
    ] = None,
    backbone: options.Backbone = None,
    config: options.Config = None,
    backbone_b: options.OtherBackbone = None,
    config_b: options.OtherConfig = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    instruction: options.Instruction = None,
    windows: options.Windows = 1,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    json_file: options.JsonFile = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Write the metrics as a figure; maps and distributions go beside it."),
    ] = None,
) -> None:
    """Compares the context vectors of two models on the same frames.

    The lab's four measures are printed as it defines them, and beside each the form that can tell
    models apart, all against two references: the same model on neighbouring frames and on frames
    shuffled between episodes. 'Not discriminating' marks a threshold that shuffled ones pass too.

    Example: mobile_vla context compare frozen.ckpt lora.ckpt -d episodes --json compare.json
    """
    from mobile_vla_ros.analysis.compare import compare as run
    from mobile_vla_ros.analysis.maps import maps
    from mobile_vla_ros.cli.progress import bar

    with tempfile.TemporaryDirectory() as scratch:
        pair = _both(
            (a, backbone, config),
            (b, backbone_b or backbone, config_b or config),
            data or [],
            Path(scratch),
            device=device,
            dtype=dtype,
            instruction=instruction,
            windows=windows,
            limit=limit,
        )
        result = run(*pair, seed=seed, progress=bar)
        result["skipped"] = pair[0].summary["skipped"]
        result["files"] = pair[0].summary["files"]
        result["maps"] = maps(pair[0], pair[1], seed=seed)
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.similarity import context_figures
        from mobile_vla_ros.plots.style import save_figure

        for name, figure in context_figures(result).items():
            suffix = "" if name == "metrics" else f"-{name}"
            save_figure(figure, plot.with_name(f"{plot.stem}{suffix}{plot.suffix}"))
    show_comparison(result, "image context")
    if "action" in result:
        show_comparison(result["action"], "action token")
    show_skipped(result["skipped"])
    typer.echo(result["conclusion"])


@app.command()
def probe(
    checkpoint: options.Checkpoint,
    data: options.Data,
    backbone: options.Backbone = None,
    config: options.Config = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    neutral: Annotated[
        str | None,
        typer.Option(
            help="Prompt that names no side, for probing the side at the action token; else the "
            "first episode's instruction without left and right."
        ),
    ] = None,
    windows: options.Windows = 1,
    limit: options.Limit = None,
    seed: options.Seed = 0,
    json_file: options.JsonFile = None,
    plot: options.Plot = None,
) -> None:
    """Asks linear probes whether the features tell velocity, side and distance travelled.

    Probes are trained and tested on different episodes, beside a control whose labels are
    exchanged between episodes. The last line says in one sentence what was shown, and what not.

    Example: mobile_vla context probe -c best.ckpt -d episodes --windows 2 --plot probes.png
    """
    from mobile_vla_ros.analysis.context import extract as run
    from mobile_vla_ros.analysis.probes import probe as ask
    from mobile_vla_ros.analysis.recordings import AnalysisError, side_of_name, without_sides
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy

    policy = load_policy(checkpoint, backbone, config, device, dtype, "torch")
    with tempfile.TemporaryDirectory() as scratch:
        found = run(
            policy,
            data,
            Path(scratch) / "own",
            per_episode=windows,
            limit=limit,
            progress=bar,
        )
        plain = None
        if found.action is not None:
            told = neutral or without_sides(found.windows[0].instruction) or "go to the goal"
            if side_of_name(told):
                raise AnalysisError(f"--neutral {told!r} names a side; give one without")
            plain = run(
                policy,
                (),
                Path(scratch) / "neutral",
                windows=found.windows,
                instruction=told,
                progress=bar,
            )
        result = ask(found, neutral=plain, seed=seed, progress=bar)
        result["files"] = found.summary["files"]
        result["skipped"] = found.summary["skipped"]
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.similarity import probes
        from mobile_vla_ros.plots.style import save_figure

        save_figure(probes(result), plot)
    _show_probes(result)
    show_skipped(result["skipped"])
    typer.echo(result["conclusion"])


def _both(first, second, data, scratch: Path, *, device, dtype, instruction, windows, limit):
    """Both extractions: opened where A and B are such, else made from the same windows."""
    from mobile_vla_ros.analysis.context import extract as run
    from mobile_vla_ros.analysis.context import open_extraction
    from mobile_vla_ros.analysis.recordings import AnalysisError, find_recordings
    from mobile_vla_ros.analysis.windows import choose_windows
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy

    made = [path.is_dir() and (path / "plan.json").exists() for path, _, _ in (first, second)]
    if all(made):
        return open_extraction(first[0]), open_extraction(second[0])
    if any(made):
        opened = open_extraction((first if made[0] else second)[0])
        other = load_policy(*(second if made[0] else first), device, dtype, "torch")
        told = opened.summary["prompt"]
        if told.startswith("each episode"):
            told = None
        new = run(
            other,
            (),
            scratch / "other",
            windows=opened.windows,
            instruction=instruction or told,
            progress=bar,
        )
        return (opened, new) if made[0] else (new, opened)
    if not data:
        raise AnalysisError("give --data with the episodes that both checkpoints shall see")
    recordings = find_recordings(data, limit)
    policy = load_policy(*first, device, dtype, "torch")
    other = load_policy(*second, device, dtype, "torch")
    size = min(policy.config.window_size, other.config.window_size)
    chosen = choose_windows(recordings, policy.config.frame_period, size, windows, bar)
    pair = []
    for name, one in (("a", policy), ("b", other)):
        pair.append(
            run(one, (), scratch / name, windows=chosen, instruction=instruction, progress=bar)
        )
    pair[0].summary["skipped"] = recordings.skipped
    return tuple(pair)


def _show_probes(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("features", "target", "score", "value (95 %)", "control 95 %", "informative")
    for entry in result["probes"]:
        if entry["measured"]:
            table.add_row(
                entry["features"],
                entry["target"],
                entry["score"],
                f"{entry['value']:.2f} ({number(entry['low'])} to {number(entry['high'])})",
                number(entry["control_high"]),
                "yes" if entry["informative"] else "not shown",
            )
        else:
            table.add_row(
                entry["features"], entry["target"], entry["score"], "not measured", "",
                entry["reason"],
            )  # fmt: skip
    Console(soft_wrap=True).print(table)


app.command()(context_inside.ablate)
app.command()(context_inside.attention)
