"""Several training processes that together are one: what they share, and which of them speaks."""

from __future__ import annotations

import os

import torch
from torch import Tensor, distributed


def count() -> int:
    """How many processes train together; 1 before they have found each other."""
    return distributed.get_world_size() if _together() else 1


def rank() -> int:
    """Number of this process among them, from 0."""
    return distributed.get_rank() if _together() else 0


def is_first() -> bool:
    """Whether this process is the one that speaks and writes.

    Known from the start: the launcher tells the others by the environment, before they meet.
    """
    if _together():
        return distributed.get_rank() == 0
    said = (os.environ.get(name) for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))
    return all(value in (None, "", "0") for value in said)


def total(value: Tensor) -> Tensor:
    """Sum of a tensor over all processes; the tensor itself in a single one. No gradient."""
    if not _together():
        return value
    everywhere = value.detach().clone()
    distributed.all_reduce(everywhere)
    return everywhere


def any_of(said: bool, device: torch.device) -> bool:
    """Whether any process says so; all get the same answer."""
    if not _together():
        return said
    return bool(total(torch.tensor(float(said), device=device)))


def shared_mean(values: Tensor, number: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """This process's part of a mean over the elements of all processes.

    Processes with fewer valid elements would weigh as much as the others if each took its own
    mean; so the mean of what this returns, over the processes, is the mean over all elements.

    Args:
        values: sum of this process's values.
        number: how many (or what weight) they are.
        least: the number that is divided by is at least this.

    Returns:
        The part, and the number over all processes.
    """
    everywhere = total(number)
    return values * count() / everywhere.clamp(min=least), everywhere


def _together() -> bool:
    return distributed.is_available() and distributed.is_initialized()
