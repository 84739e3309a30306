"""How windows get from the disk to the steps: worker processes, and the room they need."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.utils.data import DataLoader

from mobile_vla_ros.training.order import EpochBatches, EpochSampler
from mobile_vla_ros.training.preparation import Prepared
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.windows import collate

SHARED_MEMORY = Path("/dev/shm")
BATCHES_AHEAD = 2
"""Batches that every worker makes in advance; torch's own default."""

NO_ROOM = (
    f"the worker processes found no room in {SHARED_MEMORY}: make it larger (docker run "
    "--shm-size=2g), or set train_dataset.num_workers to 0."
)


def lacks_shared_memory(error: RuntimeError) -> bool:
    """Whether it is a full /dev/shm that torch speaks of."""
    words = ("unable to write to file </torch", "Bus error", "shared memory", "torch_shm")
    return any(word in str(error) for word in words)


def loaders(
    run: RunConfig, prepared: Prepared, sampler: EpochSampler, say: Callable[[str], None]
) -> tuple[DataLoader, DataLoader | None]:
    """The loader of the training windows, in the sampler's order, and that of the validation's.

    Args:
        run: the run.
        prepared: its data sets.
        sampler: the order of the training windows.
        say: is told when fewer workers than wanted have room.
    """
    workers = 0 if prepared.cached else _workers(run, prepared, say)
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


def _workers(run: RunConfig, prepared: Prepared, say: Callable[[str], None]) -> int:
    # More workers than cores only take turns; which worker reads a window changes nothing.
    wanted = min(run.data.num_workers, _cores())
    if not wanted or not SHARED_MEMORY.is_dir():
        return wanted
    batch = _bytes(prepared.train[0]) * run.batch_size
    sets = 1 if prepared.validation is None else 2
    room = shutil.disk_usage(SHARED_MEMORY).free
    found = min(wanted, room // (batch * BATCHES_AHEAD * sets + 1))
    if found < wanted:
        say(
            f"{found} of {wanted} workers: {SHARED_MEMORY} has room for {room // 2**20} MiB of "
            f"batches ahead, {batch // 2**20 + 1} MiB each; make it larger (docker run "
            "--shm-size=2g) for faster steps"
        )
    return int(found)


def _bytes(item: dict[str, Any]) -> int:
    return sum(getattr(value, "nbytes", 0) for value in item.values())


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
