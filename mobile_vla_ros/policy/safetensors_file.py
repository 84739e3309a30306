"""Writing a safetensors file tensor by tensor, so that one tensor is ever in memory."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mobile_vla_ros.policy.tensors import DTYPES

NAMES = {dtype: name for name, dtype in DTYPES.items()}
# Tensor data starts at a multiple of this, so that a mapped file is aligned for vector loads.
ALIGNMENT = 64


@dataclass(frozen=True)
class Slot:
    """A tensor's place in the file."""

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def nbytes(self) -> int:
        count = 1
        for side in self.shape:
            count *= side
        return count * self.dtype.itemsize


def write_safetensors(
    path: Path,
    slots: Iterable[Slot],
    value: Callable[[str], Tensor],
    written: Callable[[int], None] = lambda nbytes: None,
) -> None:
    """Writes the file and flushes it to the disk.

    Args:
        path: the file; it must not exist.
        slots: the tensors, in the order they are written.
        value: gives a tensor by name, of the slot's shape; it is cast to the slot's dtype.
        written: told the bytes of each tensor after it was written.
    """
    slots = list(slots)
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for slot in slots:
        header[slot.name] = {
            "dtype": NAMES[slot.dtype],
            "shape": list(slot.shape),
            "data_offsets": [offset, offset + slot.nbytes],
        }
        offset += slot.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-(len(text) + 8) % ALIGNMENT)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for slot in slots:
            tensor = value(slot.name).detach().to(slot.dtype).contiguous()
            assert tuple(tensor.shape) == slot.shape, slot.name
            file.write(tensor.reshape(-1).view(torch.uint8).numpy().data)
            written(slot.nbytes)
        file.flush()
        os.fsync(file.fileno())
