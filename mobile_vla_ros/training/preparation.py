"""Everything a run needs before its first step: episodes, network, frames and features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.hub import origin_of
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.model import PolicyModel
from mobile_vla_ros.rig import commonest, mixed
from mobile_vla_ros.training.augmentation import Transform, mirror_text
from mobile_vla_ros.training.cache import (
    FeatureCache,
    FeatureDataset,
    weights_digest,
    why_no_cache,
)
from mobile_vla_ros.training.corrections import collect_corrections
from mobile_vla_ros.training.dataset import EpisodeSplit, load_split, with_readable_frames
from mobile_vla_ros.training.feature_sample import FeatureSample
from mobile_vla_ros.training.frames import FrameCache
from mobile_vla_ros.training.history import History, episodes_entry
from mobile_vla_ros.training.identities import IdentityCache
from mobile_vla_ros.training.module import PolicyTraining
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import AugmentationSettings, RunError
from mobile_vla_ros.training.start import starting_network
from mobile_vla_ros.training.trainable import attach_adapters
from mobile_vla_ros.training.windows import WindowDataset
from mobile_vla_ros.words import said_in

FORMAT = 1


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs, before the first step."""

    module: PolicyTraining
    config: PolicyConfig
    split: EpisodeSplit
    train: Any
    validation: Any
    cached: bool


def prepare(
    run: RunConfig,
    data: str | Path | None,
    cache: Path,
    *,
    history: History | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
) -> Prepared:
    """Reads the episodes, builds the network and the data sets; features are cached here.

    Raises:
        RunError, CheckpointError, EpisodeError: the input cannot be used.
    """
    reason = why_no_cache(run)
    if run.feature_cache and reason:
        raise RunError(f"feature_cache cannot be used: {reason}.")
    train_set: Any
    validation_set: Any
    use_cache = reason is None if run.feature_cache is None else bool(run.feature_cache)
    track = _tracker(progress)
    corrections: list[Path] = []
    if run.data.corrections:
        corrections, unused = collect_corrections(run.data.corrections, cache / "corrections")
        for sentence in unused:
            say(f"left out: {sentence}")
    identities = IdentityCache(cache / "identities")
    split = load_split(
        run,
        data,
        lambda paths: iter(track(paths, "reading episodes")),
        history,
        corrections,
        identities.identity,
    )
    model, config, reader = starting_network(run, say)
    augmentation = run.augmentation
    if augmentation.mirror and not split.mirror_allowed:
        say("no mirror: all training episodes pass on one side")
        augmentation = augmentation.model_copy(update={"mirror": 0.0})
    if run.setup.lora_enable:
        names = attach_adapters(model, run)
        say(f"adapters of rank {run.setup.lora_r} on {len(names)} linear layers")
    identities.keep()
    frames = FrameCache(cache / "frames", config.image_size)
    # Decoded once, here; the workers map the files.
    split = with_readable_frames(split, frames.frames, lambda work: track(work, "resizing frames"))
    apart = mixed({episode.path.name: episode.rig for episode in split.train})
    if apart:
        say(apart)
    for sentence in split.left_out:
        say(f"left out: {sentence}")
    if history is not None and not split.validation and run.data.train_split < 1:
        say("no validation: every episode was trained on by an earlier stage")
    module = PolicyTraining(model, run, reader, _metadata(run, config, split, history))
    if reason is not None and run.feature_cache is None and run.mode == "frozen":
        say(f"no feature cache: {reason}")
    module.sample = FeatureSample(split.train, frames)
    if use_cache:
        key = _cache_key(model, config)
        features = FeatureCache(cache / "features", key, frames, module.encode_frames)
        train_set, validation_set = _cached_sets(run, split, features, augmentation, track)
        # Neither this run nor the next on the same weights has to look again.
        file = features.folder / features.key[:24] / module.sample.name()
        module.sample = FeatureSample(split.train, frames, file)
    else:
        train_set = WindowDataset(run, split.train, frames, augmentation, run.data.start_weight)
        validation_set = WindowDataset(run, split.validation, frames)
    if validation_set is not None and not len(validation_set):
        validation_set = None
    return Prepared(module, config, split, train_set, validation_set, use_cache)


def _cached_sets(
    run: RunConfig,
    split: EpisodeSplit,
    features: FeatureCache,
    augmentation: AugmentationSettings,
    track: Callable[[Sequence[Any], str], Iterable[Any]],
) -> tuple[Any, Any]:
    """The data sets of windows of features; the second is None without validation episodes."""
    train = FeatureDataset(
        run,
        split.train,
        features,
        augmentation,
        run.data.start_weight,
        lambda work: track(work, "caching features (training)"),
    )
    if not split.validation:
        return train, None
    return train, FeatureDataset(
        run,
        split.validation,
        features,
        progress=lambda work: track(work, "caching features (validation)"),
    )


def _metadata(
    run: RunConfig, config: PolicyConfig, split: EpisodeSplit, history: History | None
) -> dict[str, Any]:
    """What a checkpoint says of itself, and the module needs to know, beside the weights."""
    return {
        "format": FORMAT,
        "action_axes": list(run.action_axes),
        "frame_period": run.frame_period,
        "action_period": run.action_period,
        "rig": json.loads(commonest([episode.rig for episode in split.train]).to_json()),
        "training_files": {episode.path.name: episode.sha256 for episode in split.train},
        "validation_files": {episode.path.name: episode.sha256 for episode in split.validation},
        "data_revisions": _revisions(split),
        "start_revision": origin_of(run.model_load_path or run.model_path),
        "episodes": episodes_entry(split.train, split.validation, history),
        "instructions": said_in(_sentences(run, split)),
        "image_mean": tuple(config.image_mean),
        "image_std": tuple(config.image_std),
        **_corrections_entry(run, split),
    }


def _revisions(split: EpisodeSplit) -> list[str]:
    """``hf://datasets/ORG/NAME@COMMIT`` of every hub repository that an episode is from."""
    found = {origin_of(episode.path) for episode in (*split.train, *split.validation)}
    return sorted(found - {""})


def _corrections_entry(run: RunConfig, split: EpisodeSplit) -> dict[str, Any]:
    """What a checkpoint says of the corrections it learned from; nothing without any."""
    used = [episode for episode in split.train if episode.samples.weights is not None]
    if not used:
        return {}
    return {
        "corrections": {
            "files": {episode.path.name: episode.sha256 for episode in used},
            "weight": run.data.correction_weight,
            "before_takeover": run.data.before_takeover,
            "rows": sum(len(episode.samples.rows) for episode in used),
        }
    }


def _sentences(run: RunConfig, split: EpisodeSplit) -> Iterable[str]:
    """Every instruction that training says, mirrored ones too."""
    for episode in split.train:
        said = [episode.instruction]
        if run.augmentation.other_orders and episode.labels is not None:
            said += [order.instruction for order in episode.labels.others]
        yield from said
        if run.augmentation.mirror:
            yield from map(mirror_text, said)


def _cache_key(model: PolicyModel, config: PolicyConfig) -> str:
    """Names everything beside picture and prompt that decides a feature."""
    weights = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("act_head.")
    }
    said = f"{weights_digest(weights)} {config.image_size} {config.image_mean} {config.image_std}"
    return hashlib.sha256(f"{said} {Transform()}".encode()).hexdigest()


def _tracker(progress: bool) -> Callable[[Sequence[Any], str], Iterable[Any]]:
    if not progress:
        return lambda work, _: work
    from rich.progress import track

    return lambda work, what: track(work, description=what)
