"""Checkpoints on disk: written whole or not at all, named as the lab names them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

from mobile_vla_ros.files import whole_file
from mobile_vla_ros.policy.pickles import open_pickle
from mobile_vla_ros.training.processes import any_of
from mobile_vla_ros.training.run_schema import RunError

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
        try:
            with whole_file(target) as temporary, temporary.open("wb") as file:
                torch.save(checkpoint, file)
        except (OSError, RuntimeError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__ or error.__context__
            # torch's archive writer hides a full disk behind one of these messages.
            hidden = any(words in str(error) for words in ("unexpected pos", "write failed"))
            if isinstance(error, RuntimeError) and not isinstance(cause, OSError) and not hidden:
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
        enable_version_counter=False,
        save_on_train_epoch_end=not with_validation,
    )


class SaveWhenInterrupted(Callback):
    """Ctrl-C or a termination signal ends the run between two steps and leaves `last.ckpt`.

    Between steps, because only there weights, optimiser and counters agree. A second Ctrl-C ends
    at once and leaves the checkpoint that was there before.
    """

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._path = folder / LAST_NAME
        self._say = say
        self._asked = False
        self._between = False
        self._before: dict[int, Any] = {}

    def listen(self) -> None:
        """Takes over SIGINT and SIGTERM (in the main thread only)."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)

    def release(self) -> None:
        """Gives the signals back; Lightning leaves SIGINT ignored."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        """Ends the run here if that was asked for, of whichever process."""
        if any_of(self._asked, trainer.strategy.root_device):
            self._between = True
            raise KeyboardInterrupt

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        """Saves when the run was ended between two steps."""
        if self._between:
            trainer.save_checkpoint(self._path)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._say("ending after this step; once more ends at once")


def where_it_stopped(path: str | Path) -> tuple[int, int]:
    """Epoch, and batches of that epoch that were done, of a checkpoint to go on from.

    One saved after an epoch's last batch has done 0 of the next.

    Raises:
        CheckpointError: it cannot be opened.
        RunError: it holds no training state.
    """
    content = open_pickle(Path(path))
    try:
        fit = content["loops"]["fit_loop"]
        epochs = fit["epoch_progress"]["current"]
        progress = fit["epoch_loop.batch_progress"]
        done = progress["current"]
        # The last batch is known as such from the moment it is fetched, before it is trained on.
        whole = progress.get("is_last_batch") and done["completed"] == done["ready"]
        # Saved after validation, before the epoch itself was counted.
        if whole and epochs["completed"] < epochs["started"]:
            return int(epochs["completed"]) + 1, 0
        return int(epochs["completed"]), int(done["completed"])
    except (KeyError, TypeError) as error:
        raise RunError(
            f"{path} holds weights but no training state; start from it with model_load_path "
            f"instead of resuming."
        ) from error
