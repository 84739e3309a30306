"""``mobile_vla episodes repair|relabel|trim|merge``: episodes made of episodes."""

from __future__ import annotations

from pathlib import Path

import typer

from mobile_vla_ros.cli.complaint import complain
from mobile_vla_ros.cli.episode_paths import finished, usable
from mobile_vla_ros.cli.output import write_json
from mobile_vla_ros.cli.progress import bar

JSON = typer.Option(None, "--json", help="Machine-readable result.")


def repair(
    paths: list[Path] = typer.Argument(..., help="Interrupted .h5.part files, or folders."),
    json_file: Path | None = JSON,
) -> None:
    """Turns interrupted recordings into episodes marked incomplete, and says what was lost.

    Files that a recorder has open now are left alone. Exit 1 if one could not be repaired.

    Example: mobile_vla episodes repair ~/episodes
    """
    from mobile_vla_ros.episodes.recovery import Recovery, recover, recover_folder
    from mobile_vla_ros.episodes.schema import EpisodeError

    results: list[Recovery] = []
    for path in paths:
        if path.is_dir():
            results += recover_folder(path)
            continue
        try:
            results.append(recover(path))
        except EpisodeError as error:
            results.append(Recovery(path, None, 0, 0, str(error)))
    for result in results:
        print(result.note)
    if not results:
        print("nothing was interrupted")
    write_json(json_file, {"files": results})
    if any(result.path is None and result.part.exists() for result in results):
        raise typer.Exit(1)


def relabel(
    paths: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    instruction: str | None = typer.Option(None, help="The new instruction, any language."),
    scenario: str | None = typer.Option(None, help="The new scenario; renames the file, too."),
    outcome: str | None = typer.Option(None, help="The new outcome, e.g. success."),
    json_file: Path | None = JSON,
) -> None:
    """Changes instruction, scenario or outcome; the frames stay as they are.

    Example: mobile_vla episodes relabel episode_20250101_120000_1box_left.h5 --outcome success
    """
    from mobile_vla_ros.episodes.editing import relabel as change

    done = []
    for path in bar(finished(paths), "relabelling"):
        new = change(path, instruction=instruction, scenario=scenario, outcome=outcome)
        done.append({"path": path, "now": new})
    print(f"{len(done)} episodes relabelled")
    write_json(json_file, {"files": done})


def trim(
    path: Path = typer.Argument(..., help="The episode."),
    first: int = typer.Option(0, help="Frames to leave out at the start.", min=0),
    last: int = typer.Option(0, help="Frames to leave out at the end.", min=0),
    out: Path | None = typer.Option(
        None, help="The new file; by default a new name beside the old one."
    ),
    json_file: Path | None = JSON,
) -> None:
    """Writes a copy without the first and last frames; the episode itself stays.

    Example: mobile_vla episodes trim episode_20250101_120000_1box_left.h5 --first 5 --last 2
    """
    from mobile_vla_ros.episodes.editing import trim as cut
    from mobile_vla_ros.episodes.names import free_path
    from mobile_vla_ros.episodes.reader import open_episode

    new = cut(path, out or free_path(path), first=first, last=last)
    with open_episode(new) as episode:
        frames = len(episode)
    print(f"{new}: {frames} frames")
    write_json(json_file, {"path": new, "frames": frames, "from": path})


def merge(
    sources: list[Path] = typer.Argument(..., help="Episode files or folders of them."),
    out: Path = typer.Option(
        ..., "--out", "-o", help="A folder (collects copies) or a .h5 file (joins the parts)."
    ),
    json_file: Path | None = JSON,
) -> None:
    """Puts episodes together; refuses different axes, spacing or cameras and says which.

    Into a folder: copies of all episodes, none overwritten, none twice; a file that cannot be used
    is named and left out. Into a .h5 file: one episode of the parts of one recording, in the order
    of their stamps.

    Example: mobile_vla episodes merge monday/ tuesday/ --out week/
    """
    from mobile_vla_ros.episodes.editing import gather, join
    from mobile_vla_ros.episodes.trimmed import superseded

    if out.suffix == ".h5":
        files = finished(sources)
        path = join(files, out)
        print(f"{path}: joined from {len(files)} episodes")
        write_json(json_file, {"path": path, "files": files})
        return
    files = usable(sources, bar)
    twice = superseded(files)
    for original, copy in twice.items():
        complain(f"{original} is left out: {copy.name} is trimmed from it")
    copies, skipped = gather([path for path in files if path not in twice], out)
    there = f", {len(skipped)} were there already" if skipped else ""
    print(f"{len(copies)} episodes copied to {out}{there}")
    write_json(json_file, {"path": out, "files": copies, "skipped": skipped})
