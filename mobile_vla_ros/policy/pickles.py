"""Opening other people's pickled checkpoints without running what they carry.

``torch.load`` with ``weights_only=True`` is safe from torch 2.10 on (CVE-2025-32434 and its
successors); older versions are refused. Weights stay in the file, memory-mapped.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import pathlib
import pickle
import re
import struct
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobile_vla_ros.policy.errors import CheckpointError

SAFE_TORCH = (2, 10)
_READ_PROTOCOL = 2  # torch's own, and all that its careful unpickler knows

# What torch and zipfile raise on a file whose bytes were changed.
DAMAGE = (
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    struct.error,
    zipfile.BadZipFile,
)


class Attributes:
    """Stands in for dictionaries of other classes (Lightning's ``AttributeDict``).

    Torch's careful unpickler fills none but the standard library's own dictionaries, so that is
    what making one of these gives.
    """

    def __new__(cls, *_arguments: Any) -> Any:
        return collections.OrderedDict()


class NamedValues(types.SimpleNamespace):
    """Stands in for ``argparse.Namespace`` and its like."""


def _plain_path(*parts: str) -> str:
    return str(pathlib.PurePosixPath(*parts))


def _harmless() -> list[Any]:
    """Classes seen in ``hyper_parameters`` of real checkpoints, each known to run nothing."""
    allowed: list[Any] = [
        (Attributes, "collections.defaultdict"),
        (NamedValues, "argparse.Namespace"),
        (NamedValues, "types.SimpleNamespace"),
        (_plain_path, "pathlib.PosixPath"),
        (_plain_path, "pathlib.PurePosixPath"),
        (_plain_path, "pathlib.WindowsPath"),
        (_plain_path, "pathlib.PureWindowsPath"),
        (_plain_path, "pathlib._local.PosixPath"),
        (_plain_path, "pathlib._local.WindowsPath"),
        (np.dtype, "numpy.dtype"),
        (np.ndarray, "numpy.ndarray"),
    ]
    # What a defaultdict makes its values with.
    for kind in (int, float, str, list, dict):
        allowed += [(kind, f"builtins.{kind.__name__}"), (kind, f"__builtin__.{kind.__name__}")]
    for owner in (
        "lightning.fabric",
        "lightning_fabric",
        "lightning.pytorch",
        "pytorch_lightning",
    ):
        for module in ("utilities.data", "utilities.parsing"):
            allowed.append((Attributes, f"{owner}.{module}.AttributeDict"))
    # numpy 2 renamed the package its pickles name; a file of either is read by either.
    arrays: Any = importlib.import_module(
        "numpy._core.multiarray"
        if np.lib.NumpyVersion(np.__version__) >= "2.0.0"
        else "numpy.core.multiarray"
    )
    for core in ("numpy.core", "numpy._core"):
        allowed.append((arrays.scalar, f"{core}.multiarray.scalar"))
        allowed.append((arrays._reconstruct, f"{core}.multiarray._reconstruct"))
    for scalar in (np.float64, np.float32, np.int64, np.int32, np.bool_, np.str_):
        allowed.append(type(np.dtype(scalar)))
    return allowed


def open_pickle(path: Path) -> dict[str, Any]:
    """Opens a ``.pt``, ``.ckpt`` or ``.bin`` file; its tensors stay memory-mapped.

    Raises:
        CheckpointError: the file is not a whole checkpoint, carries a class that is not
            allowed, or this torch is too old to open it safely.
    """
    refuse_old_torch()
    _check_container(path)
    allowed = _harmless()
    names = {item[1] if isinstance(item, tuple) else _full_name(item) for item in allowed}
    try:
        foreign = [
            name
            for name in torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
            if name not in names
        ]
    except (*DAMAGE, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"{path} is not a torch checkpoint, or it is damaged: {_first_line(error)}"
        ) from error
    if foreign:
        raise CheckpointError(
            f"{path} was not opened: it carries {foreign[0]}, which is not a class that a "
            "checkpoint needs and could run code; save it again with plain values only"
        )
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(str(path), map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(f"{path} was not opened: {_unpickling(error)}") from error
    except DAMAGE as error:
        raise CheckpointError(
            f"{path} is not a torch checkpoint, or it is damaged: {_first_line(error)}"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a checkpoint's dictionary"
        )
    return content


def refuse_old_torch(version: str | None = None) -> None:
    """Raises CheckpointError below the torch version whose ``weights_only`` can be trusted."""
    version = version or torch.__version__
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < SAFE_TORCH:
        raise CheckpointError(
            f"torch {version} cannot open checkpoints safely; install torch "
            f"{SAFE_TORCH[0]}.{SAFE_TORCH[1]} or newer, or convert the checkpoint on another "
            "machine (`mobile_vla convert`): the directory it writes loads here"
        )


def _check_container(path: Path) -> None:
    """Tells an empty, truncated or foreign file from a torch archive, in words."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file")
    with path.open("rb") as file:
        start = file.read(64)
    if not start:
        raise CheckpointError(f"{path} is empty")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path} is a Git LFS pointer, not the weights; run git lfs pull")
    if not start.startswith(b"PK\x03\x04"):
        raise CheckpointError(
            f"{path} is not a checkpoint this torch can map into memory (not a zip archive); if "
            "it comes from torch older than 1.6, save it again with a newer one"
        )
    try:
        if not zipfile.is_zipfile(path):
            raise CheckpointError(f"{path} is cut off; copy or download it again")
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if name.endswith("/data.pkl")), None)
            start = b""
            if pickled is not None:
                with archive.open(pickled) as file:
                    start = file.read(2)
    except CheckpointError:
        raise
    except (*DAMAGE, OSError) as error:
        raise CheckpointError(f"{path} is damaged: {_first_line(error)}") from error
    if not any(name.endswith("/data.pkl") for name in names):
        raise CheckpointError(f"{path} is a zip archive, but not a torch checkpoint")
    if start[:1] == b"\x80" and start[1] > _READ_PROTOCOL:
        raise CheckpointError(
            f"{path} was saved with pickle protocol {start[1]}, which torch cannot read safely; "
            f"load it where it was made and save it again with torch.save(..., "
            f"pickle_protocol={_READ_PROTOCOL})"
        )
    if any(name.endswith("/constants.pkl") for name in names):
        raise CheckpointError(f"{path} is a TorchScript program, not a checkpoint")


def _unpickling(error: Exception) -> str:
    """The reason behind torch's long advice, which ends in what its unpickler met."""
    reason = str(error).rpartition("WeightsUnpickler error:")[2]
    return _first_line(ValueError(reason))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]


def _full_name(kind: Any) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def plain(value: Any) -> Any:
    """Turns what a pickle may hold into JSON-like values: dictionaries, lists, numbers, text."""
    if isinstance(value, (argparse.Namespace, types.SimpleNamespace)):
        return plain(vars(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, torch.Tensor):
        return value.tolist() if value.numel() <= 64 else f"tensor {list(value.shape)}"
    return value
