"""One training run: from a run file and episodes to the best and the last checkpoint."""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.data import DataLoader

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.training import processes
from mobile_vla_ros.training.checkpoints import (
    LAST_NAME,
    SaveWhenInterrupted,
    WholeFiles,
    best_and_last,
    where_it_stopped,
)
from mobile_vla_ros.training.dataset import EpisodeSplit
from mobile_vla_ros.training.history import History, history_of
from mobile_vla_ros.training.loading import NO_ROOM, lacks_shared_memory, loaders
from mobile_vla_ros.training.order import EpochSampler
from mobile_vla_ros.training.preparation import Prepared, prepare
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.start import check_start, fetched_start
from mobile_vla_ros.training.table import part_sizes, size_table


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
    run = fetched_start(run)
    check_start(run)
    if run.unread:
        say(f"keys of the run file that nothing reads: {', '.join(run.unread)}")
    history = _history(run, resume)
    # Tried out now: reading, hashing and caching hundreds of episodes takes its time.
    _lightning(
        run, accelerator, logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    pl.seed_everything(run.seed, workers=True, verbose=False)
    with _folder(out):
        folder = Path(cache or out / "cache")
        prepared = prepare(run, data, folder, history=history, progress=progress, say=say)
        if history is not None and resume is not None:
            _say_what_changed(history, prepared.split, stopped, say)
    show(size_table(part_sizes(prepared.module), prepared.cached))

    sampler = EpochSampler(len(prepared.train), run.seed)
    keeper = best_and_last(out, prepared.validation is not None)
    keep_on_signal = SaveWhenInterrupted(out, say)
    own = [keeper, keep_on_signal, *callbacks]
    trainer = _trainer(run, out, prepared, own, progress, accelerator)
    if stopped is not None:
        _go_on(sampler, stopped, run.batch_size * trainer.world_size)
    interrupted = _fit(
        trainer, prepared, loaders(run, prepared, sampler, say), keep_on_signal, resume
    )
    return _result(out, trainer, prepared, keeper, interrupted)


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[None]:
    """Makes the folder; a run that never began leaves none that looks like one.

    Raises:
        RunError: it cannot be made.
    """
    made = [folder for folder in (out, *out.parents) if not folder.exists()]
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"cannot write {out}: {error.strerror}.") from error
    try:
        yield
    except InputError:
        for folder in made:
            if not any(folder.iterdir()):
                folder.rmdir()
        raise


def _fit(
    trainer: pl.Trainer,
    prepared: Prepared,
    windows: tuple[DataLoader, DataLoader | None],
    keep_on_signal: SaveWhenInterrupted,
    resume: str | Path | None,
) -> bool:
    """Trains; whether that was interrupted.

    Raises:
        RunError: the workers found no room in shared memory.
    """
    with warnings.catch_warnings():
        # Lightning advises more workers, fewer logs, and a resumable loader (the sampler is one).
        warnings.filterwarnings("ignore", module="lightning")
        keep_on_signal.listen()
        try:
            trainer.fit(
                prepared.module,
                *windows,
                ckpt_path=str(resume) if resume is not None else None,
                weights_only=True,
            )
        except SystemExit:
            # Lightning ends the process on Ctrl-C; the checkpoint is written by then.
            return True
        except RuntimeError as error:
            if lacks_shared_memory(error):
                raise RunError(NO_ROOM) from error
            raise
        finally:
            keep_on_signal.release()
    return False


def _result(
    out: Path,
    trainer: pl.Trainer,
    prepared: Prepared,
    keeper: ModelCheckpoint,
    interrupted: bool,
) -> TrainingResult:
    last = out / LAST_NAME
    metrics = trainer.callback_metrics
    score = keeper.best_model_score if keeper.monitor else None
    return TrainingResult(
        best_checkpoint=Path(keeper.best_model_path) if keeper.best_model_path else None,
        last_checkpoint=last if last.exists() else None,
        epochs=trainer.current_epoch,
        steps=trainer.global_step,
        train_loss=float(metrics.get("train_loss_epoch", metrics.get("train_loss", "nan"))),
        val_loss=float(metrics.get("val_loss", "nan")),
        trainable_parameters=part_sizes(prepared.module)[-1].trainable,
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
            precision=settings.precision,  # type: ignore[arg-type]
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
    except (ValueError, TypeError, pl.utilities.exceptions.MisconfigurationException) as error:
        raise RunError(f"trainer settings cannot be used: {error}") from error
