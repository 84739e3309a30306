"""``mobile_vla episodes view``: recordings in Rerun."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer


def view(
    files: list[Path] = typer.Argument(..., help="Episodes, incident capsules, or folders."),
    save: Path | None = typer.Option(None, help="Write this .rrd file instead of opening Rerun."),
    checkpoint: str = typer.Option(
        "", "--checkpoint", "-c", help="Also what this policy would have done."
    ),
    backbone: str = typer.Option("", help="Its Kosmos-2 directory, if it needs one."),
    config: str = typer.Option("", help="Its run file, if it needs one."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Shows frames, commands, path and instruction on one timeline, in Rerun.

    Of an incident capsule also the plans that were never driven. Needs the extra `view`.

    Example: mobile_vla episodes view FILE.h5 --save drive.rrd --checkpoint policy/
    """
    from mobile_vla_ros.cli.episode_paths import finished
    from mobile_vla_ros.episodes.rerun_view import view as show

    paths = finished(files)
    wishes = _wishes(paths, checkpoint, backbone, config, device) if checkpoint else None
    written = show(paths, save, wishes)
    if written is not None:
        print(f"{written}: {written.stat().st_size / 1e6:.1f} MB; open it with `rerun {written}`")


def _wishes(
    paths: Sequence[Path], checkpoint: str, backbone: str, config: str, device: str
) -> dict[Path, Any]:
    """What the policy would have done at each frame of each recording."""
    from mobile_vla_ros.cli.progress import bar
    from mobile_vla_ros.episodes.incident import is_incident, read_incident
    from mobile_vla_ros.episodes.reader import open_episode
    from mobile_vla_ros.policy import load_policy

    policy = load_policy(checkpoint, backbone or None, config or None, device=device)
    found: dict[Path, Any] = {}
    for path in bar(paths, "asking the policy"):
        if is_incident(path):
            incident = read_incident(path)
            told = str(incident.attributes.get("instruction") or "")
            frames = (
                (incident.image(index), float(stamp))
                for index, stamp in enumerate(incident.frame_stamps)
            )
            found[path] = _asked(policy, told, frames)
            continue
        with open_episode(path) as episode:
            frames = (
                (episode.image(row), float(episode.image_stamps[row]))
                for row in range(len(episode))
            )
            found[path] = _asked(policy, episode.instruction, frames)
    return found


def _asked(policy: Any, instruction: str, frames: Any) -> list[Any]:
    from mobile_vla_ros.episodes.rerun_view import Wish

    stream = policy.stream(instruction or "go")
    wishes = []
    for image, stamp in frames:
        chunk = stream.step(image, stamp)
        wishes.append(Wish(stamp, chunk.velocities, tuple(chunk.axes), chunk.action_period))
    return wishes
