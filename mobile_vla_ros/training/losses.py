"""The loss: Huber's on normalised velocities or a sharper one, of what is valid everywhere."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mobile_vla_ros.training.processes import shared_mean, total


def masked_huber(
    predicted: Tensor,
    labels: Tensor,
    mask: Tensor,
    step_decay: float = 1.0,
    weights: Tensor | None = None,
    beta: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Smooth L1 loss over the valid elements: with ``beta`` 1 Huber's with delta 1.

    Args:
        predicted: [B, T, chunk, dof], normalised.
        labels: the same shape.
        mask: bool [B, T, chunk].
        step_decay: chunk step k counts by its k-th power.
        weights: float [B, T], how much each frame counts; None: all alike.
        beta: error below which it is quadratic; a small one asks for the median of the labels
            that a frame may have, where 1 asks for their mean.

    Returns:
        The (weighted) mean over valid elements, 0 when there are none, and their number; with
        several processes, this one's part of the mean over all of them (see `shared_mean`), and
        the number in all.
    """
    each = functional.smooth_l1_loss(
        predicted.float(), labels.float(), reduction="none", beta=beta
    )
    valid = mask[..., None].expand_as(each)
    if step_decay == 1 and weights is None:
        return shared_mean((each * valid).sum(), valid.sum(), 1)
    steps = torch.arange(each.shape[-2], device=each.device)
    weight = valid * (step_decay**steps)[:, None]
    if weights is not None:
        weight = weight * weights[..., None, None]
    return shared_mean((each * weight).sum(), weight.sum(), 1e-9)[0], total(valid.sum())
