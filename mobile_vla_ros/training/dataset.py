"""Which episodes of a folder a run trains on, and which it holds out."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import EpisodeError, find_episodes, open_episode
from mobile_vla_ros.episodes.identity import identify
from mobile_vla_ros.episodes.known_episodes import KnownEpisodes
from mobile_vla_ros.episodes.trimmed import superseded
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import DATASET, resolve
from mobile_vla_ros.training.augmentation import one_sided
from mobile_vla_ros.training.episode import Looked, TrainingEpisode, load_episode
from mobile_vla_ros.training.history import History
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.samples import split_episodes


@dataclass(frozen=True)
class EpisodeSplit:
    """The episodes of a run.

    Attributes:
        train, validation: disjoint by recording.
        mirror_allowed: False for one-sided data.
        left_out: one sentence for each file that cannot be used.
    """

    train: tuple[TrainingEpisode, ...]
    validation: tuple[TrainingEpisode, ...]
    mirror_allowed: bool
    left_out: tuple[str, ...] = ()


def load_split(
    run: RunConfig,
    data: str | Path | None = None,
    progress: Callable[[Sequence[Path]], Iterator[Path]] | None = None,
    history: History | None = None,
    corrections: Sequence[Path] = (),
    looked_at: Looked = identify,
) -> EpisodeSplit:
    """Finds the run's episodes, checks every label, and splits them by episode.

    A file that cannot be used is left out and named. An episode that an earlier stage of the
    policy has seen keeps its side of the split.

    Args:
        run: the run.
        data: folder of episodes; None takes the run file's `train_dataset.data_dir`.
        progress: wraps the list of files while they are read.
        history: what earlier stages have seen.
        corrections: episodes with a takeover, to train on beside the others.
        looked_at: what an episode is recognised by, of the open file and its SHA-256.

    Raises:
        RunError: no folder, no episode matches, none can be used or is long enough, or
            `validation_pattern` names what was trained on before.
    """
    data = data or run.data.data_dir
    if data is None:
        raise RunError("no data: give --data or train_dataset.data_dir in the run file.")
    folder = resolve(data, DATASET)
    chosen, for_validation = _matching(run, folder)
    wrap = progress or iter
    twice = superseded(chosen)
    chosen = [path for path in chosen if path not in twice]
    episodes, left_out = _load(run, list(wrap(chosen)), looked_at)
    left_out += [f"{path}: {copy.name} is trimmed from it" for path, copy in twice.items()]
    if not episodes:
        raise RunError(f"none of the {len(chosen)} episodes can be used; the first: {left_out[0]}")
    if run.data.max_episodes is not None:
        episodes = _first_sources(episodes, run.data.max_episodes, run.split_seed)
    if for_validation:
        validation, more = _load(run, for_validation, looked_at)
        left_out += more
        if not validation:
            raise RunError(f"no validation episode can be used; the first: {more[0]}")
        _refuse_trained_on(validation, history)
        held_out = {episode.source for episode in validation}
        train = [episode for episode in episodes if episode.source not in held_out]
    else:
        train, validation = _split(run, episodes, history)
    # A copy made by augmentation is no new evidence: validation keeps the recordings alone.
    validation = [episode for episode in validation if not episode.copy]
    if corrections:
        train, more = _with_corrections(run, train, validation, corrections, history, looked_at)
        left_out += more
    if not any(len(episode.samples) for episode in train):
        raise RunError(
            f"no training episode in {folder} has {run.window_size} frames "
            f"{run.frame_period} s apart; the longest has "
            f"{max((episode.rows for episode in train), default=0)} rows."
        )
    return EpisodeSplit(
        train=tuple(train),
        validation=tuple(validation),
        mirror_allowed=not one_sided([episode.side for episode in train]),
        left_out=tuple(left_out),
    )


def _with_corrections(
    run: RunConfig,
    train: list[TrainingEpisode],
    validation: list[TrainingEpisode],
    paths: Sequence[Path],
    history: History | None,
    looked_at: Looked,
) -> tuple[list[TrainingEpisode], list[str]]:
    """The training episodes and the corrections; what is held out stays held out.

    Raises:
        RunError: no correction can be used.
    """
    held_out = KnownEpisodes(e.identity for e in validation if e.identity is not None)
    added, left_out = [], []
    for path in paths:
        try:
            episode = load_episode(run, path, corrects=True, looked_at=looked_at)
            with open_episode(path) as file:
                held = held_out.find(file, episode.identity) is not None
        except InputError as error:
            left_out.append(str(error))
            continue
        if held or (history is not None and history.side(episode) == "validation"):
            left_out.append(f"{path.name} is held out for validation, and is not trained on")
        elif not len(episode.samples):
            left_out.append(f"{path.name} has no {run.window_size} frames in a row")
        else:
            added.append(episode)
    if not added:
        raise RunError(
            f"none of the {len(paths)} corrections can be used; the first: {left_out[0]}"
        )
    # One that also lies among the plain episodes counts as a correction alone.
    known = {episode.sha256 for episode in added}
    return [e for e in train if e.sha256 not in known] + added, left_out


def _matching(run: RunConfig, folder: Path) -> tuple[list[Path], list[Path]]:
    """The files to split, and those that the run file keeps for validation."""
    if not folder.is_dir():
        raise RunError(
            f"{folder} is no folder of episodes; give --data, or correct train_dataset.data_dir "
            f"in the run file."
        )
    validation_pattern = run.data.validation_pattern
    paths = find_episodes(folder)
    excluded = run.data.exclude_pattern
    chosen = [
        path
        for path in paths
        if fnmatch.fnmatch(path.name, run.data.episode_pattern)
        and not (excluded and fnmatch.fnmatch(path.name, excluded))
    ]
    if not chosen:
        raise RunError(
            f"no episode in {folder} matches '{run.data.episode_pattern}' "
            f"({len(paths)} episodes there)."
        )
    for_validation = [
        path
        for path in paths
        if validation_pattern and fnmatch.fnmatch(path.name, validation_pattern)
    ]
    if validation_pattern and not for_validation:
        raise RunError(
            f"no episode in {folder} matches validation_pattern '{validation_pattern}'."
        )
    return [path for path in chosen if path not in set(for_validation)], for_validation


def with_readable_frames(
    split: EpisodeSplit,
    read: Callable[[TrainingEpisode], Any],
    progress: Callable[[Sequence[TrainingEpisode]], Iterable[TrainingEpisode]] = iter,
) -> EpisodeSplit:
    """The split without the episodes whose pictures cannot be read.

    Args:
        split: the episodes.
        read: reads and keeps an episode's pictures.
        progress: wraps the episodes while they are read.

    Raises:
        RunError: none is left to train on, or the disk is full.
    """
    left_out = list(split.left_out)
    spoiled = set()
    for episode in progress([*split.train, *split.validation]):
        try:
            if len(episode.samples):
                read(episode)
        except EpisodeError as error:
            left_out.append(str(error))
            spoiled.add(episode.path)
    train = tuple(episode for episode in split.train if episode.path not in spoiled)
    validation = tuple(episode for episode in split.validation if episode.path not in spoiled)
    if not any(len(episode.samples) for episode in train):
        raise RunError(f"no training episode can be used; the first: {left_out[-1]}")
    return replace(split, train=train, validation=validation, left_out=tuple(left_out))


def _load(
    run: RunConfig, paths: Sequence[Path], looked_at: Looked
) -> tuple[list[TrainingEpisode], list[str]]:
    """The episodes that can be used, and why each of the others cannot."""
    episodes: list[TrainingEpisode] = []
    left_out: list[str] = []
    for path in paths:
        try:
            episodes.append(load_episode(run, path, looked_at=looked_at))
        except InputError as error:
            left_out.append(str(error))
    # Where words decide, an episode without any teaches to ignore them.
    if any(episode.instruction for episode in episodes):
        for episode in episodes:
            if not episode.instruction:
                left_out.append(
                    f"{episode.path} has no instruction, though others have; `mobile_vla "
                    "episodes relabel --instruction` adds it"
                )
        episodes = [episode for episode in episodes if episode.instruction]
    return episodes, left_out


def _split(
    run: RunConfig, episodes: list[TrainingEpisode], history: History | None
) -> tuple[list[TrainingEpisode], list[TrainingEpisode]]:
    """Known recordings keep their side; the others are drawn."""
    sides: dict[str, str] = {}
    for episode in episodes:
        side = history.side(episode) if history is not None else None
        # Trained on in one of its copies is trained on.
        if side is not None and sides.get(episode.source) != "training":
            sides[episode.source] = side
    new = [episode for episode in episodes if episode.source not in sides]
    first, second = split_episodes([e.source for e in new], run.data.train_split, run.split_seed)
    train = [e for e in episodes if sides.get(e.source) == "training"]
    validation = [e for e in episodes if sides.get(e.source) == "validation"]
    return train + [new[i] for i in first], validation + [new[i] for i in second]


def _refuse_trained_on(validation: Sequence[TrainingEpisode], history: History | None) -> None:
    for episode in validation:
        if history is not None and history.side(episode) == "training":
            raise RunError(
                f"validation_pattern names {episode.path.name}, which an earlier stage was "
                "trained on; choose episodes that it has not seen."
            )


def _first_sources(
    episodes: list[TrainingEpisode], count: int, seed: int
) -> list[TrainingEpisode]:
    names = sorted({episode.source for episode in episodes})
    order = np.random.default_rng([seed, 7]).permutation(len(names))
    kept = {names[index] for index in order[:count]}
    return [episode for episode in episodes if episode.source in kept]
