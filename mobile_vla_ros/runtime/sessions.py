"""onnxruntime sessions of a converted directory's graphs, under the node's thread rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.policy.errors import CheckpointError, PolicyError
from mobile_vla_ros.runtime.providers import Device, onnxruntime

# Warnings of onnxruntime are about its own choices; errors reach us as exceptions.
_ONLY_FATAL = 4


class GraphSession:
    """A graph, loaded and ready to run.

    Args:
        path: the ``.onnx`` file.
        device: where it runs.
        threads: of one run.
        replaced: values to take in place of stored weights of this graph, by name.

    Raises:
        CheckpointError: onnxruntime cannot load it.
        PolicyError: the device's provider fails.
    """

    def __init__(
        self,
        path: Path,
        device: Device,
        threads: int,
        replaced: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        module = onnxruntime()
        options = module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = _ONLY_FATAL
        # Threads that wait must not spin: the publisher of velocities wants the processor.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_session_config_entry("session.inter_op.allow_spinning", "0")
        if replaced:
            # onnxruntime copies them; they need not outlive this call.
            held = [module.OrtValue.ortvalue_from_numpy(values) for values in replaced.values()]
            options.add_external_initializers(list(replaced), held)
        self._path = path
        self._device = device
        try:
            self._session = module.InferenceSession(
                str(path), options, providers=device.providers()
            )
        # onnxruntime's exceptions have no class of their own in common.
        except Exception as error:
            raise CheckpointError(
                f"onnxruntime {module.__version__} cannot load the graph {path} for device "
                f"{device}: {_first_line(error)}"
            ) from error
        if device.provider not in self._session.get_providers():
            raise PolicyError(
                f"device {device} was asked for, but {device.provider} could not start and "
                "onnxruntime went to the CPU instead; do its CUDA, cuDNN or driver versions fit? "
                "give device cpu to run there"
            )

    @property
    def inputs(self) -> dict[str, Sequence[Any]]:
        """Name -> shape of every input."""
        return {item.name: item.shape for item in self._session.get_inputs()}

    def run(self, **inputs: np.ndarray) -> list[np.ndarray]:
        """The graph's outputs, in their order.

        Raises:
            PolicyError: the provider fails.
        """
        try:
            return self._session.run(None, inputs)
        except Exception as error:
            raise PolicyError(
                f"{self._device.provider} failed at the graph {self._path.name}: "
                f"{_first_line(error)}; give device cpu if it goes on"
            ) from error


def _first_line(error: Exception) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:300]
