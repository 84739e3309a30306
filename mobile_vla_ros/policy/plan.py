"""What will be loaded from where, worked out and checked before a single weight is read."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.policy import adapters as lora
from mobile_vla_ros.policy.checkpoint import Checkpoint, open_checkpoint, user_path
from mobile_vla_ros.policy.config import PolicyConfig, policy_config
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heads import head_shape
from mobile_vla_ros.policy.model import PolicyModel, empty_model, kosmos_config
from mobile_vla_ros.policy.run_file import read_run_file

NAMED = 4


@dataclass(frozen=True)
class Coverage:
    """How the checkpoint's weights and the model's match.

    Attributes:
        loaded: how many of the model's weights the checkpoint holds.
        missing: names of those it does not hold.
        unexpected: its own names that belong to nothing in the model.
        unused: its own names that belong to Kosmos-2 and are not needed (language-model head).
    """

    loaded: int
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    unused: tuple[str, ...]

    def problem(self, source: Path) -> str | None:
        """One sentence naming the first few names that do not match; None when all do."""
        faults = []
        if self.missing:
            faults.append(f"{len(self.missing)} weights are missing ({_few(self.missing)})")
        if self.unexpected:
            faults.append(f"{len(self.unexpected)} are unknown ({_few(self.unexpected)})")
        return f"{source} does not fit the model: {' and '.join(faults)}" if faults else None


@dataclass
class LoadPlan:
    """A checkpoint, the model it fills, and how.

    Attributes:
        checkpoint: the opened checkpoint.
        model: the network on the meta device.
        config: what the policy was trained with.
        kosmos: the backbone's configuration.
        kosmos_values: the contents of the backbone's ``config.json``.
        tokenizer: directory with ``tokenizer.json``.
        adapters: the LoRA adapters to merge, or None.
        coverage: how names match.
    """

    checkpoint: Checkpoint
    model: PolicyModel
    config: PolicyConfig
    kosmos: Any
    kosmos_values: Mapping[str, Any]
    tokenizer: Path
    adapters: lora.Adapters | None
    coverage: Coverage

    def check(self) -> None:
        """Raises CheckpointError unless names and shapes of all weights match."""
        problem = self.coverage.problem(self.checkpoint.path) or self._shape_problem()
        if problem:
            raise CheckpointError(problem)

    def weights(self) -> Iterator[tuple[nn.Module, str, str]]:
        """(module, parameter name, full name) of every weight, module by module."""
        for module_name, module in self.model.named_modules():
            for name, _ in module.named_parameters(recurse=False):
                yield module, name, f"{module_name}.{name}" if module_name else name

    def read(self, module: nn.Module, name: str) -> Tensor:
        """A weight's values with its adapter merged in: a view of the file, or a new tensor."""
        checkpoint = self.checkpoint
        value = checkpoint.stored[checkpoint.keys.weights[name]].read()
        owner, _, parameter = name.rpartition(".")
        parts = checkpoint.keys.adapters.get(owner)
        if parts is None or parameter not in ("weight", "bias"):
            return value
        assert self.adapters is not None
        if parameter == "bias":
            if "bias" not in parts:
                return value
            return self.adapters.merge_bias(owner, value, checkpoint.stored[parts["bias"]].read())
        down = checkpoint.stored[parts["A"]].read()
        up = checkpoint.stored[parts["B"]].read()
        return lora.merge(module, value, down, up, self.adapters, owner)

    @property
    def parameters(self) -> int:
        """Number of values in the model's weights."""
        return sum(math.prod(weight.shape) for weight in self.model.parameters())

    @property
    def stored_bytes(self) -> int:
        """Bytes the loaded weights (adapters included) take in the checkpoint."""
        keys = self.checkpoint.keys
        names = list(keys.weights.values())
        names += [own for parts in keys.adapters.values() for own in parts.values()]
        return sum(self.checkpoint.stored[own].nbytes for own in names)

    @property
    def trained(self) -> str:
        """What training changed, as far as keys and run file say."""
        if self.checkpoint.kind == "kosmos2":
            return "nothing"
        if self.adapters is not None:
            return "lora"
        setup = self.config.run.get("train_setup")
        setup = setup if isinstance(setup, Mapping) else {}
        if setup.get("lora_enable"):
            return "lora, merged"
        return "head" if setup.get("freeze_backbone") else "full"

    def _shape_problem(self) -> str | None:
        checkpoint = self.checkpoint
        wrong = []
        for name, weight in self.model.state_dict().items():
            found = checkpoint.shape(name)
            if found != tuple(weight.shape):
                wrong.append(f"{name} is {list(found)}, not {list(weight.shape)}")
        modules = dict(self.model.named_modules())
        for owner, parts in checkpoint.keys.adapters.items():
            down, up = (checkpoint.stored[parts[part]].shape for part in "AB")
            if not lora.fits(modules[owner], down, up):
                wrong.append(f"the adapter of {owner} is {list(down)} and {list(up)}")
            if "bias" in parts and checkpoint.stored[parts["bias"]].shape != up[:1]:
                wrong.append(f"the adapter's bias of {owner}")
        if not wrong:
            return None
        return (
            f"{checkpoint.path} does not fit the model: {len(wrong)} weights have another shape "
            f"({_few(wrong)}); do checkpoint, run file and backbone belong together?"
        )


def plan_loading(
    checkpoint: str | Path,
    backbone: str | Path | None = None,
    config: str | Path | Mapping[str, Any] | None = None,
) -> LoadPlan:
    """Opens everything, builds the empty model, and matches names.

    Names and shapes are matched, not judged: see ``LoadPlan.check``.

    Raises:
        CheckpointError: a file is missing or unusable, or files contradict each other.
    """
    opened = open_checkpoint(checkpoint)
    run, run_name, run_directory = _find_run(opened, config)
    if opened.kind == "converted" and backbone is None:
        values: Mapping[str, Any] = opened.extra["backbone"]
        directory = opened.path
    else:
        directory = _find_backbone(opened, backbone, run, run_directory)
        values = read_run_file(directory / "config.json")
    kosmos: Any = kosmos_config(values, str(directory / "config.json"))
    shape = head_shape(opened.head_shapes(), str(opened.path))
    if shape is None and opened.kind in ("lightning", "robovlms") and run.get("act_head"):
        raise CheckpointError(
            f"{opened.path} holds no weight of an action head, though {run_name} describes one "
            "(act_head); give the whole checkpoint, or the Kosmos-2 directory alone"
        )
    settings = policy_config(
        run,
        head=shape,
        width=kosmos.text_config.embed_dim,
        name=run_name,
        extra=opened.extra,
        preprocessor=_preprocessor(directory),
        vision_size=kosmos.vision_config.image_size,
    )
    _check_embedded(opened, settings, run_name)
    ranks = {
        module: sum(opened.stored[parts["A"]].shape[:1])
        for module, parts in opened.keys.adapters.items()
    }
    try:
        model = empty_model(kosmos, settings)
    # Sizes that do not go together meet all kinds of errors inside transformers and torch.
    except Exception as error:
        raise CheckpointError(
            f"{directory / 'config.json'} is not a usable Kosmos-2 configuration: "
            f"{' '.join(str(error).split())}"
        ) from error
    return LoadPlan(
        checkpoint=opened,
        model=model,
        config=settings,
        kosmos=kosmos,
        kosmos_values=values,
        tokenizer=directory,
        adapters=lora.read_adapters(ranks, run, run_name),
        coverage=_cover(opened, model),
    )


def _cover(opened: Checkpoint, model: PolicyModel) -> Coverage:
    wanted = set(model.state_dict())
    held = set(opened.keys.weights)
    modules = dict(model.named_modules())
    adapted = [
        own
        for module, parts in opened.keys.adapters.items()
        for part, own in parts.items()
        if getattr(modules.get(module), "bias" if part == "bias" else "weight", None) is None
    ]
    unexpected = [opened.keys.weights[name] for name in sorted(held - wanted)]
    return Coverage(
        loaded=len(wanted & held),
        missing=tuple(sorted(wanted - held)),
        unexpected=tuple(unexpected + opened.keys.foreign + adapted),
        unused=tuple(opened.keys.unused),
    )


def _find_run(
    opened: Checkpoint, config: str | Path | Mapping[str, Any] | None
) -> tuple[dict[str, Any], str, Path]:
    """The run file, how errors name it, and the folder its relative paths start from."""
    folder = opened.directories[0]
    if isinstance(config, Mapping):
        return dict(config), "the run configuration", folder
    if config is not None:
        path = user_path(config)
        return read_run_file(path), f"the run file {path}", path.parent
    if opened.run is not None:
        return opened.run, f"the run file inside {opened.path}", folder
    for beside in opened.directories:
        path = beside / "config.json"
        if path.is_file():
            return read_run_file(path), f"the run file {path}", path.parent
    raise CheckpointError(
        f"{opened.path} has no run file inside and there is no {folder / 'config.json'}; give one "
        "with config"
    )


def _find_backbone(
    opened: Checkpoint,
    backbone: str | Path | None,
    run: Mapping[str, Any],
    run_directory: Path,
) -> Path:
    """The Kosmos-2 directory: the one given, the checkpoint itself, or the run file's own."""
    if backbone is not None:
        directory = user_path(backbone)
        if not directory.is_dir():
            raise CheckpointError(f"there is no backbone directory {directory}")
        if not (directory / "config.json").is_file():
            raise CheckpointError(
                f"{directory} is not a Kosmos-2 directory: config.json is missing"
            )
        return directory
    if opened.kind == "kosmos2":
        return opened.path
    searched = []
    for candidate in _candidates(opened, run, run_directory):
        if candidate in searched:
            continue
        searched.append(candidate)
        if _is_kosmos(candidate):
            return candidate
    raise CheckpointError(
        f"no Kosmos-2 directory found for {opened.path} (looked in "
        f"{', '.join(map(str, searched))}); give it with backbone"
    )


def _candidates(opened: Checkpoint, run: Mapping[str, Any], run_directory: Path) -> Iterator[Path]:
    named = [run.get("model_path")]
    for section in ("vlm", "tokenizer"):
        values = run.get(section)
        if isinstance(values, Mapping):
            named.append(values.get("pretrained_model_name_or_path"))
    for name in named:
        if isinstance(name, str) and name:
            for start in (run_directory, *opened.directories):
                yield start / user_path(name)
    for start in (run_directory, *opened.directories):
        yield start / "pretrained"
    for name in named:
        if isinstance(name, str) and name:
            # A path of the machine it was trained on: the same folder beside the checkpoint.
            for start in opened.directories:
                yield start / Path(name).name


def _is_kosmos(directory: Path) -> bool:
    file = directory / "config.json"
    try:
        if not file.is_file():
            return False
    except OSError:
        # Not readable, or no path at all: run files name folders of other machines.
        return False
    return read_run_file(file).get("model_type") == "kosmos-2"


def _preprocessor(directory: Path) -> dict[str, Any]:
    file = directory / "preprocessor_config.json"
    if not file.is_file():
        return {}
    try:
        values = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, RecursionError, OSError) as error:
        raise CheckpointError(f"{file} is not valid JSON") from error
    return values if isinstance(values, dict) else {}


def _check_embedded(opened: Checkpoint, settings: PolicyConfig, name: str) -> None:
    """A run file given beside a checkpoint must not contradict the one it was trained with."""
    if opened.run is None:
        return
    for key, value in (
        ("window_size", settings.window_size),
        ("fwd_pred_next_n", settings.chunk_size),
    ):
        trained = opened.run.get(key)
        if settings.head is not None and isinstance(trained, int) and trained != value:
            raise CheckpointError(
                f"{name} disagrees with the checkpoint: it says {key} {value}, {opened.path} was "
                f"trained with {trained}"
            )


def _few(names: tuple[str, ...] | list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def bytes_in(model: nn.Module, dtype: torch.dtype) -> int:
    """Bytes the model's weights take in ``dtype``."""
    return sum(weight.numel() for weight in model.parameters()) * dtype.itemsize
