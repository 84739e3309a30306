"""``mobile_vla latent compare``: what two policies' LSTMs hold on the same frames."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.output import write_json

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    help="Compare the LSTM states of two policies.",
)


@app.callback()
def group() -> None:
    """Compare the LSTM states of two policies."""


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="A checkpoint with an action head.")],
    b: Annotated[Path, typer.Argument(help="Another one.")],
    data: options.Data,
    backbone: options.Backbone = None,
    config: options.Config = None,
    backbone_b: options.OtherBackbone = None,
    config_b: options.OtherConfig = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    instruction: Annotated[
        str | None, typer.Option(help="Instruction instead of each episode's own.")
    ] = None,
    windows: options.Windows = 1,
    limit: options.Limit = None,
    seed: Annotated[int, typer.Option(help="Seed of shuffles and resampling.")] = 0,
    json_file: options.JsonFile = None,
    plot: options.Plot = None,
) -> None:
    """Compares LSTM outputs and cell states by debiased CKA and Procrustes.

    Units of separately trained heads do not correspond, so none is compared unit by unit. Beside
    it: how active each layer is, and how the state drifts over the window.

    Example: mobile_vla latent compare frozen.ckpt lora.ckpt -d episodes --plot latents.png
    """
    from mobile_vla_ros.analysis.latents import compare_latents, gather
    from mobile_vla_ros.analysis.recordings import find_recordings
    from mobile_vla_ros.analysis.windows import choose_windows
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy

    recordings = find_recordings(data, limit)
    first = load_policy(a, backbone, config, device, dtype, "torch")
    second = load_policy(b, backbone_b or backbone, config_b or config, device, dtype, "torch")
    size = min(first.config.window_size, second.config.window_size)
    chosen = choose_windows(recordings, first.config.frame_period, size, windows, bar)
    states = [
        gather(policy, chosen, instruction=instruction, progress=bar) for policy in (first, second)
    ]
    result = compare_latents(states[0], states[1], chosen, seed=seed)
    result["skipped"] = recordings.skipped
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.inside import latents
        from mobile_vla_ros.plots.style import save_figure

        save_figure(latents(result), plot)
    from mobile_vla_ros.cli.evidence import show_comparison

    show_comparison(result, "LSTM states")
    for item in recordings.skipped:
        typer.echo(f"left out {item['path']}: {item['reason']}")
    typer.echo(result["conclusion"])
