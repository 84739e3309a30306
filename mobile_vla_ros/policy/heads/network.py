"""The network of an action head: an LSTM over frame features, and layers on its output.

Module names follow RoboVLMs' ``policy_head``, so that checkpoint keys match.
"""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.heads.kind import HeadKind


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


class ActionHead(nn.Module):
    """A head of any kind: the LSTM over the window from a zero state, and the kind's parts.

    Args:
        kind: what it is.
        input_size: values per frame that the LSTM reads.
        hidden_size: width of the LSTM.
        num_layers: its layers.
        chunk: action steps per frame.
        dof: values per step.
    """

    def __init__(
        self,
        kind: HeadKind,
        input_size: int,
        hidden_size: int,
        num_layers: int,
        chunk: int,
        dof: int,
    ) -> None:
        super().__init__()
        self.chunk = chunk
        self.dof = dof
        self.values = kind.values(dof)
        self.rnn = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        for name, part in kind.parts.items():
            layers = OutputLayers(hidden_size, chunk * self.values[name], bounded=part.bounded)
            self.add_module(name, layers)

    def recur(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B, T, latent, D] to the LSTM's output [B, T, H] and last states h_n, c_n [L, B, H]."""
        with _own_lstm():
            output, (hidden, cell) = self.rnn(features.flatten(2))
        return output, hidden, cell

    def act(self, output: Tensor) -> Tensor:
        """The LSTM's output [B, T, H] to normalised actions [B, T, chunk, dof]."""
        parts = [
            self.get_submodule(name)(output).unflatten(-1, (self.chunk, values))
            for name, values in self.values.items()
        ]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)

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
    flags = torch.backends.mkldnn.flags
    # None leaves a setting as it is; torch before 2.6 has the first one alone.
    others = dict.fromkeys(list(inspect.signature(flags).parameters)[1:])
    return flags(False, **others)
