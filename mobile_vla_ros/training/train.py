"""One training run: from a run file and episodes to the best and the last checkpoint."""

from __future__ import annotations

import math
import os
import signal
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.model import PolicyModel
from mobile_vla_ros.training import processes
from mobile_vla_ros.training.augmentation import Transform
from mobile_vla_ros.training.cache import (
    FeatureCache,
    FeatureDataset,
    weights_digest,
    why_no_cache,
)
from mobile_vla_ros.training.checkpoints import (
    LAST_NAME,
    SaveWhenInterrupted,
    WholeFiles,
    best_and_last,
    where_it_stopped,
)
from mobile_vla_ros.training.dataset import (
    EpisodeSplit,
    FrameCache,
    WindowDataset,
    collate,
    load_split,
    with_readable_frames,
)
from mobile_vla_ros.training.feature_sample import FeatureSample
from mobile_vla_ros.training.history import History, episodes_entry, history_of
from mobile_vla_ros.training.module import PolicyTraining, attach_adapters
from mobile_vla_ros.training.order import EpochBatches, EpochSampler
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.start import check_start, starting_network
from mobile_vla_ros.training.table import part_sizes, size_table

FORMAT = 1


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to. Losses are NaN where nothing was measured.

    `train_loss` and `val_loss` are the last epoch's; `best_val_loss` is `best_checkpoint`'s.
    """

    best_checkpoint: Path | None
    last_checkpoint: Path | None
    epochs: int
    steps: int
    train_loss: float
    val_loss: float
    trainable_parameters: int
    training_episodes: int
    validation_episodes: int
    interrupted: bool = False
    best_val_loss: float = math.nan


@dataclass(frozen=True)
class Prepared:
    """Everything a run needs, before the first step."""

    module: PolicyTraining
    config: PolicyConfig
    split: EpisodeSplit
    train: Any
    validation: Any
    cached: bool


def train(
    run: RunConfig,
    data: str | Path | None,
    out: str | Path,
    *,
    resume: str | Path | None = None,
    cache: str | Path | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda sentence: None,
    show: Callable[[Any], None] = lambda table: None,
    callbacks: Sequence[Callback] = (),
    accelerator: str | None = None,
) -> TrainingResult:
    """Trains.

    Args:
        run: the run.
        data: folder of episodes; None takes the run file's.
        out: folder for checkpoints and logs.
        resume: a checkpoint of the same run to go on from, exactly where it stopped.
        cache: folder for resized frames and features; default `out`/cache.
        progress: show progress bars.
        say: is told in sentences what happens.
        show: is handed the table of parts before the first step.
        callbacks: more Lightning callbacks.
        accelerator: instead of the run file's.

    Raises:
        RunError, CheckpointError, EpisodeError: the input cannot be used, or the disk is full.
    """
    out = Path(out)
    if not processes.is_first():
        # The first process says it all.
        say, show, progress = _silent, _silent, False
    stopped = where_it_stopped(resume) if resume is not None else None
    check_start(run)
    if run.unread:
        say(f"keys of the run file that nothing reads: {', '.join(run.unread)}")
    history = _history(run, resume)
    # Tried out now: reading, hashing and caching hundreds of episodes takes its time.
    _lightning(
        run, accelerator, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    pl.seed_everything(run.seed, workers=True, verbose=False)
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror}.") from error
    try:
        folder = Path(cache or out / "cache")
        prepared = prepare(run, data, folder, history=history, progress=progress, say=say)
        if history is not None and resume is not None:
            _say_what_changed(history, prepared.split, stopped, say)
    except InputError:
        # A run that never began leaves no folder that looks like one.
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise
    parts = part_sizes(prepared.module)
    show(size_table(parts, prepared.cached))

    sampler = EpochSampler(len(prepared.train), run.seed)
    loaders = _loaders(run, prepared, sampler)
    keeper = best_and_last(out, loaders[1] is not None)
    keep_on_signal = SaveWhenInterrupted(out, say)
    own = [keeper, keep_on_signal, *callbacks]
    trainer = _trainer(run, out, prepared, own, progress, accelerator)
    if stopped is not None:
        _go_on(sampler, stopped, run.batch_size * trainer.world_size)
    interrupted = False
    with warnings.catch_warnings():
        # Lightning advises more workers, fewer logs, and a resumable loader (the sampler is one).
        warnings.filterwarnings("ignore", module="lightning")
        keep_on_signal.listen()
        try:
            trainer.fit(
                prepared.module,
                loaders[0],
                loaders[1],
                ckpt_path=str(resume) if resume is not None else None,
                weights_only=True,
            )
        except SystemExit:
            # Lightning ends the process on Ctrl-C; the checkpoint is written by then.
            interrupted = True
        finally:
            keep_on_signal.release()
    last = out / LAST_NAME
    best = Path(keeper.best_model_path) if keeper.best_model_path else None
    metrics = trainer.callback_metrics
    score = keeper.best_model_score if keeper.monitor else None
    return TrainingResult(
        best_checkpoint=best,
        last_checkpoint=last if last.exists() else None,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        train_loss=float(metrics.get("train_loss_epoch", metrics.get("train_loss", "nan"))),
        val_loss=float(metrics.get("val_loss", "nan")),
        trainable_parameters=parts[-1].trainable,
        training_episodes=len(prepared.split.train),
        validation_episodes=len(prepared.split.validation),
        interrupted=interrupted,
        best_val_loss=math.nan if score is None else float(score),
    )


def _silent(_: Any) -> None:
    """Where no one is to be told."""


def _go_on(sampler: EpochSampler, stopped: tuple[int, int], together: int) -> None:
    """Skips what the epoch had been trained on, `together` windows in each step."""
    epoch, done = stopped
    if done * together >= len(sampler):
        epoch, done = epoch + 1, 0
    sampler.resume(epoch, done * together)


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
    use_cache = reason is None if run.feature_cache is None else bool(run.feature_cache)
    track = _tracker(progress)
    split = load_split(run, data, lambda paths: iter(track(paths, "reading episodes")), history)
    model, config, reader = starting_network(run, say)
    augmentation = run.augmentation
    if augmentation.mirror and not split.mirror_allowed:
        say("no mirror: all training episodes pass on one side")
        augmentation = augmentation.model_copy(update={"mirror": 0.0})
    if run.setup.lora_enable:
        names = attach_adapters(model, run)
        say(f"adapters of rank {run.setup.lora_r} on {len(names)} linear layers")
    frames = FrameCache(cache / "frames", config.image_size)
    # Decoded once, here; the workers map the files.
    split = with_readable_frames(split, frames.frames, lambda work: track(work, "resizing frames"))
    for sentence in split.left_out:
        say(f"left out: {sentence}")
    if history is not None and not split.validation and run.data.train_split < 1:
        say("no validation: every episode was trained on by an earlier stage")
    module = PolicyTraining(model, run, reader, _words(run, config, split, history))
    if reason is not None and run.feature_cache is None and run.mode == "frozen":
        say(f"no feature cache: {reason}")
    module.sample = FeatureSample(split.train, frames)
    if use_cache:
        features = FeatureCache(
            cache / "features",
            _cache_key(model, config),
            frames,
            module.encode_frames,
        )
        # Neither this run nor the next on the same weights has to look again.
        file = features.folder / features.key[:24] / module.sample.name()
        module.sample = FeatureSample(split.train, frames, file)
        train_set: Any = FeatureDataset(
            run,
            split.train,
            features,
            augmentation,
            run.data.start_weight,
            lambda work: track(work, "caching features (training)"),
        )
        validation_set: Any = (
            FeatureDataset(
                run,
                split.validation,
                features,
                progress=lambda work: track(work, "caching features (validation)"),
            )
            if split.validation
            else None
        )
    else:
        train_set = WindowDataset(run, split.train, frames, augmentation, run.data.start_weight)
        validation_set = WindowDataset(run, split.validation, frames)
    if validation_set is not None and not len(validation_set):
        validation_set = None
    return Prepared(module, config, split, train_set, validation_set, use_cache)


def _history(run: RunConfig, resume: str | Path | None) -> History | None:
    """What the weights have seen before: a checkpoint gone on from has its own start's list."""
    if resume is not None:
        return history_of(resume, "resume")
    if run.model_load_path:
        return history_of(run.model_load_path, "model_load_path")
    return None


def _say_what_changed(
    history: History,
    split: EpisodeSplit,
    stopped: tuple[int, int] | None,
    say: Callable[[str], None],
) -> None:
    """Data that changed since the checkpoint: said, and kept in the new one.

    Raises:
        RunError: it stopped within an epoch, whose rest is another one now.
    """
    episodes = (*split.train, *split.validation)
    missing = history.missing(episodes)
    new = [episode.path.name for episode in episodes if history.side(episode) is None]
    if not missing and not new:
        return
    parts = []
    if missing:
        parts.append(f"{len(missing)} episodes are missing ({missing[0]} is the first)")
    if new:
        parts.append(f"{len(new)} are new ({new[0]} is the first)")
    said = f"the data have changed since the checkpoint: {' and '.join(parts)}"
    if stopped is not None and stopped[1]:
        raise RunError(
            f"{said}, and it stopped within an epoch, which cannot go on with other data; give "
            "the same data, or start from the checkpoint with model_load_path."
        )
    say(f"{said}; the new checkpoint lists the old and the new ones")


def _words(
    run: RunConfig, config: PolicyConfig, split: EpisodeSplit, history: History | None
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "action_axes": list(run.action_axes),
        "frame_period": run.frame_period,
        "action_period": run.action_period,
        "training_files": {episode.path.name: episode.sha256 for episode in split.train},
        "validation_files": {episode.path.name: episode.sha256 for episode in split.validation},
        "episodes": episodes_entry(split.train, split.validation, history),
        "image_mean": tuple(config.image_mean),
        "image_std": tuple(config.image_std),
    }


def _cache_key(model: PolicyModel, config: PolicyConfig) -> str:
    """Names everything beside picture and prompt that decides a feature."""
    import hashlib

    weights = {
        name: value
        for name, value in model.state_dict().items()
        if not name.startswith("act_head.")
    }
    said = f"{weights_digest(weights)} {config.image_size} {config.image_mean} {config.image_std}"
    return hashlib.sha256(f"{said} {Transform()}".encode()).hexdigest()


def _loaders(
    run: RunConfig, prepared: Prepared, sampler: EpochSampler
) -> tuple[DataLoader, DataLoader | None]:
    # More workers than cores only take turns; which worker reads a window changes nothing.
    workers = 0 if prepared.cached else min(run.data.num_workers, _cores())
    settings: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "collate_fn": (lambda batch: batch) if prepared.cached else collate,
        "worker_init_fn": _leave_signals_to_the_run,
    }
    first = DataLoader(
        prepared.train, batch_sampler=EpochBatches(sampler, run.batch_size), **settings
    )
    if prepared.validation is None:
        return first, None
    order = EpochSampler(len(prepared.validation), run.seed, shuffle=False)
    batches = EpochBatches(order, run.batch_size)
    return first, DataLoader(prepared.validation, batch_sampler=batches, **settings)


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _leave_signals_to_the_run(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal. The run finishes its step and needs its
    # workers for that; its handler, which they inherit, would also speak once per worker, and
    # keep them from ending when they are told to.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _trainer(
    run: RunConfig,
    out: Path,
    prepared: Prepared,
    callbacks: Sequence[Callback],
    progress: bool,
    accelerator: str | None,
) -> pl.Trainer:
    extra = list(callbacks)
    patience = run.trainer.early_stopping_patience
    if patience is not None and prepared.validation is not None:
        extra.append(EarlyStopping("val_loss", patience=int(patience)))
    return _lightning(
        run,
        accelerator,
        default_root_dir=out,
        callbacks=extra,
        logger=[
            CSVLogger(out, name="logs", version=""),
            TensorBoardLogger(out, name="logs", version=""),
        ],
        plugins=[WholeFiles()],
        enable_progress_bar=progress,
    )


def _lightning(run: RunConfig, accelerator: str | None, **more: Any) -> pl.Trainer:
    settings = run.trainer
    try:
        return pl.Trainer(
            accelerator=accelerator or settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            precision=settings.precision,
            max_epochs=settings.max_epochs,
            max_steps=settings.max_steps,
            gradient_clip_val=settings.gradient_clip_val,
            accumulate_grad_batches=settings.accumulate_grad_batches,
            log_every_n_steps=settings.log_every_n_steps,
            check_val_every_n_epoch=settings.check_val_every_n_epoch,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
            **more,
        )
    except (ValueError, pl.utilities.exceptions.MisconfigurationException) as error:
        raise RunError(f"trainer settings cannot be used: {error}") from error


def _tracker(progress: bool) -> Callable[[Sequence[Any], str], Iterable[Any]]:
    if not progress:
        return lambda work, _: work
    from rich.progress import track

    return lambda work, what: track(work, description=what)
