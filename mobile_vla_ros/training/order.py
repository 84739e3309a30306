"""The order in which windows are trained on: the same for one process and for several."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler

from mobile_vla_ros.training import processes

Key = tuple[int, int]
"""(epoch, index of a window); below 0 it is a place holder: window -1 - index, all masked."""


class EpochSampler(Sampler):
    """Yields (epoch, index): each epoch's order depends on seed and epoch alone.

    So a run resumed in mid-epoch sees exactly the windows that are left, and a worker process
    can draw its augmentation from the pair.
    """

    def __init__(self, count: int, seed: int, shuffle: bool = True) -> None:
        self.count = count
        self.seed = seed
        self.shuffle = shuffle
        self.epoch = 0
        self.done_in = (-1, 0)

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch."""
        self.epoch = epoch

    def resume(self, epoch: int, samples: int) -> None:
        """The first `samples` of `epoch` have been trained on already."""
        self.epoch = epoch
        self.done_in = (epoch, samples)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Key]:
        if self.shuffle:
            order = np.random.default_rng([self.seed, self.epoch]).permutation(self.count)
        else:
            order = np.arange(self.count)
        skip = self.done_in[1] if self.done_in[0] == self.epoch else 0
        epoch = self.epoch
        return iter([(epoch, int(index)) for index in order[skip:]])


class EpochBatches(Sampler):
    """This process's part of every batch that the processes train on together.

    Together they take `batch_size` windows each, in the sampler's order, so that two processes
    see in a step what one would see with twice the batch size. All take equally many steps; one
    that is left without a window in the last takes a place holder.

    Args:
        sampler: the order; Lightning finds it here by its name and tells it the epoch.
        batch_size: windows per process and step.
    """

    def __init__(self, sampler: EpochSampler, batch_size: int) -> None:
        self.sampler = sampler
        self.batch_size = batch_size

    @property
    def together(self) -> int:
        """Windows per step, over all processes."""
        return self.batch_size * processes.count()

    def __len__(self) -> int:
        return -(-len(self.sampler) // self.together)

    def __iter__(self) -> Iterator[list[Key]]:
        keys = list(self.sampler)
        rank, count = processes.rank(), processes.count()
        for first in range(0, len(keys), self.together):
            batch = keys[first : first + self.together]
            own = batch[rank * len(batch) // count : (rank + 1) * len(batch) // count]
            epoch, index = batch[0]
            yield own or [(epoch, -1 - index)]
