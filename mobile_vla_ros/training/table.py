"""What a run will train and how much memory it needs, told before the first step."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from rich.table import Table

from mobile_vla_ros.training.module import PolicyTraining
from mobile_vla_ros.training.trainable import kind_of

FLOAT = 4  # bytes
PARTS = (
    ("vision model", "vision_model"),
    ("projection", "image_to_text_projection"),
    ("text model", "text_model"),
)


@dataclass(frozen=True)
class PartSize:
    """One part of the network.

    Attributes:
        name: what it is.
        parameters: number of values.
        trainable: how many of them move.
        memory: bytes for weights, gradients and Adam's two moments, all float32.
    """

    name: str
    parameters: int
    trainable: int

    @property
    def memory(self) -> int:
        return FLOAT * (self.parameters + 3 * self.trainable)


def part_sizes(module: PolicyTraining) -> list[PartSize]:
    """The parts of the network in order, the whole last."""
    counts: OrderedDict[str, list[int]] = OrderedDict()
    for name, parameter in module.named_parameters():
        part = next((label for label, key in PARTS if f".{key}." in name), kind_of(name))
        if "lora_" in name:
            part = f"adapters of the {part}"
        count = counts.setdefault(part, [0, 0])
        count[0] += parameter.numel()
        count[1] += parameter.numel() if parameter.requires_grad else 0
    parts = [PartSize(name, *count) for name, count in counts.items()]
    whole = PartSize(
        "whole network",
        sum(part.parameters for part in parts),
        sum(part.trainable for part in parts),
    )
    return [*parts, whole]


def size_table(parts: list[PartSize], cached: bool) -> Table:
    """A table for the terminal."""
    note = "; activations come on top" if not cached else "; the backbone is not called"
    table = Table(
        title="What will be trained",
        caption=f"memory: weights, gradients and Adam's moments in float32{note}",
    )
    table.add_column("part")
    table.add_column("parameters", justify="right")
    table.add_column("trainable", justify="right")
    table.add_column("memory", justify="right")
    for part in parts:
        if part is parts[-1]:
            table.add_section()
        memory = part.memory / 1e9
        table.add_row(
            part.name,
            f"{part.parameters:,}",
            f"{part.trainable:,}",
            f"{memory:.1f} GB" if memory >= 1 else f"{memory * 1e3:.1f} MB",
        )
    return table
