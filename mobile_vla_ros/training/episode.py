"""One episode as training sees it: rows, commands, labels and what it is known by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mobile_vla_ros.episodes import Episode, open_episode
from mobile_vla_ros.episodes.identity import SOURCE, Identity, identify
from mobile_vla_ros.rig import Rig, rig_of
from mobile_vla_ros.training.corrections import judge_rows, weighed
from mobile_vla_ros.training.labels import EXPERT_AXES, EpisodeLabels, read_labels
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.samples import EpisodeSamples, episode_samples

Looked = Callable[[Episode, str], Identity]


@dataclass(frozen=True)
class TrainingEpisode:
    """One episode as training sees it; no file stays open. A copy is one made by `augment`."""

    path: Path
    sha256: str
    source: str
    side: str | None
    instruction: str
    rows: int
    samples: EpisodeSamples
    labels: EpisodeLabels | None = None
    copy: bool = False
    identity: Identity | None = None
    rig: Rig = field(default_factory=Rig)


def load_episode(
    run: RunConfig, path: Path, *, corrects: bool = False, looked_at: Looked = identify
) -> TrainingEpisode:
    """Reads stamps, commands and words of one episode (no picture), and picks its windows.

    Args:
        run: the run.
        path: the episode.
        corrects: weigh what a person drove in it, and leave out what led to a takeover.
        looked_at: as in `load_split`.

    Raises:
        RunError: the episode lacks an axis of the run, or a label is not finite.
    """
    with open_episode(path) as episode:
        missing = [axis for axis in run.action_axes if axis not in episode.action_axes]
        if missing:
            raise RunError(
                f"{path.name} records {', '.join(episode.action_axes)} but the run file's "
                f"action_axes wants {missing[0]}; correct action_axes or choose other episodes."
            )
        velocities = np.asarray(episode.velocities(run.action_axes), dtype=np.float32)
        stamps = np.asarray(episode.image_stamps, dtype=np.float64)
        instruction = episode.instruction
        side = episode.side
        copy = SOURCE in episode.attributes
        source = str(episode.attributes[SOURCE]) if copy else path.stem
        sha256 = episode.sha256()
        identity = looked_at(episode, sha256)
        rig = rig_of(episode.attributes, episode.camera)
        taken = episode.taken_over
        field_name = str(episode.attributes.get("field", "lab"))
        if run.data.field not in (None, field_name):
            raise RunError(
                f"{path.name} is of the {field_name} field but the run file's "
                f"train_dataset.field wants {run.data.field}; correct it or choose other episodes."
            )
        labels = None
        if run.data.labels == "expert" or run.auxiliary.on:
            labels = read_labels(path, episode.attributes, len(stamps))
    bad = np.flatnonzero(~np.isfinite(velocities).all(axis=1) | ~np.isfinite(stamps))
    if bad.size:
        raise RunError(
            f"{path.name}: row {bad[0]} has a command or a stamp that is not a finite number; "
            f"repair the episode or leave it out."
        )
    back = np.flatnonzero(np.diff(stamps) <= 0)
    if back.size:
        raise RunError(
            f"{path.name}: the image stamps do not rise after row {back[0]}; repair the episode "
            f"or leave it out."
        )
    samples = episode_samples(
        stamps,
        velocities,
        window_size=run.window_size,
        chunk_size=run.chunk_size,
        frame_period=run.frame_period,
        action_period=run.action_period,
        every_row=run.data.every_row,
    )
    if run.data.labels == "expert" and labels is not None:
        samples = _with_expert_chunks(run, path, samples, labels)
    if corrects and taken is not None:
        judged = judge_rows(stamps, taken, velocities, run.data.before_takeover)
        samples = weighed(
            samples,
            stamps,
            judged,
            weight=run.data.correction_weight,
            action_period=run.action_period,
        )
    return TrainingEpisode(
        path=path,
        sha256=sha256,
        source=source,
        side=side,
        instruction=instruction,
        rows=len(stamps),
        samples=samples,
        labels=labels,
        copy=copy,
        identity=identity,
        rig=rig,
    )


def _with_expert_chunks(
    run: RunConfig, path: Path, samples: EpisodeSamples, labels: EpisodeLabels
) -> EpisodeSamples:
    if run.action_axes != EXPERT_AXES:
        raise RunError("expert labels name linear.x and angular.z; set action_axes to those.")
    chunks = labels.chunks[samples.rows]
    if chunks.shape[1] < run.chunk_size:
        raise RunError(
            f"{path.name}: expert labels hold {chunks.shape[1]} steps but fwd_pred_next_n is "
            f"{run.chunk_size}."
        )
    chunks = np.ascontiguousarray(chunks[:, : run.chunk_size])
    if not np.isfinite(chunks).all():
        raise RunError(f"{path.name}: an expert label is not a finite number.")
    mask = np.ones(chunks.shape[:2], dtype=bool)
    return EpisodeSamples(samples.rows, chunks, mask, samples.windows)
