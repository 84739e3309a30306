"""``mobile_vla latent compare``: what two policies' LSTMs hold on the same frames."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.output import write_json

app = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="Compare the LSTM states of two policies."
)


@app.callback()
def group() -> None:
    """Compare the LSTM states of two policies."""


@app.command()
def compare(
    a: Path = typer.Argument(..., help="A checkpoint with an action head."),
    b: Path = typer.Argument(..., help="Another one."),
    data: list[Path] = typer.Option(
        ..., "--data", "-d", help="Episode files or folders; may be given more than once."
    ),
    backbone: Path | None = typer.Option(None, help="The Kosmos-2 directory."),
    config: Path | None = typer.Option(None, help="A run JSON."),
    backbone_b: Path | None = typer.Option(None, help="B's Kosmos-2 directory, when another."),
    config_b: Path | None = typer.Option(None, help="B's run JSON, when another."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    dtype: str = typer.Option("auto", help="auto, float32, bfloat16, float16 or int8."),
    instruction: str | None = typer.Option(
        None, help="Instruction instead of each episode's own."
    ),
    windows: int = typer.Option(
        1, min=0, help="Windows per episode, evenly spaced; 1: the first, 0: all."
    ),
    limit: int | None = typer.Option(None, min=1, help="At most this many episodes."),
    seed: int = typer.Option(0, help="Seed of shuffles and resampling."),
    json_file: Path | None = typer.Option(None, "--json", help="Write the result as JSON."),
    plot: Path | None = typer.Option(None, help="Write a figure (.png or .pdf)."),
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
    first = load_policy(a, backbone, config, device, dtype)
    second = load_policy(b, backbone_b or backbone, config_b or config, device, dtype)
    size = min(first.config.window_size, second.config.window_size)
    chosen = choose_windows(recordings, first.config.frame_period, size, windows, bar)
    states = [
        gather(policy, chosen, instruction=instruction, progress=bar) for policy in (first, second)
    ]
    result = compare_latents(*states, chosen, seed=seed)
    result["skipped"] = recordings.skipped
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.plots.inside import latents
        from mobile_vla_ros.plots.style import save_figure

        save_figure(latents(result), plot)
    from mobile_vla_ros.cli.context import show_comparison

    show_comparison(result, "LSTM states")
    for item in recordings.skipped:
        typer.echo(f"left out {item['path']}: {item['reason']}")
    typer.echo(result["conclusion"])
