"""``mobile_vla context ablate|attention``: both look at windows of episodes through one policy."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from mobile_vla_ros.cli import options
from mobile_vla_ros.cli.evidence import number, show_skipped
from mobile_vla_ros.cli.output import write_json

if TYPE_CHECKING:
    from mobile_vla_ros.analysis.windows import Window


@dataclass(frozen=True)
class Looking:
    """What both commands start from: a loaded policy and the windows to look at."""

    policy: Any
    windows: Sequence[Window]
    skipped: list[dict[str, str]]
    instruction: str | None


def _looking(
    checkpoint: options.Checkpoint,
    data: options.Data,
    backbone: options.Backbone = None,
    config: options.Config = None,
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    instruction: options.Instruction = None,
    windows: options.Windows = 1,
    limit: options.Limit = None,
) -> Looking:
    from mobile_vla_ros.analysis.recordings import find_recordings
    from mobile_vla_ros.analysis.windows import choose_windows
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.policy import load_policy

    recordings = find_recordings(data, limit)
    policy = load_policy(checkpoint, backbone, config, device, dtype, "torch")
    chosen = choose_windows(
        recordings, policy.config.frame_period, policy.config.window_size, windows, bar
    )
    return Looking(policy, chosen, recordings.skipped, instruction)


def _with_looking(limit: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command the options of ``_looking`` and, in their place, what it returns.

    Args:
        limit: episodes by default.
    """
    shared = inspect.signature(_looking, eval_str=True).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]

        def run(**given: Any) -> None:
            command(_looking(**{name: given.pop(name) for name in shared}), **given)

        both = [*shared.values(), *own]
        chosen = [one.replace(default=limit) if one.name == "limit" else one for one in both]
        run.__name__, run.__doc__ = command.__name__, command.__doc__
        run.__annotations__ = {one.name: one.annotation for one in chosen}
        run.__signature__ = inspect.Signature(chosen)  # type: ignore[attr-defined]
        return run

    return decorate


@_with_looking(limit=10)
def ablate(
    looking: Looking,
    seed: options.Seed = 0,
    json_file: options.JsonFile = None,
    plot: options.Plot = None,
) -> None:
    """Takes away tokens, groups of tokens, frames and the instruction; measures the velocities.

    What is taken away is replaced by its average over all frames. The figure shows the change for
    each, and the tokens' importance over the image by where each latent query looks.

    Example: mobile_vla context ablate -c best.ckpt -d episodes --plot ablation.png
    """
    from mobile_vla_ros.analysis.ablation import ablate as run
    from mobile_vla_ros.cli.progress import bar

    told = looking.instruction
    result = run(looking.policy, looking.windows, instruction=told, seed=seed, progress=bar)
    result["skipped"] = looking.skipped
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.analysis.pictures import frame
        from mobile_vla_ros.plots.inside import ablation
        from mobile_vla_ros.plots.style import save_figure

        save_figure(ablation(result, frame(result["example"])), plot)
    for entry in (*result["groups"], *result["frames"], result["instruction"]):
        typer.echo(
            f"{entry['name']:<24} {entry['rms_change']:.4f} "
            f"({number(entry['low'])} to {number(entry['high'])})"
        )
    show_skipped(looking.skipped)
    typer.echo(result["conclusion"])


@_with_looking(limit=4)
def attention(
    looking: Looking,
    json_file: options.JsonFile = None,
    plot: options.Plot = None,
) -> None:
    """Draws where the action token and the image projection look, over the frames.

    Example: mobile_vla context attention -c best.ckpt -d episodes --plot attention.png
    """
    from mobile_vla_ros.analysis.attention import look
    from mobile_vla_ros.cli.progress import bar

    told = looking.instruction
    result = look(looking.policy, looking.windows, instruction=told, progress=bar)
    result["skipped"] = looking.skipped
    write_json(json_file, result)
    if plot is not None:
        from mobile_vla_ros.analysis.pictures import frame
        from mobile_vla_ros.plots.inside import attention as draw
        from mobile_vla_ros.plots.style import save_figure

        found = [(item, frame(item)) for item in result["frames"][:4]]
        shown = [(item, image) for item, image in found if image is not None]
        drawn = {**result, "frames": [item for item, _ in shown]}
        save_figure(draw(drawn, [image for _, image in shown]), plot)
    typer.echo(
        f"the action token gives {result['share_on_image']:.0%} of its attention to the image"
    )
    for layer, share in enumerate(result["share_on_image_by_layer"]):
        typer.echo(f"  text layer {layer}: {share:.0%}")
    show_skipped(looking.skipped)
    typer.echo(result["note"])
