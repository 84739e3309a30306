"""Changed copies of recorded episodes on disk, for runs that cannot augment on the fly."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import Episode, EpisodeWriter, find_episodes, open_episode
from mobile_vla_ros.episodes.identity import SOURCE, origins_of
from mobile_vla_ros.training.augmentation import (
    Transform,
    draw_transform,
    mirror_odometry,
    mirror_text,
    mirror_velocities,
    one_sided,
    transform_images,
    transform_places,
)
from mobile_vla_ros.training.labels import EXPERT_AXES
from mobile_vla_ros.training.run_schema import AugmentationSettings, RunError

STRENGTH = AugmentationSettings(colour=0.2, blur=1.0, crop=0.06, shift=0.03, mirror=0.5)


@dataclass(frozen=True)
class Copies:
    """What `write_copies` did."""

    sources: int
    written: int
    mirrored: int
    mirror_allowed: bool
    directory: Path


def write_copies(
    data: str | Path,
    out: str | Path,
    *,
    factor: int,
    seed: int = 0,
    mirror: bool = True,
    strength: AugmentationSettings = STRENGTH,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Copies:
    """Writes each episode and `factor - 1` changed copies of it into another folder.

    Every second copy is mirrored, unless all episodes pass on one side. A copy names its source,
    so that training keeps both on the same side of its split and out of validation.

    Args:
        data: folder of recorded episodes.
        out: folder to write, another one.
        factor: files per episode, the unchanged one included.
        seed: decides every change.
        mirror: False never mirrors.
        strength: how strong the changes are; its `mirror` is not used.
        progress: wraps the work.

    Raises:
        RunError: no episodes, a factor below 2, the folder itself as target, or names that are
            taken.
        EpisodeError: an episode cannot be read, or the disk is full.
    """
    data, out = Path(data), Path(out)
    if factor < 2:
        raise RunError(f"a factor of {factor} writes no copies; give 2 or more.")
    if out.resolve() == data.resolve():
        raise RunError(f"{out} is the folder of the recordings; give another one.")
    sources = [path for path in find_episodes(data) if not is_copy(path)]
    if not sources:
        raise RunError(f"no recorded episodes in {data}.")
    sides = []
    for path in sources:
        with open_episode(path) as episode:
            sides.append(episode.side)
    allowed = mirror and not one_sided(sides)
    out.mkdir(parents=True, exist_ok=True)
    taken = [path.name for path in sources if (out / path.name).exists()]
    if taken:
        raise RunError(f"{out / taken[0]} is there already; give an empty folder.")
    work = [(path, copy) for path in sources for copy in range(factor)]
    mirrored = 0
    for path, copy in progress(work):
        with open_episode(path) as episode:
            transform = Transform()
            if copy:
                rng = np.random.default_rng([seed, int(episode.sha256()[:12], 16), copy])
                transform = replace(
                    draw_transform(strength, rng), mirror=allowed and copy % 2 == 1
                )
            mirrored += transform.mirror
            _write(episode, out / _name(episode, copy, transform), copy, transform)
    return Copies(len(sources), len(work), mirrored, allowed, out)


def is_copy(path: str | Path) -> bool:
    """Whether the file is a changed copy, by its attributes."""
    with open_episode(path) as episode:
        return SOURCE in episode.attributes


def _name(episode: Episode, copy: int, transform: Transform) -> str:
    if not copy:
        return episode.path.name
    stem = mirror_text(episode.path.stem) if transform.mirror else episode.path.stem
    return f"{stem}_aug{copy}.h5"


def _write(episode: Episode, path: Path, copy: int, transform: Transform) -> None:
    actions, odometry = episode.actions, episode.odom
    instruction, scenario = episode.instruction, episode.scenario
    if transform.mirror:
        actions = mirror_velocities(actions, episode.action_axes)
        odometry = None if odometry is None else mirror_odometry(odometry)
        instruction, scenario = mirror_text(instruction), mirror_text(scenario)
    attributes = _attributes(episode.attributes, transform)
    if copy:
        attributes[SOURCE] = episode.path.stem
        attributes.update(origins_of([episode]))
        attributes["augmentation"] = json.dumps(asdict(transform), sort_keys=True)
    writer = EpisodeWriter(
        path,
        scenario=scenario,
        instruction=instruction,
        action_axes=episode.action_axes,
        frame_period=episode.frame_period,
        image_format=episode.image_format,
        camera=episode.camera,
        odom=odometry is not None,
        attributes=attributes,
        flush=False,
    )
    with writer:
        for row in range(len(episode)):
            jpeg = episode.jpeg(row) if not copy else None
            image = None
            if jpeg is None:
                image = transform_images(episode.image(row)[None], transform)[0]
            writer.append(
                image=image,
                jpeg=jpeg,
                action=actions[row],
                event=episode.events[row],
                image_stamp=float(episode.image_stamps[row]),
                received_stamp=float(episode.received_stamps[row]),
                action_stamp=float(episode.action_stamps[row]),
                odom=None if odometry is None else odometry[row],
            )
        writer.finish(outcome=episode.outcome, complete=episode.complete)


def _attributes(attributes: Mapping[str, Any], transform: Transform) -> dict[str, Any]:
    """What is kept of a recording's own attributes, changed with the pictures."""
    kept: dict[str, Any] = {}
    for key in ("driver", "driver_noise", "obstacle_layout_type", "collection_datetime"):
        if key in attributes:
            kept[key] = attributes[key]
    if "asked_instructions" in attributes:
        said = json.loads(attributes["asked_instructions"])
        said = [mirror_text(text) for text in said] if transform.mirror else said
        kept["asked_instructions"] = json.dumps(said, ensure_ascii=False)
    for key in ("expert_chunks", "expert_chunks_other", "asked_chunks"):
        if key in attributes:
            chunks = np.asarray(attributes[key], dtype=np.float32)
            kept[key] = mirror_velocities(chunks, EXPERT_AXES) if transform.mirror else chunks
    for key in ("bottle_places", "box_places", "asked_places", "word_places"):
        if key in attributes:
            places = np.array(attributes[key], dtype=np.float32)
            places[..., :2] = transform_places(places[..., :2], transform)
            if transform.mirror:
                places[..., 2] = -places[..., 2]
            kept[key] = places
    return kept
