"""What ``convert --onnx`` notes about its graphs, read and held against the files."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heads import HeadShape, head_shape
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.policy.safetensors_header import Header, read_header

VERSION = 1
INT8_FILE = "int8.safetensors"
HEAD = "model.act_head."
# These have a form of their own for devices that compute in 16 bits.
NATIVE = ("vision", "text")


def graph_file(name: str, *, native: bool = False) -> str:
    """File name of a graph; ``native`` computes in the weights' own 16-bit format."""
    return f"{name}.native.onnx" if native else f"{name}.onnx"


@dataclass(frozen=True)
class Manifest:
    """A converted directory with graphs, checked.

    Attributes:
        directory: where.
        run: the run file.
        extra: the ``mobile_vla`` entry of ``config.json``.
        dtype: what the graphs were made in: ``float32``, ``float16``, ``bfloat16``, ``int8``.
        graphs: file name -> SHA-256.
        weights: the files that the graphs refer to.
        head: what the head's weights say, or None.
        backbone: its sizes (see ``policy.kosmos.backbone_sizes``).
        parameters: number of values in the weights.
        quantised: what converting to int8 found (see ``policy.export.int8``); empty otherwise.
    """

    directory: Path
    run: Mapping[str, Any]
    extra: Mapping[str, Any]
    dtype: str
    graphs: Mapping[str, str]
    weights: tuple[Header, ...]
    head: HeadShape | None
    backbone: Mapping[str, int]
    parameters: int
    quantised: Mapping[str, Any]

    @property
    def has_native(self) -> bool:
        """Whether there are graphs that compute in 16 bits."""
        return graph_file("vision", native=True) in self.graphs


def has_graphs(directory: Path) -> bool:
    """Whether ``mobile_vla convert --onnx`` wrote this directory."""
    return (directory / graph_file("vision")).is_file()


def read_manifest(directory: Path) -> Manifest:
    """Reads a directory's notes and checks that graphs and weights are those it was written with.

    Of the weights only names, shapes, places and the files' lengths are compared.

    Raises:
        CheckpointError: it has no graphs, they are of another version, or files do not fit.
    """
    if not directory.is_dir():
        raise CheckpointError(
            f"{directory} is not a directory; runtime onnx wants one that "
            "`mobile_vla convert --onnx` wrote"
        )
    config = directory / "config.json"
    if not config.is_file():
        raise CheckpointError(f"{directory} is not a converted directory: it has no config.json")
    values = read_run_file(config)
    extra = values.pop("mobile_vla", None)
    section = extra.get("onnx") if isinstance(extra, Mapping) else None
    if not isinstance(extra, Mapping) or not isinstance(section, Mapping):
        raise CheckpointError(
            f"{directory} has no ONNX graphs; make a directory that has with "
            "`mobile_vla convert CHECKPOINT OUT --onnx`"
        )
    if section.get("version") != VERSION:
        raise CheckpointError(
            f"the ONNX graphs in {directory} are of version {section.get('version')}, this "
            f"mobile_vla_ros reads version {VERSION}; convert the checkpoint again"
        )
    try:
        graphs = {str(name): str(digest) for name, digest in section["graphs"].items()}
        noted = {str(name): str(digest) for name, digest in section["weights"].items()}
        backbone = {str(name): int(value) for name, value in section["backbone"].items()}
        dtype, parameters = str(section["dtype"]), int(section["parameters"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{config} says too little about its ONNX graphs ({error}); convert again"
        ) from error
    for name, digest in graphs.items():
        _check_graph(directory / name, digest)
    weights = tuple(_weights(directory / name, digest) for name, digest in noted.items())
    return Manifest(
        directory=directory,
        run=values,
        extra=extra,
        dtype=dtype,
        graphs=graphs,
        weights=weights,
        head=head_shape(_head_shapes(weights), str(directory)),
        backbone=backbone,
        parameters=parameters,
        quantised=dict(section.get("int8") or {}),
    )


def _head_shapes(weights: tuple[Header, ...]) -> dict[str, tuple[int, ...]]:
    return {
        name.removeprefix(HEAD): place.shape
        for header in weights
        for name, place in header.places.items()
        if name.startswith(HEAD)
    }


def _check_graph(path: Path, digest: str) -> None:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CheckpointError(
            f"the graph {path} is missing or cannot be read; copy the whole directory again"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(
            f"the graph {path} is not the one that was written with its weights; copy the whole "
            "directory again, or convert again"
        )


def _weights(path: Path, digest: str) -> Header:
    header = read_header(path)
    if header.sha256 != digest:
        raise CheckpointError(
            f"the weights {path} are not those that the graphs beside them were made for; convert "
            "the checkpoint again"
        )
    return header
