"""The floor: how fast this machine could be at best, from what it was measured to do."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy

COPY_BYTES = 256 * 2**20
SIDE = {"cpu": 2048, "cuda": 8192}


@dataclass(frozen=True)
class Floor:
    """Lower bounds of one stream step.

    Attributes:
        weight_bytes: bytes of weights that a frame has to read.
        operations: floating-point operations of a frame (a multiplication and an addition are 2).
        copy_bandwidth: measured, bytes/s read and written by a large copy.
        matrix_rate: measured, operations/s of a large matrix product in the policy's dtype.
        memory_seconds: weight_bytes / copy_bandwidth.
        compute_seconds: operations / matrix_rate.
        seconds: the larger of both.
        measured_over_floor: the measured step divided by it.
    """

    weight_bytes: int
    operations: int
    copy_bandwidth: float
    matrix_rate: float
    memory_seconds: float
    compute_seconds: float
    seconds: float
    measured_over_floor: float


def count_work(policy: Policy, instruction: str) -> tuple[int, int]:
    """Counts what one frame costs whatever the machine.

    Args:
        policy: not packed yet.
        instruction: its length counts.

    Returns:
        Bytes of weights that are read, and floating-point operations.
    """
    size = policy.config.image_size
    pixels = torch.randn(1, 3, size, size, device=policy.device)
    with FlopCounterMode(display=False) as counter:
        features = policy.encode_frames(pixels, instruction)
        if policy.config.head is not None:
            policy.decode(features[None].expand(1, policy.config.window_size, -1, -1))
    # The embedding table is looked up once per instruction, never read per frame.
    table = policy.model.backbone.text_model.model.embed_tokens.weight
    weight_bytes = sum(
        p.numel() * p.element_size() for p in policy.model.parameters() if p is not table
    )
    return weight_bytes, int(counter.get_total_flops())


def measure_floor(
    work: tuple[int, int], device: torch.device, dtype: torch.dtype, step_seconds: float
) -> Floor:
    """Measures the machine and sets a frame's work against it.

    Args:
        work: see ``count_work``.
        device: where the policy runs.
        dtype: what it computes in.
        step_seconds: measured time of one stream step, s.
    """
    weight_bytes, operations = work
    bandwidth = copy_bandwidth(device)
    rate = matrix_rate(device, dtype)
    memory, compute = weight_bytes / bandwidth, operations / rate
    seconds = max(memory, compute)
    return Floor(
        weight_bytes,
        operations,
        bandwidth,
        rate,
        memory,
        compute,
        seconds,
        step_seconds / seconds if seconds else float("nan"),
    )


def copy_bandwidth(device: torch.device, repeats: int = 5) -> float:
    """Bytes per second of a large copy, read and written bytes counted, best of ``repeats``."""
    source = torch.ones(COPY_BYTES, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * COPY_BYTES / _best(lambda: target.copy_(source), device, repeats)


def matrix_rate(device: torch.device, dtype: torch.dtype, repeats: int = 5) -> float:
    """Operations per second of a large square matrix product, best of ``repeats``."""
    side = SIDE[device.type]
    a = torch.randn(side, side, device=device).to(dtype)
    b = torch.randn(side, side, device=device).to(dtype)
    return 2 * side**3 / _best(lambda: torch.mm(a, b), device, repeats)


def _best(work, device: torch.device, repeats: int) -> float:
    def once() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter() - begin

    once()
    return min(once() for _ in range(repeats))
