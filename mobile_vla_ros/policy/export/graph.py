"""An ONNX graph in the making: nodes, small constants, and weights that stay in their files.

A graph refers to the tensors of ``model.safetensors`` where they lie (ONNX' external data), so it
takes a few kilobytes whatever the size of the policy, and the weights are there once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.safetensors_header import Header

# LayerNormalization is an operator since 17; TensorRT 8.6 (JetPack 6) knows no newer ones.
OPSET = 17
IR_VERSION = 8
KINDS = {
    "F32": TensorProto.FLOAT,
    "F16": TensorProto.FLOAT16,
    "BF16": TensorProto.BFLOAT16,
    "I8": TensorProto.INT8,
}
TO_THE_END = np.iinfo(np.int64).max


class Graph:
    """Builds one graph; every method adds nodes and returns the name of a value.

    Activations are matrices [rows, width] wherever the operator allows it: a product of matrices
    takes its bias along, one of larger tensors does not.

    Args:
        name: of the graph.
        weights: the files that the weights lie in; a name is looked for in each, in turn.
        native: compute in the weights' own format instead of float32.
    """

    def __init__(self, name: str, weights: Sequence[Header], *, native: bool = False) -> None:
        self._name = name
        self._weights = weights
        self._native = native
        self._nodes: list[Any] = []
        self._constants: dict[str, Any] = {}
        self._external: dict[str, Any] = {}
        self._cast: set[str] = set()
        self._levels: dict[str, list[str]] = {}
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._count = 0
        self.kind = TensorProto.FLOAT

    def use_kind(self, dtype: str) -> None:
        """Computes in the format that safetensors calls ``dtype``, where ``native``."""
        if self._native:
            self.kind = KINDS[dtype]

    def input(self, name: str, shape: Sequence[int | str], kind: int = TensorProto.FLOAT) -> str:
        """Declares an input."""
        self._inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, value: str, name: str, shape: Sequence[int | str]) -> None:
        """Makes a value a float32 output."""
        self._nodes.append(helper.make_node("Cast", [value], [name], to=TensorProto.FLOAT))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))

    def op(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Adds a node with one result."""
        return self.ops(operator, 1, *inputs, **attributes)[0]

    def ops(self, operator: str, results: int, *inputs: str, **attributes: Any) -> list[str]:
        """Adds a node with several results."""
        self._count += 1
        names = [f"{operator}_{self._count}_{index}" for index in range(results)]
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def whole(self, *values: int) -> str:
        """A constant int64 vector."""
        return self._constant(np.array(values, np.int64), "whole_" + "_".join(map(str, values)))

    def number(self, value: float) -> str:
        """A constant scalar in the format of the computation."""
        name = f"number_{value!r}"
        if self.kind == TensorProto.FLOAT:
            return self._constant(np.array(value, np.float32), name)
        if name not in self._constants:
            self._constants[name] = helper.make_tensor(name, self.kind, [], [value])
        return name

    def array(self, values: np.ndarray, name: str) -> str:
        """A constant array, kept in the graph itself."""
        return self._constant(np.ascontiguousarray(values), name)

    def cast(self, value: str) -> str:
        """A float32 value in the format of the computation."""
        if self.kind == TensorProto.FLOAT:
            return value
        return self.op("Cast", value, to=self.kind)

    def has(self, name: str) -> bool:
        """Whether there is such a weight."""
        return any(name in header.places for header in self._weights)

    def stored(self, name: str) -> str:
        """A weight as it lies in its file."""
        if name not in self._external:
            header = next((item for item in self._weights if name in item.places), None)
            if header is None:
                raise CheckpointError(f"there is no weight {name} to make a graph of")
            place = header.places[name]
            tensor = TensorProto(name=name, data_type=KINDS[place.dtype], dims=place.shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (
                ("location", header.path.name),
                ("offset", str(place.offset)),
                ("length", str(place.nbytes)),
            ):
                tensor.external_data.add(key=key, value=value)
            self._external[name] = tensor
        return name

    def weight(self, name: str, kind: int | None = None) -> str:
        """A weight in the format of the computation, or in another."""
        kind = self.kind if kind is None else kind
        stored = self.stored(name)
        if self._external[name].data_type == kind:
            return stored
        cast = f"{name}.cast"
        if name not in self._cast:
            self._cast.add(name)
            self._nodes.append(helper.make_node("Cast", [stored], [cast], to=kind))
        return cast

    def linear(self, rows: str, layer: str) -> str:
        """[rows, in] through a linear layer to [rows, out], in 8 bits where it is stored so."""
        if self.has(f"{layer}.int8"):
            return self._linear_int8(rows, layer)
        return self.op(
            "Gemm", rows, self.weight(f"{layer}.weight"), self.weight(f"{layer}.bias"), transB=1
        )

    def _linear_int8(self, rows: str, layer: str) -> str:
        if rows not in self._levels:
            self._levels[rows] = self.ops("DynamicQuantizeLinear", 3, rows)
        levels, scale, zero = self._levels[rows]
        none = self._constant(np.array(0, np.int8), "zero_int8")
        product = self.op("MatMulInteger", levels, self.stored(f"{layer}.int8"), zero, none)
        product = self.op("Cast", product, to=TensorProto.FLOAT)
        scales = self.op("Mul", scale, self.stored(f"{layer}.scale"))
        return self.op("Add", self.op("Mul", product, scales), self.weight(f"{layer}.bias"))

    def layer_norm(self, values: str, layer: str, eps: float) -> str:
        """Layer norm over the last axis."""
        return self.op(
            "LayerNormalization",
            values,
            self.weight(f"{layer}.weight"),
            self.weight(f"{layer}.bias"),
            axis=-1,
            epsilon=eps,
        )

    def activation(self, values: str, kind: str) -> str:
        """``gelu`` (exact), ``quick_gelu`` or ``relu``.

        Raises:
            CheckpointError: another one.
        """
        if kind == "quick_gelu":
            gate = self.op("Sigmoid", self.op("Mul", values, self.number(1.702)))
            return self.op("Mul", values, gate)
        if kind == "gelu":
            inner = self.op("Erf", self.op("Div", values, self.number(2**0.5)))
            doubled = self.op("Mul", values, self.op("Add", inner, self.number(1.0)))
            return self.op("Mul", doubled, self.number(0.5))
        if kind == "relu":
            return self.op("Relu", values)
        raise CheckpointError(
            f"the backbone's activation {kind!r} has no ONNX graph here; gelu, quick_gelu and "
            "relu have"
        )

    def rows(self, values: str, width: int) -> str:
        """[N, S, width] to [N x S, width]."""
        return self.op("Reshape", values, self.whole(-1, width))

    def attend(
        self,
        query: str,
        key: str,
        value: str,
        *,
        heads: int,
        width: int,
        shapes: tuple[str, str],
        mask: str | None = None,
    ) -> str:
        """Multi-head attention up to its output projection.

        Args:
            query: rows [N x Q, width].
            key: rows [N x K, width].
            value: rows [N x K, width].
            heads: how many.
            width: of all heads together.
            shapes: the int64 vectors [N, Q, heads, width / heads] and the same with K.
            mask: added to the scores, [Q, K].

        Returns:
            Rows [N x Q, width].
        """
        scaled = self.op("Mul", query, self.number((width // heads) ** -0.5))
        split = self.op("Reshape", scaled, shapes[0])
        split = self.op("Transpose", split, perm=[0, 2, 1, 3])
        keys = self.op("Transpose", self.op("Reshape", key, shapes[1]), perm=[0, 2, 3, 1])
        values = self.op("Transpose", self.op("Reshape", value, shapes[1]), perm=[0, 2, 1, 3])
        scores = self.op("MatMul", split, keys)
        if mask is not None:
            scores = self.op("Add", scores, mask)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), values)
        return self.rows(self.op("Transpose", mixed, perm=[0, 2, 1, 3]), width)

    def size(self, value: str, axis: int) -> str:
        """The length of one axis, int64 [1]."""
        return self.op("Shape", value, start=axis, end=axis + 1)

    def join(self, *values: str, axis: int = 0) -> str:
        """Concatenates."""
        return self.op("Concat", *values, axis=axis)

    def cut(self, value: str, start: str, end: str, axis: int) -> str:
        """Slices one axis; ``start`` and ``end`` are int64 [1]."""
        return self.op("Slice", value, start, end, self.whole(axis))

    def finish(self, metadata: Mapping[str, str]) -> bytes:
        """The graph's bytes; the same for the same calls."""
        graph = helper.make_graph(
            self._nodes,
            self._name,
            self._inputs,
            self._outputs,
            [*self._constants.values(), *self._external.values()],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            producer_name="mobile_vla_ros",
        )
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(sorted(metadata.items())))
        return model.SerializeToString(deterministic=True)

    def _constant(self, values: np.ndarray, name: str) -> str:
        if name not in self._constants:
            self._constants[name] = numpy_helper.from_array(values, name)
        return name


def check(path: str) -> None:
    """Holds a written graph to ONNX' own checker, its weights' files included.

    Raises:
        CheckpointError: the checker refuses it.
    """
    try:
        onnx.checker.check_model(path, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise CheckpointError(f"the graph {path} is not valid: {error}") from error
