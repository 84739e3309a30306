"""Where the graphs run: a device's execution provider in onnxruntime, or what to install."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mobile_vla_ros.policy.errors import PolicyError

CHOICES = "auto, cpu, cuda, cuda:N, tensorrt or openvino"
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
JETSON = "on a Jetson NVIDIA's wheel, see docs/guides/robot.md"
NEEDS = {
    "cuda": f"pip install onnxruntime-gpu in place of onnxruntime ({JETSON})",
    "tensorrt": f"pip install onnxruntime-gpu in place of onnxruntime, and TensorRT ({JETSON})",
    "openvino": "pip install onnxruntime-openvino in place of onnxruntime",
}
# Providers of a kind that compute in 16 bits where the weights are of 16 bits.
HALF = ("cuda", "tensorrt")


@dataclass(frozen=True)
class Device:
    """Where a policy runs; prints as the user would name it.

    Attributes:
        type: ``cpu``, ``cuda``, ``tensorrt`` or ``openvino``.
        index: which GPU, or None for the first.
    """

    type: str
    index: int | None = None

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    @property
    def provider(self) -> str:
        """The provider's name in onnxruntime."""
        return PROVIDERS[self.type]

    def providers(self) -> list[Any]:
        """What a session is given: the provider with its options, alone but for the CPU.

        The CPU stands last: small operators that shape tensors run there.
        """
        if self.type == "cpu":
            return [self.provider]
        options: dict[str, Any] = {}
        if self.type in HALF and self.index is not None:
            options["device_id"] = self.index
        chosen: list[Any] = [(self.provider, options)]
        if self.type == "tensorrt":
            chosen.append((PROVIDERS["cuda"], options))
        return [*chosen, PROVIDERS["cpu"]]


def choose_device(device: str, available: Sequence[str] | None = None) -> Device:
    """Resolves ``auto`` (CUDA where onnxruntime has it, else the CPU) and checks the provider.

    Args:
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``openvino``.
        available: names of the providers there are; by default onnxruntime's.

    Raises:
        PolicyError: the word is unknown, or this onnxruntime has no such provider.
    """
    if available is None:
        available = onnxruntime().get_available_providers()
    word, _, number = str(device).partition(":")
    if word == "auto":
        return Device("cuda" if PROVIDERS["cuda"] in available else "cpu")
    if word not in PROVIDERS or (number and not number.isdigit()):
        raise PolicyError(f"unknown device {str(device)!r}; with runtime onnx give {CHOICES}")
    if PROVIDERS[word] not in available:
        raise PolicyError(
            f"device {device} was asked for, but this onnxruntime has no {PROVIDERS[word]}; "
            f"{NEEDS.get(word, 'install onnxruntime again')}"
        )
    return Device(word, int(number) if number else None)


def onnxruntime() -> Any:
    """The onnxruntime module.

    Raises:
        PolicyError: it is not installed.
    """
    try:
        import onnxruntime as module
    except ImportError as error:
        raise PolicyError(
            "runtime onnx needs the package onnxruntime; pip install 'mobile_vla_ros[robot]'"
        ) from error
    return module
