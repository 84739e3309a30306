"""The lean pass over a policy that is not loaded: a layer's weights are read when it is reached.

So a policy of any size can be followed through its layers with little more memory than its
largest layer takes. Everything is computed in float32.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.model import rebuild_buffers
from mobile_vla_ros.policy.plan import LoadPlan

# layer name (``backbone...``), what goes in, [..., in]
Visitor = Callable[[str, Tensor], None]


@contextmanager
def walkable(plan: LoadPlan, visit: Visitor) -> Iterator[Any]:
    """The plan's model, able to compute until the end of the ``with``.

    Args:
        plan: checked.
        visit: called before each linear layer of the backbone computes.
    """
    handles: list[Any] = []
    names = {id(module): name for name, module in plan.model.named_modules()}
    try:
        for module, parameters in _by_module(plan):
            name = names[id(module)]
            if isinstance(module, nn.Linear) and name.startswith("backbone."):
                handles.append(module.register_forward_pre_hook(_enter(plan, name, visit)))
                handles.append(module.register_forward_hook(_leave))
            else:
                for parameter, full in parameters:
                    _fill(plan, module, parameter, full)
        rebuild_buffers(plan.model, torch.device("cpu"), torch.float32)
        yield plan.model
    finally:
        for handle in handles:
            handle.remove()
        plan.model.to("meta")


def read_weight(plan: LoadPlan, name: str) -> Tensor:
    """A weight by its full name, float32, adapter merged in."""
    owner = plan.model.get_submodule(name.rpartition(".")[0])
    return plan.read(owner, name).to(torch.float32)


def _by_module(plan: LoadPlan) -> list[tuple[nn.Module, list[tuple[str, str]]]]:
    grouped: dict[int, tuple[nn.Module, list[tuple[str, str]]]] = {}
    for module, parameter, name in plan.weights():
        grouped.setdefault(id(module), (module, []))[1].append((parameter, name))
    return list(grouped.values())


def _fill(plan: LoadPlan, module: nn.Module, parameter: str, name: str) -> None:
    value = plan.read(module, name).to(torch.float32)
    setattr(module, parameter, nn.Parameter(value, requires_grad=False))


def _enter(plan: LoadPlan, name: str, visit: Visitor) -> Any:
    def hook(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
        visit(name, arguments[0])
        for parameter in ("weight", "bias"):
            _fill(plan, module, parameter, f"{name}.{parameter}")

    return hook


def _leave(module: nn.Module, _arguments: Any, _result: Any) -> None:
    module.to("meta")
