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
SCENARIO_HELP = (
    "1box_left, 1box_right, 2box_left or 2box_right, if wanted with _close, _medium or _far; "
    "may be given several times, 'all' takes the four. In the open field open_easy, open_medium "
    "or open_hard, if wanted with _grey_basket and the like, _left, _right or _stop."
)
Field = Annotated[str, typer.Option("--field", help="lab: boxes and a bottle; open: see --tier.")]
Tier = Annotated[
    list[str] | None,
    typer.Option(
        "--tier",
        help="Of the open field: easy, medium or hard; may be given several times; else all.",
    ),
]
Target = Annotated[
    str, typer.Option(help="Of the open field: what to drive to ('grey basket'), or 'stop'.")
]
Kept = Annotated[
    bool,
    typer.Option(
        "--kept", help="In the open field also wordings, things and rooms that no training has."
    ),
]
On = Annotated[
    str, typer.Option("--on", help="here, or ray: the machines of a Ray cluster (an extra).")
]
