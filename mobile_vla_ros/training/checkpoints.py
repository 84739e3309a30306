"""Checkpoints on disk: written whole or not at all, named as the lab names them."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from mobile_vla_ros.policy.pickles import open_pickle
from mobile_vla_ros.training.run import RunError

BEST_NAME = "epoch_{epoch:02d}-val_loss={val_loss:.3f}"
LAST_NAME = "last.ckpt"


class WholeFiles(TorchCheckpointIO):
    """Saves to a temporary file beside the target, then renames it.

    When the disk is full the previous checkpoint stays as it is.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None):
        """Writes one checkpoint.

        Raises:
            RunError: the disk is full, or the folder cannot be written.
        """
        target = Path(path)
        temporary = None
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            os.replace(temporary, target)
        except (OSError, RuntimeError) as error:
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            if isinstance(error, RuntimeError) and not isinstance(cause, OSError):
                # torch's archive writer hides a full disk behind this one message.
                if "unexpected pos" not in str(error) and "write failed" not in str(error):
                    raise
            reason = getattr(cause, "strerror", None) or "the disk is full"
            raise RunError(
                f"cannot save {target.name} in {target.parent}: {reason}; earlier checkpoints "
                f"there are untouched, make room and go on with --resume."
            ) from error


def best_and_last(folder: Path, with_validation: bool) -> ModelCheckpoint:
    """Keeps the checkpoint of the lowest validation loss, and the last one as `last.ckpt`."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=BEST_NAME if with_validation else "epoch_{epoch:02d}",
        monitor="val_loss" if with_validation else None,
        save_top_k=1,
        save_last=True,
        save_on_train_epoch_end=not with_validation,
    )


class SaveWhenInterrupted(Callback):
    """Ctrl-C or a termination signal leaves `last.ckpt` at the step that was reached."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LAST_NAME

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Saves, unless it is the training itself that failed."""
        if isinstance(exception, KeyboardInterrupt) and trainer.global_step > 0:
            trainer.save_checkpoint(self._path)


def where_it_stopped(path: str | Path) -> tuple[int, int]:
    """Epoch, and batches of that epoch that were done, of a checkpoint to go on from.

    Raises:
        CheckpointError: it cannot be opened.
        RunError: it holds no training state.
    """
    content = open_pickle(Path(path))
    try:
        fit = content["loops"]["fit_loop"]
        epochs = fit["epoch_progress"]["current"]
        batches = fit["epoch_loop.batch_progress"]["current"]["completed"]
        return int(epochs["completed"]), int(batches)
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path} holds weights but no training state; start from it with model_load_path "
            f"instead of resuming."
        ) from error
