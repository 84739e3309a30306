"""Where the policy runs and in which number format: 'auto' resolved, impossible wishes refused."""

from __future__ import annotations

from dataclasses import dataclass

import psutil
import torch

from mobile_vla_ros.policy.errors import PolicyError

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}
CHOICES = "auto, float32, bfloat16, float16 or int8"

# Below this many values float32 costs nothing worth saving, and it is exact.
SMALL = 100_000_000


@dataclass(frozen=True)
class Precision:
    """Number formats of a loaded policy.

    Attributes:
        name: ``float32``, ``bfloat16``, ``float16`` or ``int8``.
        compute: dtype the backbone's activations and unquantised weights have.
        quantised: whether the backbone's linear layers hold int8 weights.
    """

    name: str
    compute: torch.dtype
    quantised: bool = False


def choose_device(device: str | torch.device) -> torch.device:
    """Resolves ``auto`` (a GPU when there is one) and checks that the device exists.

    Raises:
        PolicyError: the device is unknown or not there.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise PolicyError(
            f"unknown device {str(device)!r}; give auto, cpu, cuda or cuda:0"
        ) from error
    if chosen.type == "cpu":
        return torch.device("cpu")
    if chosen.type != "cuda":
        raise PolicyError(f"device {chosen.type} is not supported; give auto, cpu or cuda")
    if not torch.cuda.is_available():
        raise PolicyError(
            f"device {device} was asked for, but this machine has no GPU that torch can use; give "
            "device auto or cpu"
        )
    count = torch.cuda.device_count()
    if chosen.index is not None and chosen.index >= count:
        raise PolicyError(f"device {device} was asked for, but there are only {count} GPUs")
    return chosen


def choose_precision(dtype: str | torch.dtype, device: torch.device, parameters: int) -> Precision:
    """Resolves the number format.

    ``auto`` is bfloat16 on a GPU. On a CPU it is float32 for small policies (below 100 million
    values), and for large ones bfloat16 where the processor multiplies it in hardware (AMX,
    AVX512-BF16, Arm BF16), else float32.

    Raises:
        PolicyError: the format is unknown, or this GPU cannot compute in it.
    """
    name = str(dtype).removeprefix("torch.")
    native = has_bfloat16(device)
    if name == "auto":
        if device.type == "cuda":
            # Before Ampere bfloat16 is emulated; float16 is what those GPUs are fast in.
            chosen = torch.bfloat16 if native else torch.float16
        else:
            chosen = torch.bfloat16 if native and parameters >= SMALL else torch.float32
        return Precision(str(chosen).removeprefix("torch."), chosen)
    if name == "int8":
        return Precision("int8", torch.bfloat16 if native else torch.float32, quantised=True)
    if name not in DTYPES:
        raise PolicyError(f"unknown dtype {name!r}; give {CHOICES}")
    return Precision(str(DTYPES[name]).removeprefix("torch."), DTYPES[name])


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device)[0] >= 8
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def check_room(needed: int, device: torch.device) -> None:
    """Refuses weights that will not fit, before any is read.

    Raises:
        PolicyError: ``needed`` bytes are more than is free.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        place = f"GPU {device.index or 0}"
    else:
        free = psutil.virtual_memory().available
        place = "this machine"
    if needed > free:
        raise PolicyError(
            f"the weights take {needed / 1e9:.1f} GB and {place} has {free / 1e9:.1f} GB free; "
            "try dtype bfloat16 or int8"
        )
