"""What a head declares: its name, its weights' keys, its shapes, and whether it drives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

LAST_LAYER = "mlp.6.weight"


@dataclass(frozen=True)
class Part:
    """Output layers on the LSTM, with weights ``<part>.mlp.{0,2,4,6}.{weight,bias}``.

    Attributes:
        values: values per action step; None takes those that the other parts leave.
        bounded: Tanh at the end, for normalised values in [-1, 1].
    """

    values: int | None = None
    bounded: bool = True


@dataclass(frozen=True)
class HeadShape:
    """What the head's own weights say, beside which the run file is checked.

    Attributes:
        type: the head's name.
        hidden_size: width of the LSTM.
        num_layers: its layers.
        input_size: what it reads per frame.
        outputs: width of the part that takes what the others leave: chunk x its values.
        fixed_outputs: width of the parts with a number of values of their own, or None.
    """

    type: str
    hidden_size: int
    num_layers: int
    input_size: int
    outputs: int
    fixed_outputs: int | None = None


@dataclass(frozen=True)
class HeadKind:
    """A kind of head: an LSTM ``rnn`` over frame features, and parts whose values are joined.

    Attributes:
        name: ``act_head.type`` of run files.
        drives: whether the values are velocities of a mobile base, in [-1, 1] before scaling.
        parts: name -> part, in the order of the values; just one has no ``values``.
        axes: what the values are when they are no velocities.
    """

    name: str
    drives: bool
    parts: Mapping[str, Part]
    axes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if sum(part.values is None for part in self.parts.values()) != 1:
            raise ValueError(f"{self.name}: just one part takes the values that others leave")

    @property
    def fixed(self) -> int:
        """Values per step of the parts that have a number of their own."""
        return sum(part.values or 0 for part in self.parts.values())

    def values(self, dof: int) -> dict[str, int]:
        """Values per step of each part of a head with ``dof`` values per step."""
        left = dof - self.fixed
        return {name: part.values or left for name, part in self.parts.items()}

    def shape(
        self, hidden_size: int, num_layers: int, input_size: int, chunk: int, dof: int
    ) -> HeadShape:
        """The shape of a head of this kind."""
        fixed = chunk * self.fixed or None
        outputs = chunk * (dof - self.fixed)
        return HeadShape(self.name, hidden_size, num_layers, input_size, outputs, fixed)

    def widths(self, shapes: Mapping[str, tuple[int, ...]]) -> tuple[int, int | None] | None:
        """``outputs`` and ``fixed_outputs`` by the keys; None when they are of another kind."""
        found = {name: shapes.get(f"{name}.{LAST_LAYER}") for name in self.parts}
        if any(shape is None for shape in found.values()):
            return None
        width = {name: shape[0] for name, shape in found.items() if shape is not None}
        fixed = sum(width[name] for name, part in self.parts.items() if part.values)
        return sum(width.values()) - fixed, fixed or None

    @property
    def keys(self) -> str:
        """The keys by which it is known, in words."""
        return " and ".join(f"act_head.{name}.{LAST_LAYER}" for name in self.parts)
