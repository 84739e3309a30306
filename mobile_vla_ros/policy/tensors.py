"""Named tensors that stay in their file until they are read, one by one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.pickles import open_pickle

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file: its shape and dtype now, its values when ``read`` is called."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        """Bytes it takes in its file."""
        count = 1
        for side in self.shape:
            count *= side
        return count * self.dtype.itemsize


def from_state(state: Mapping[str, Any], source: str) -> dict[str, StoredTensor]:
    """The tensors of a state dictionary (memory-mapped by whoever opened it)."""
    stored = {}
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise CheckpointError(
                f"{source}: the weight {name} is a {type(value).__name__}, not a tensor"
            )
        if value.layout != torch.strided or value.is_meta or value.is_quantized:
            raise CheckpointError(
                f"{source}: the weight {name} is not a plain tensor of values (sparse, quantised "
                "or empty); save it dense"
            )
        if value.is_complex():
            raise CheckpointError(f"{source}: the weight {name} holds complex numbers")
        stored[str(name)] = StoredTensor(tuple(value.shape), value.dtype, _reader(value))
    return stored


def _reader(value: Tensor) -> Callable[[], Tensor]:
    return lambda: value


def from_safetensors(path: Path) -> dict[str, StoredTensor]:
    """The tensors of one safetensors file.

    Raises:
        CheckpointError: the file cannot be read.
    """
    try:
        handle = safe_open(str(path), framework="pt", device="cpu")
        stored = {}
        for name in handle.keys():  # noqa: SIM118
            piece = handle.get_slice(name)
            dtype = DTYPES.get(piece.get_dtype())
            if dtype is None:
                raise CheckpointError(f"{path}: {name} is of the type {piece.get_dtype()}")
            stored[name] = StoredTensor(tuple(piece.get_shape()), dtype, _opener(handle, name))
        return stored
    except (SafetensorError, OSError) as error:
        if path.exists() and path.stat().st_size == 0:
            raise CheckpointError(f"{path} is empty") from error
        raise CheckpointError(
            f"{path} is not a whole safetensors file ({error}); copy or download it again"
        ) from error


def _opener(handle: Any, name: str) -> Callable[[], Tensor]:
    return lambda: handle.get_tensor(name)


def from_directory(directory: Path) -> dict[str, StoredTensor]:
    """The weights of a model directory: safetensors (sharded or not) or ``pytorch_model.bin``.

    Raises:
        CheckpointError: there are none, or they cannot be read.
    """
    for index, opener in (
        ("model.safetensors.index.json", from_safetensors),
        ("pytorch_model.bin.index.json", _from_bin),
    ):
        if (directory / index).is_file():
            return _sharded(directory / index, opener)
    if (directory / "model.safetensors").is_file():
        return from_safetensors(directory / "model.safetensors")
    if (directory / "pytorch_model.bin").is_file():
        return _from_bin(directory / "pytorch_model.bin")
    raise CheckpointError(
        f"{directory} has no weights: neither model.safetensors nor pytorch_model.bin is there"
    )


def _from_bin(path: Path) -> dict[str, StoredTensor]:
    return from_state(open_pickle(path), str(path))


def _sharded(
    index: Path, opener: Callable[[Path], dict[str, StoredTensor]]
) -> dict[str, StoredTensor]:
    try:
        names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
        files = sorted({str(name) for name in names})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise CheckpointError(f"{index} is not a usable index of weights") from error
    stored: dict[str, StoredTensor] = {}
    for name in files:
        if not (index.parent / name).is_file():
            raise CheckpointError(f"{index} names {name}, which is missing")
        stored |= opener(index.parent / name)
    return stored
