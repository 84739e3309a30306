"""What a safetensors file says about its tensors, read without torch and without their values."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.policy.errors import CheckpointError

# A header of a full-size policy takes 0.1 MB; more than this is no header.
LARGEST_HEADER = 64 * 2**20
NUMPY = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I8": "i1",
    "U8": "u1",
}
BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2, "I8": 1, "U8": 1}


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Attributes:
        dtype: as safetensors names it (``F32``, ``BF16``, ``I8`` ...).
        shape: its sides.
        offset: of its first byte in the file.
        nbytes: how many bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    offset: int
    nbytes: int


@dataclass(frozen=True)
class Header:
    """A safetensors file's table of contents.

    Attributes:
        path: the file.
        places: tensor name -> place.
        sha256: of the header's bytes: names, shapes, formats and order of all tensors.
        metadata: free text by name.
    """

    path: Path
    places: dict[str, Place]
    sha256: str
    metadata: dict[str, str]

    def read(self, name: str) -> np.ndarray:
        """A tensor's values, in a format that numpy has.

        Raises:
            CheckpointError: the file has no such tensor, or in another kind of number.
        """
        place = self.places.get(name)
        if place is None or place.dtype not in NUMPY:
            raise CheckpointError(f"{self.path} has no usable tensor {name}")
        count = math.prod(place.shape)
        values = np.fromfile(self.path, NUMPY[place.dtype], count, offset=place.offset)
        return values.reshape(place.shape)


def read_header(path: Path) -> Header:
    """Reads a safetensors file's header and checks that the file is as long as it says.

    Raises:
        CheckpointError: there is no such file, or it is not whole.
    """
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            text = file.read(size) if size <= LARGEST_HEADER else b""
        length = path.stat().st_size
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; copy the whole directory again") from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        values: dict[str, Any] = json.loads(text)
        metadata = values.pop("__metadata__", {})
        places = {name: _place(entry, 8 + size) for name, entry in values.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a whole safetensors file; copy it again") from error
    end = max((place.offset + place.nbytes for place in places.values()), default=8 + size)
    if end != length:
        raise CheckpointError(
            f"{path} is {length} bytes long and should be {end}: it is not whole; copy it again"
        )
    return Header(path, places, hashlib.sha256(text).hexdigest(), dict(metadata))


def _place(entry: dict[str, Any], start: int) -> Place:
    first, end = entry["data_offsets"]
    shape = tuple(int(side) for side in entry["shape"])
    if not 0 <= first <= end or end - first != math.prod(shape) * BYTES[entry["dtype"]]:
        raise ValueError("the offsets do not fit the shape")
    return Place(entry["dtype"], shape, start + first, end - first)
