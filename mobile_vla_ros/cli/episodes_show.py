"""``mobile_vla episodes show|replay``: an episode or an incident as a picture, or as topics."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import typer

from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.launching import parameter_value

JSON = typer.Option(None, "--json", help="Machine-readable result.")


def show(
    path: Path = typer.Argument(..., help="The episode, or an incident capsule."),
    plot: Path | None = typer.Option(
        None, help="The picture to write (.png, .pdf); by default the episode's name with .png."
    ),
    pictures: int = typer.Option(18, help="Frames to draw, spread evenly.", min=1, max=200),
    json_file: Path | None = JSON,
) -> None:
    """Draws the contact sheet: frames with the commands on them, speeds, and the path.

    An incident capsule is drawn with its pictures, every plan to its last step, the commands, the
    path and what happened when.

    Example: mobile_vla episodes show episode_20250101_120000_1box_left.h5 --plot sheet.png
    """
    from mobile_vla_ros.episodes.incident import is_incident
    from mobile_vla_ros.episodes.reader import open_episode
    from mobile_vla_ros.episodes.sheet import draw_episode, driven_path

    if is_incident(path):
        shown = _show_incident(path, plot or Path(path.with_suffix(".png").name))
        for name, value in shown.items():
            print(f"{name}: {value}")
        write_json(json_file, shown)
        return
    with open_episode(path) as episode:
        target = draw_episode(episode, plot or path.with_suffix(".png").name, pictures)
        route, source = driven_path(episode)
        facts: dict[str, Any] = {
            "path": path,
            "frames": len(episode),
            "duration": float(episode.image_stamps[-1] - episode.image_stamps[0]),
            "scenario": episode.scenario,
            "instruction": episode.instruction,
            "instruction_source": episode.instruction_source,
            "outcome": episode.outcome,
            "complete": episode.complete,
            "action_axes": episode.action_axes,
            "image_format": episode.image_format,
            "image_shape": episode.image_shape,
            "end": route[-1],
            "end_source": source,
            "plot": target,
        }
    printed = {
        **facts,
        "duration": f"{facts['duration']:.1f} s",
        "action_axes": ", ".join(facts["action_axes"]),
        "image_shape": " x ".join(map(str, facts["image_shape"])),
        "end": f"x {route[-1][0]:.2f} m, y {route[-1][1]:.2f} m",
    }
    for name, value in printed.items():
        print(f"{name}: {value}")
    write_json(json_file, facts)


def _show_incident(path: Path, plot: Path) -> dict[str, object]:
    from mobile_vla_ros.episodes.incident import read_incident
    from mobile_vla_ros.plots.incident import draw_capsule
    from mobile_vla_ros.plots.style import save_figure

    incident = read_incident(path)
    told = incident.attributes
    title = " · ".join(
        str(part)
        for part in (incident.reason, told.get("scenario"), told.get("checkpoint"))
        if part
    )
    figure = draw_capsule(
        title,
        incident.time,
        [
            (float(stamp), incident.image(index))
            for index, stamp in enumerate(incident.frame_stamps)
        ],
        incident.axes,
        incident.chunk_stamps,
        incident.chunks,
        incident.action_period,
        incident.commands,
        incident.odometry,
        incident.events,
    )
    return {
        "path": path,
        "reason": incident.reason,
        "frames": len(incident.jpegs),
        "chunks": len(incident.chunks),
        "features": incident.features.shape,
        "commands": len(incident.commands),
        "odometry": len(incident.odometry),
        "events": [text for _, text in incident.events],
        **told,
        "plot": save_figure(figure, plot),
    }


def replay(
    context: typer.Context,
    path: Path = typer.Argument(..., help="The episode."),
    rate: float = typer.Option(1.0, help="Speed: 2 plays twice as fast."),
    loop: bool = typer.Option(False, "--loop", help="Start again at the end."),
) -> None:
    """Publishes an episode as camera and command topics (needs ROS 2).

    Starts the replay node; what follows `--ros-args` goes to it.

    Example: mobile_vla episodes replay FILE.h5 --rate 2 --ros-args -r image:=camera/image_raw
    """
    from mobile_vla_ros.episodes.reader import open_episode

    open_episode(path).close()
    if importlib.util.find_spec("rclpy") is None:
        raise InputError(
            "replay needs ROS 2: source its setup file (`source /opt/ros/jazzy/setup.bash`), or"
            " look at the episode with `mobile_vla episodes show`"
        )
    given = [
        "-p",
        f"episode:={parameter_value(str(path))}",
        "-p",
        f"rate:={rate}",
        "-p",
        f"loop:={str(loop).lower()}",
    ]
    extra = [word for word in context.args if word != "--ros-args"]
    node = [sys.executable, "-m", "mobile_vla_ros.nodes.replay_node", "--ros-args", *given, *extra]
    raise typer.Exit(subprocess.call(node))
