"""``mobile_vla inspect``: what a checkpoint is, before anything is loaded."""

from __future__ import annotations

import importlib.util
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros import bundled
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.words import KnownInstructions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def inspect(
    checkpoint: Path = typer.Argument(
        ...,
        help="A RoboVLMs .pt, a Lightning .ckpt, a converted or a Kosmos-2 directory, or demo.",
    ),
    backbone: Path | None = typer.Option(
        None, help="The Kosmos-2 directory; by default the one the run file names."
    ),
    config: Path | None = typer.Option(
        None, help="A run JSON; by default the one inside the checkpoint or beside it."
    ),
    list_instructions: bool = typer.Option(
        False, "--list-instructions", help="Only the instructions it was trained with, one a line."
    ),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
) -> None:
    """Shows what a checkpoint holds: kind, head, adapters, sizes, axes, and whether it is whole.

    No weight is read, so it takes a second or two whatever the size. Every weight of the
    checkpoint and of the model must be accounted for; otherwise the first few names are shown and
    the exit status is 2.

    Example: mobile_vla inspect "runs/epoch_epoch=09-val_loss=val_loss=0.013.ckpt"
    """
    from mobile_vla_ros.policy.errors import CheckpointError
    from mobile_vla_ros.runtime.inspection import describe_manifest, graph_facts, slow_formats
    from mobile_vla_ros.runtime.manifest import has_graphs, read_manifest

    checkpoint = bundled.find(checkpoint)
    torch = importlib.util.find_spec("torch") is not None
    plan = manifest = None
    if torch:
        from mobile_vla_ros.policy.inspection import describe
        from mobile_vla_ros.policy.plan import plan_loading

        plan = plan_loading(checkpoint, backbone, config)
        result = describe(plan)
    if plan is None or has_graphs(checkpoint):
        # Without torch the notes beside the graphs are what there is to tell.
        manifest = read_manifest(checkpoint)
        if plan is None:
            result = describe_manifest(manifest)
    result["onnx"] = None if manifest is None else graph_facts(manifest)
    result["slow_here"] = slow_formats()
    if list_instructions:
        _list_instructions(result["instructions"])
    else:
        _show(result)
    write_json(json_file, result)
    try:
        if plan is not None:
            plan.check()
    except CheckpointError:
        typer.echo("It cannot be loaded as it is.")
        raise


def _show(result: dict[str, Any]) -> None:
    coverage = result["coverage"]
    lines = {
        "checkpoint": result["path"],
        "kind": f"{result['kind']}, trained: {result['trained']}",
        "head": _head(result),
        "window": f"{result['window_size']} frames, {result['frame_period']:g} s apart",
        "adapters": _adapters(result["lora"]),
        "backbone": (
            f"{result['vision_layers']} vision and {result['text_layers']} text layers, context "
            f"{result['context_tokens']} x {result['context_width']}, from {result['backbone']}"
        ),
        "weights": (
            f"{result['parameters']:,} values, {result['bytes'] / 1e9:.3g} GB stored as "
            f"{', '.join(result['dtypes'])}"
        ),
        "coverage": (
            f"{coverage['loaded']} loaded, {len(coverage['missing'])} missing, "
            f"{len(coverage['unexpected'])} unexpected, {coverage['unused']} not needed"
        ),
    }
    if result["drives"]:
        said = "" if result["action_axes_confirmed"] else " (assumed)"
        lines["outputs"] = f"{', '.join(result['action_axes'])}{said}"
        lines["range"] = f"{result['norm_min']} to {result['norm_max']} m/s, rad/s"
    if result["onnx"] is not None:
        lines["onnx"] = _graphs(result["onnx"])
    if result["slow_here"]:
        lines["slow here"] = "; ".join(result["slow_here"])
    if result["instructions"]:
        lines["words"] = "; ".join(KnownInstructions(result["instructions"]).templates)
    width = max(map(len, lines))
    for name, text in lines.items():
        typer.echo(f"{name:<{width}}  {text}")
    for note in result["notes"]:
        typer.echo(f"note: {note}")


def _list_instructions(sentences: list[str]) -> None:
    for sentence in sentences:
        typer.echo(sentence)
    if not sentences:
        typer.echo("it does not say which instructions it was trained with", err=True)


def _graphs(onnx: dict[str, Any]) -> str:
    text = f"{len(onnx['graphs'])} graphs in {onnx['dtype']}, opset {onnx['opset']}"
    if onnx["int8"] is not None:
        errors = onnx["int8"]["velocity_error"].values()
        worst = max((error["p99"] for error in errors), default=0.0)
        text += (
            f", {len(onnx['int8']['kept'])} layers in floating point, velocity error {worst:.2g} "
            f"(p99, on {onnx['int8']['frames_from']})"
        )
    return text


def _head(result: dict[str, Any]) -> str:
    if result["head"] is None:
        return "none"
    return (
        f"{result['head']}, {result['chunk_size']} steps x {result['dof']} values, LSTM of "
        f"{result['num_layers']} x {result['hidden_size']}"
    )


def _adapters(lora: dict[str, Any] | None) -> str:
    if lora is None:
        return "none"
    kinds = Counter(module.rpartition(".")[2] for module in lora["modules"])
    listed = ", ".join(f"{name} x {count}" for name, count in kinds.items())
    merged = ", merged" if lora["merged"] else ""
    return f"LoRA r {lora['r']}, alpha {lora['alpha']:g}{merged} on {listed}"
