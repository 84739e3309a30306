"""Writing the fast-loading directory: adapters merged, one dtype, everything in one place."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from mobile_vla_ros.folders import whole_folder
from mobile_vla_ros.policy import inspection
from mobile_vla_ros.policy.checkpoint import STATISTICS_FILE, user_path
from mobile_vla_ros.policy.config import check_axes
from mobile_vla_ros.policy.episode_list import EPISODES_FILE, write_episodes
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.export.calibration import Clip, drawn_clips
from mobile_vla_ros.policy.filling import is_finite, prompt_reader
from mobile_vla_ros.policy.plan import LoadPlan, plan_loading
from mobile_vla_ros.policy.precision import DTYPES
from mobile_vla_ros.policy.safetensors_file import Slot, write_safetensors
from mobile_vla_ros.runtime.manifest import INT8_FILE, graph_file

FORMAT = 1
TEXT_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "sentencepiece.bpe.model",
    "preprocessor_config.json",
    "processor_config.json",
)
GRAPH_FILES = {
    graph_file(name, native=native)
    for name in ("vision", "prompt", "text", "head")
    for native in (False, True)
}
WRITTEN = {
    "model.safetensors",
    "config.json",
    STATISTICS_FILE,
    EPISODES_FILE,
    INT8_FILE,
    *TEXT_FILES,
    *GRAPH_FILES,
}


@dataclass(frozen=True)
class Converted:
    """What ``convert`` wrote.

    Attributes:
        directory: where.
        weights_bytes: size of the weights.
        source_sha256: SHA-256 of the checkpoint's file.
        description: the facts of ``inspection.describe``, of the source.
        int8: what quantising found (see ``export.quantise.judge``), or None.
    """

    directory: Path
    weights_bytes: int
    source_sha256: str
    description: Mapping[str, Any]
    int8: Mapping[str, Any] | None = None


def convert(
    checkpoint: str | Path,
    out_dir: str | Path,
    backbone: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
    *,
    dtype: str = "bfloat16",
    action_axes: Sequence[str] | None = None,
    onnx: bool = False,
    calibration: Sequence[Clip] | None = None,
    accept_error: bool = False,
    started: Callable[[int], None] = lambda total: None,
    written: Callable[[int], None] = lambda nbytes: None,
) -> Converted:
    """Writes a directory that loads fast and without the original backbone.

    Weights go tensor by tensor from file to file. The directory appears whole or not at all. The
    head stays float32: it is small, and it decides the velocities.

    Args:
        checkpoint: anything ``load_policy`` opens.
        out_dir: must not exist, or be empty.
        backbone: as in ``load_policy``.
        config: as in ``load_policy``.
        dtype: of the backbone: ``bfloat16``, ``float32`` or ``float16``; with ``onnx`` also
            ``int8``, which writes quantised layers beside weights in bfloat16.
        action_axes: what the outputs mean, when the run file does not say.
        onnx: write ONNX graphs too, for ``load_policy(..., runtime="onnx")``.
        calibration: frames that int8 is chosen and judged by; by default drawn pictures.
        accept_error: write int8 whatever it does to the velocities.
        started: told the bytes that will be written.
        written: told the bytes of each tensor after it was written.

    Raises:
        CheckpointError: the checkpoint cannot be loaded, or ``out_dir`` cannot be written.
        QuantisationError: int8 moves the velocities too far.
    """
    kind = _kind(dtype, onnx)
    out_dir = user_path(out_dir)
    if out_dir.exists() and (not out_dir.is_dir() or any(out_dir.iterdir())):
        raise CheckpointError(f"{out_dir} exists already and is not an empty directory")
    plan = plan_loading(checkpoint, backbone, config)
    plan.check()
    if plan.config.head is not None:
        prompt_reader(plan)
    values = _config(plan, action_axes, str(kind).removeprefix("torch."))
    slots, modules = _slots(plan, kind)
    total = sum(slot.nbytes for slot in slots)
    started(total)
    try:
        with whole_folder(out_dir, WRITTEN) as folder:
            write_safetensors(
                folder / "model.safetensors",
                slots,
                lambda name: _value(plan, modules, name.removeprefix("model.")),
                written,
            )
            graphs = _Graphs(plan, folder, dtype, calibration) if onnx else None
            _write_texts(plan, folder, values, graphs)
            if graphs is not None and graphs.quantised is not None:
                graphs.judge(told=accept_error)
                _write_config(folder, values)
    except OSError as error:
        raise CheckpointError(f"cannot write {out_dir}: {error.strerror or error}") from error
    return Converted(
        directory=out_dir,
        weights_bytes=total,
        source_sha256=plan.checkpoint.provenance.sha256,
        description={
            **inspection.describe(plan),
            "notes": inspection.notes(plan, axes_given=action_axes is not None),
        },
        int8=None if graphs is None else graphs.section.get("int8"),
    )


def _kind(dtype: str, onnx: bool) -> torch.dtype:
    """The number format that weights are written in; checks that the rest of it can be had."""
    if dtype == "int8" and not onnx:
        raise CheckpointError(
            "unknown dtype 'int8' for plain weights: it is a form of the ONNX graphs; give --onnx "
            "too"
        )
    kind = DTYPES.get("bfloat16" if dtype == "int8" else dtype)
    if kind is None:
        raise CheckpointError(f"unknown dtype {dtype!r}; give bfloat16, float32, float16 or int8")
    if onnx:
        require_onnx()
    return kind


class _Graphs:
    """The graphs of a directory that is being written, and what they are in 8 bits.

    Attributes:
        section: what ``config.json`` says of them.
        quantised: the quantised layers, or None.
    """

    def __init__(
        self, plan: LoadPlan, directory: Path, dtype: str, clips: Sequence[Clip] | None
    ) -> None:
        from mobile_vla_ros.policy.export.quantise import Quantised, quantise
        from mobile_vla_ros.policy.export.write import write_graphs

        self.quantised: Quantised | None = None
        self._directory = directory
        self._drawn = not clips
        if dtype == "int8":
            frames = clips or drawn_clips(plan.config.image_size)
            self.quantised = quantise(directory, plan, frames)
        more = () if self.quantised is None else (self.quantised.header,)
        self.section = write_graphs(directory, plan, dtype, more)

    def judge(self, *, told: bool) -> None:
        """Notes what quantising does to the velocities; see ``export.quantise.judge``."""
        from mobile_vla_ros.policy.export.quantise import judge

        assert self.quantised is not None
        found = judge(self._directory, self.quantised, told=told)
        self.section["int8"] = found | {"frames_from": "drawn" if self._drawn else "episodes"}


def _write_texts(
    plan: LoadPlan, directory: Path, values: dict[str, Any], graphs: _Graphs | None
) -> None:
    """Writes the run file, the tokenizer and the statistics; the weights have been read."""
    provenance = plan.checkpoint.provenance
    values["mobile_vla"]["source"]["sha256"] = provenance.sha256
    if provenance.revision:
        values["mobile_vla"]["source"]["revision"] = provenance.revision
    if graphs is not None:
        values["mobile_vla"]["onnx"] = graphs.section
    if provenance.episodes:
        values["mobile_vla"] |= write_episodes(directory, provenance.episodes)
    _write_config(directory, values)
    for name in TEXT_FILES:
        if (plan.tokenizer / name).is_file():
            shutil.copyfile(plan.tokenizer / name, directory / name)
    _write_statistics(plan, directory)


def _write_config(directory: Path, values: Mapping[str, Any]) -> None:
    (directory / "config.json").write_text(json.dumps(values, indent=1), encoding="utf-8")


def require_onnx() -> None:
    """Raises CheckpointError unless the packages that writing graphs needs are installed."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise CheckpointError(
            f"--onnx needs the package {missing[0]}; pip install 'mobile_vla_ros[onnx]'"
        )


def _slots(plan: LoadPlan, dtype: torch.dtype) -> tuple[list[Slot], dict[str, Any]]:
    slots, modules = [], {}
    for module, parameter, name in plan.weights():
        kind = torch.float32 if name.startswith("act_head.") else dtype
        slots.append(Slot(f"model.{name}", tuple(getattr(module, parameter).shape), kind))
        modules[name] = module
    return slots, modules


def _value(plan: LoadPlan, modules: Mapping[str, Any], name: str) -> Tensor:
    value = plan.read(modules[name], name)
    if not is_finite(value):
        raise CheckpointError(f"{plan.checkpoint.path}: the weight {name} holds NaN or infinity")
    return value


def _config(plan: LoadPlan, action_axes: Sequence[str] | None, dtype: str) -> dict[str, Any]:
    """The run file, with what it left to defaults written out, and where it all came from."""
    settings, checkpoint = plan.config, plan.checkpoint
    axes, confirmed = settings.action_axes, settings.action_axes_confirmed
    if action_axes is not None:
        if not settings.drives:
            raise CheckpointError("action axes belong to a driving head; this checkpoint has none")
        axes, confirmed = check_axes(tuple(action_axes), settings.dof, "--action-axes"), True
    images = {
        "image_size": settings.image_size,
        "image_mean": list(settings.image_mean),
        "image_std": list(settings.image_std),
    }
    values: dict[str, Any] = {**settings.run, **images}
    if settings.drives:
        values |= {"action_axes": list(axes), "action_axes_confirmed": confirmed}
    values |= {
        "frame_period": settings.frame_period,
        "action_period": settings.action_period,
        "preprocess": {**images, "interpolation": "bicubic", "antialias": True},
    }
    source: dict[str, Any] = {
        "name": checkpoint.path.name,
        "kind": checkpoint.kind,
        "trained": plan.trained,
        "lora": inspection.lora(plan),
    }
    values["mobile_vla"] = {
        "format": FORMAT,
        "dtype": dtype,
        "source": source,
        "notes": inspection.notes(plan, axes_given=action_axes is not None),
        "rig": json.loads(checkpoint.provenance.rig.to_json()),
        "training_files": dict(checkpoint.provenance.training_files),
        "validation_files": dict(checkpoint.provenance.validation_files),
        "data_revisions": list(checkpoint.provenance.data_revisions),
        "instructions": list(checkpoint.provenance.instructions),
        "backbone": dict(plan.kosmos_values),
    }
    return values


def _write_statistics(plan: LoadPlan, directory: Path) -> None:
    statistics = plan.checkpoint.provenance.statistics
    if statistics is None:
        return
    stored = {name: torch.tensor(value) for name, value in statistics.arrays().items()}
    save_file(stored, directory / STATISTICS_FILE)
