"""Options that mean the same in several subcommands; each says its type, its name, its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[
    Path,
    typer.Option(
        "--checkpoint", "-c", help="Any checkpoint, demo (the bundled one), or a Kosmos-2 folder."
    ),
]
Data = Annotated[
    list[Path],
    typer.Option("--data", "-d", help="Episode files or folders; may be given more than once."),
]
Backbone = Annotated[Path | None, typer.Option(help="The Kosmos-2 directory.")]
Config = Annotated[Path | None, typer.Option(help="A run JSON.")]
OtherBackbone = Annotated[Path | None, typer.Option(help="B's Kosmos-2 directory, when another.")]
OtherConfig = Annotated[Path | None, typer.Option(help="B's run JSON, when another.")]
Device = Annotated[
    str, typer.Option(help="auto, cpu or cuda; with runtime onnx also tensorrt or openvino.")
]
Dtype = Annotated[str, typer.Option(help="auto, float32, bfloat16, float16 or int8.")]
Runtime = Annotated[
    str,
    typer.Option(help="auto, torch, or onnx (a directory of `mobile_vla convert --onnx`)."),
]
Windows = Annotated[
    int,
    typer.Option(min=0, help="Windows per episode, evenly spaced; 1: the first, 0: all."),
]
Limit = Annotated[int | None, typer.Option(min=1, help="At most this many episodes.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the result as JSON.")]
Plot = Annotated[Path | None, typer.Option(help="Write a figure (.png or .pdf).")]
Instruction = Annotated[
    str | None, typer.Option(help="Prompt of the action token; else each episode's own.")
]
Seed = Annotated[int, typer.Option(help="Seed of shuffles, resampling and maps.")]
