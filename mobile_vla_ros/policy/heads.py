"""The action heads: an LSTM over frame features, and multilayer perceptrons on its output.

Module names follow RoboVLMs' ``policy_head``, so that checkpoint keys match.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.config import ARM_HEAD, DRIVING_HEAD, HeadShape
from mobile_vla_ros.policy.errors import CheckpointError

GRIPPER = 1


class OutputLayers(nn.Module):
    """Linear and ReLU three times, then a last Linear, with Tanh where ``bounded``."""

    def __init__(self, hidden_size: int, outputs: int, *, bounded: bool) -> None:
        super().__init__()
        layers: list[nn.Module] = [
            nn.Linear(hidden_size, 1024),
            nn.ReLU(),
            nn.Linear(1024, 512),
            nn.ReLU(),
            nn.Linear(512, 256),
            nn.ReLU(),
            nn.Linear(256, outputs),
        ]
        if bounded:
            layers.append(nn.Tanh())
        self.mlp = nn.Sequential(*layers)

    def forward(self, hidden: Tensor) -> Tensor:
        return self.mlp(hidden)


class RecurrentHead(nn.Module):
    """What both heads share: the LSTM over the window, from a zero state.

    Attributes:
        chunk: action steps per frame.
        dof: values per step.
    """

    chunk: int
    dof: int

    def __init__(self, input_size: int, hidden_size: int, num_layers: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)

    def recur(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, latent, D] to the LSTM's output [B, T, H] and last states h_n, c_n [L, B, H]."""
        with _own_lstm():
            output, (hidden, cell) = self.rnn(features.flatten(2))
        return output, hidden, cell

    def act(self, output: Tensor) -> Tensor:
        """The LSTM's output [B, T, H] to normalised actions [B, T, chunk, dof]."""
        raise NotImplementedError

    def forward(self, features: Tensor) -> Tensor:
        """[B, T, latent, D] to normalised actions [B, T, chunk, dof]."""
        return self.act(self.recur(features)[0])


def _own_lstm() -> AbstractContextManager[None]:
    """Without oneDNN's LSTM, which on a CPU brings the weights into its own layout at every call.

    For the arm's head (4 x 1024) that takes 50 ms, torch's own LSTM takes 15. The outputs agree to
    1e-7. Training is left as it is.
    """
    if torch.is_grad_enabled() or not torch.backends.mkldnn.is_available():
        return nullcontext()
    return torch.backends.mkldnn.flags(enabled=False, deterministic=None, allow_tf32=None)


class DrivingHead(RecurrentHead):
    """``MobileVLALSTMDecoder``: velocities of a mobile base."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, chunk: int, dof: int
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers)
        self.chunk = chunk
        self.dof = dof
        self.velocities = OutputLayers(hidden_size, chunk * dof, bounded=True)

    def act(self, output: Tensor) -> Tensor:
        return self.velocities(output).unflatten(-1, (self.chunk, self.dof))


class ArmHead(RecurrentHead):
    """``LSTMDecoder``: six arm values, and a gripper value without Tanh, as RoboVLMs trains it."""

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int, chunk: int, dof: int
    ) -> None:
        super().__init__(input_size, hidden_size, num_layers)
        self.chunk = chunk
        self.dof = dof
        self.actions = OutputLayers(hidden_size, chunk * (dof - GRIPPER), bounded=True)
        self.gripper = OutputLayers(hidden_size, chunk * GRIPPER, bounded=False)

    def act(self, output: Tensor) -> Tensor:
        arm = self.actions(output).unflatten(-1, (self.chunk, self.dof - GRIPPER))
        gripper = self.gripper(output).unflatten(-1, (self.chunk, GRIPPER))
        return torch.cat([arm, gripper], dim=-1)


HEADS: dict[str, type[DrivingHead] | type[ArmHead]] = {
    DRIVING_HEAD: DrivingHead,
    ARM_HEAD: ArmHead,
}


def head_shape(shapes: Mapping[str, tuple[int, ...]], source: str) -> HeadShape | None:
    """Reads the head's kind and sizes off its keys (without ``act_head.``); None without keys.

    Raises:
        CheckpointError: the keys are of no head known here.
    """
    if not shapes:
        return None
    first = shapes.get("rnn.weight_ih_l0")
    if first is None or len(first) != 2:
        raise CheckpointError(
            f"{source} has a head without an LSTM (act_head.rnn.weight_ih_l0 is missing); "
            f"only {DRIVING_HEAD} and {ARM_HEAD} are supported"
        )
    layers = 1
    while f"rnn.weight_ih_l{layers}" in shapes:
        layers += 1
    last = "mlp.6.weight"
    flat = [name for name, shape in shapes.items() if name.endswith(last) and len(shape) != 2]
    if flat:
        raise CheckpointError(
            f"{source} has another kind of head: act_head.{flat[0]} is {list(shapes[flat[0]])}, "
            "not a matrix"
        )
    if f"velocities.{last}" in shapes:
        kind, outputs, gripper = DRIVING_HEAD, shapes[f"velocities.{last}"][0], None
    elif f"actions.{last}" in shapes and f"gripper.{last}" in shapes:
        kind = ARM_HEAD
        outputs, gripper = shapes[f"actions.{last}"][0], shapes[f"gripper.{last}"][0]
    else:
        raise CheckpointError(
            f"{source} has a head that is neither {DRIVING_HEAD} (act_head.velocities.{last}) nor "
            f"{ARM_HEAD} (act_head.actions.{last} and act_head.gripper.{last})"
        )
    return HeadShape(
        type=kind,
        hidden_size=first[0] // 4,
        num_layers=layers,
        input_size=first[1],
        outputs=outputs,
        gripper_outputs=gripper,
    )
