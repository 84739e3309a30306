"""Opening a checkpoint of any kind: its names, its run file, its origin. No weights are read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from mobile_vla_ros.bundled import places
from mobile_vla_ros.hub import resolve
from mobile_vla_ros.policy import tensors
from mobile_vla_ros.policy.episode_list import read_episodes
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.familiarity import FeatureStatistics
from mobile_vla_ros.policy.keys import SortedKeys, sort_keys
from mobile_vla_ros.policy.pickles import open_pickle, plain
from mobile_vla_ros.policy.provenance import Provenance, revisions_of
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.policy.tensors import StoredTensor
from mobile_vla_ros.rig import rig_of
from mobile_vla_ros.words import instructions_of

STATISTICS_FILE = "feature_statistics.safetensors"
# Second sets of weights that trainers keep beside the trained ones.
AVERAGES = (
    "ema_state_dict",
    "ema",
    "model_ema",
    "state_dict_ema",
    "current_model_state",
    "averaging_state",
)
WEIGHT_FILES = ("*.ckpt", "*.pt", "*.pth")


@dataclass
class Checkpoint:
    """An opened checkpoint.

    Attributes:
        path: the file or directory.
        kind: ``robovlms``, ``lightning``, ``converted`` or ``kosmos2``.
        stored: its tensors, unread.
        keys: what their names mean.
        run: the run file inside it, or None.
        extra: the ``mobile_vla`` entry: axes, periods, training files, the converted backbone.
        provenance: its origin.
    """

    path: Path
    kind: str
    stored: Mapping[str, StoredTensor]
    keys: SortedKeys
    run: dict[str, Any] | None
    extra: dict[str, Any]
    provenance: Provenance
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def directories(self) -> tuple[Path, ...]:
        """Where its sibling files are: beside it, and beside the file a link leads to."""
        if self.path.is_dir():
            return (self.path,)
        return tuple(dict.fromkeys((self.path.parent, self.path.resolve().parent)))

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a weight by its canonical name."""
        return self.stored[self.keys.weights[name]].shape

    def head_shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the head's weights, without ``act_head.``."""
        return {
            name.removeprefix("act_head."): self.shape(name)
            for name in self.keys.weights
            if name.startswith("act_head.")
        }


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Opens a RoboVLMs ``.pt``, a Lightning ``.ckpt``, a converted or a Kosmos-2 directory.

    Raises:
        CheckpointError: there is nothing, or it is none of these.
    """
    path = user_path(resolve(path))
    try:
        if path.is_dir():
            return _open_directory(path)
        if not path.exists():
            raise CheckpointError(f"there is no checkpoint {path}{places(path)}")
        if path.suffix == ".safetensors":
            raise CheckpointError(f"{path} is only the weights; give its directory {path.parent}")
        return _open_file(path)
    except PermissionError as error:
        raise CheckpointError(
            f"cannot read {error.filename or path}: permission denied"
        ) from error
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror or error}") from error


def user_path(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~name`` put in full, where there is such a home."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # A folder may well be called ~name.
        return Path(path)


def _open_file(path: Path) -> Checkpoint:
    content = open_pickle(path)
    state = _state(path, content)
    if state is None:
        found = ", ".join(str(key) for key in list(content)[:4]) or "nothing"
        raise CheckpointError(
            f"{path} is not a policy checkpoint: it has neither state_dict nor model_state_dict, "
            f"but {found}"
        )
    stored = tensors.from_state(state, str(path))
    extra = content.get("mobile_vla")
    extra = dict(extra) if isinstance(extra, Mapping) else {}
    kind = "lightning" if "pytorch-lightning_version" in content else "robovlms"
    provenance = Provenance(source=path, kind=kind, weights=path)
    statistics = extra.pop("feature_statistics", None)
    if isinstance(statistics, Mapping):
        provenance.statistics = _statistics(statistics)
    return _checkpoint(
        path,
        kind,
        stored,
        root="",
        run=_run_inside(content.get("hyper_parameters")),
        extra=plain(extra),
        provenance=provenance,
        details={
            **{
                key: content[key]
                for key in ("epoch", "global_step")
                if isinstance(content.get(key), int)
            },
            "averages": [key for key in AVERAGES if isinstance(content.get(key), Mapping)],
        },
    )


def _state(path: Path, content: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The weights by name, wherever the trainer put them; None when there are none.

    Raises:
        CheckpointError: DeepSpeed left only its placeholders in this file.
    """
    for key in ("state_dict", "model_state_dict"):
        if key in content:
            found = content[key]
            return found if isinstance(found, Mapping) and found else None
    module = content.get("module")
    if isinstance(module, Mapping) and module:
        tensors_in = [value for value in module.values() if isinstance(value, Tensor)]
        if any(not value.numel() for value in tensors_in):
            raise CheckpointError(
                f"{path} holds DeepSpeed's placeholders, the weights lie in the optimiser's "
                "shards beside it; run zero_to_fp32.py of that directory and give what it writes"
            )
        return module
    named = {str(key): value for key, value in content.items()}
    # Weights alone, as torch.save(model.state_dict()) leaves them.
    tensors_only = all(isinstance(value, Tensor) for value in named.values())
    if tensors_only and any("backbone." in name for name in named):
        return named
    return None


def _open_directory(path: Path) -> Checkpoint:
    file = path / "config.json"
    if not file.is_file():
        _refuse_sharded(path)
        candidates = sorted(item for pattern in WEIGHT_FILES for item in path.glob(pattern))
        if candidates:
            raise CheckpointError(f"{path} is a directory; give the checkpoint {candidates[0]}")
        raise CheckpointError(f"{path} is not a checkpoint directory: it has no config.json")
    values = read_run_file(file)
    if values.get("model_type") == "kosmos-2":
        provenance = Provenance(source=path, kind="kosmos2", weights=_weights_file(path))
        return _checkpoint(
            path,
            "kosmos2",
            tensors.from_directory(path),
            root="backbone.",
            run={},
            extra={},
            provenance=provenance,
        )
    extra = values.get("mobile_vla")
    if isinstance(extra, Mapping) and isinstance(extra.get("backbone"), Mapping):
        provenance = Provenance(
            source=path,
            kind="converted",
            weights=_weights_file(path),
            recorded=dict(extra.get("source") or {}),
            episodes=read_episodes(path, extra),
        )
        if (path / STATISTICS_FILE).is_file():
            held = tensors.from_safetensors(path / STATISTICS_FILE)
            provenance.statistics = _statistics(
                {name: tensor.read() for name, tensor in held.items()}
            )
        return _checkpoint(
            path,
            "converted",
            tensors.from_directory(path),
            root="",
            run={key: value for key, value in values.items() if key != "mobile_vla"},
            extra=dict(extra),
            provenance=provenance,
        )
    candidates = sorted(item for pattern in WEIGHT_FILES for item in path.glob(pattern))
    hint = f"; give the checkpoint {candidates[0]}" if candidates else ""
    raise CheckpointError(
        f"{path} is neither a Kosmos-2 directory nor one that `mobile_vla convert` wrote{hint}"
    )


def _refuse_sharded(path: Path) -> None:
    """Names the directories that trainers over several GPUs leave, and what makes one file."""
    if (path / "zero_to_fp32.py").is_file() or (path / "latest").is_file():
        raise CheckpointError(
            f"{path} is a DeepSpeed directory; run `python zero_to_fp32.py . weights.pt` in it "
            "and give that file, with the run file as config.json beside it"
        )
    if (path / ".metadata").is_file() or any(path.glob("*.distcp")):
        raise CheckpointError(
            f"{path} is a sharded directory of torch.distributed (FSDP); `python -m "
            f"torch.distributed.checkpoint.format_utils dcp_to_torch {path} weights.pt` makes one "
            "file of it"
        )


def _refuse_whole_numbers(
    path: Path, keys: SortedKeys, stored: Mapping[str, StoredTensor]
) -> None:
    """Integers and truth values are no weights unless a scale goes with them."""
    owns = [*keys.weights.values(), *(own for p in keys.adapters.values() for own in p.values())]
    for own in owns:
        dtype = stored[own].dtype
        if not dtype.is_floating_point:
            raise CheckpointError(
                f"{path}: the weight {own} holds {str(dtype).removeprefix('torch.')} values "
                "without a scale, as a quantised checkpoint of another program does; save it in "
                "bfloat16 or float32"
            )


def _checkpoint(
    path: Path,
    kind: str,
    stored: dict[str, StoredTensor],
    *,
    root: str,
    run: dict[str, Any] | None,
    extra: dict[str, Any],
    provenance: Provenance,
    details: dict[str, Any] | None = None,
) -> Checkpoint:
    keys = sort_keys(stored, str(path), root=root)
    if not any(name.startswith("backbone.") for name in keys.weights):
        first = ", ".join(list(stored)[:3])
        raise CheckpointError(
            f"{path} is not a policy checkpoint: no weight of a Kosmos-2 backbone is in it (it "
            f"has {first})"
        )
    _refuse_whole_numbers(path, keys, stored)
    for key in ("training_files", "validation_files"):
        files = extra.get(key)
        if isinstance(files, Mapping):
            setattr(provenance, key, {str(name): str(digest) for name, digest in files.items()})
    provenance.rig = rig_of(extra)
    provenance.data_revisions = revisions_of(extra)
    provenance.instructions = instructions_of(extra)
    episodes = extra.pop("episodes", None)
    if isinstance(episodes, Mapping):
        provenance.episodes = dict(episodes)
    return Checkpoint(path, kind, stored, keys, run, extra, provenance, details or {})


def _weights_file(path: Path) -> Path:
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (path / name).is_file():
            return path / name
    return path / "config.json"


def _run_inside(parameters: Any) -> dict[str, Any] | None:
    """The run file inside ``hyper_parameters``, wherever the trainer put it; None if it is not."""
    values = plain(parameters)
    if isinstance(values, str):
        try:
            values = json.loads(values)
        except json.JSONDecodeError:
            return None
    if not isinstance(values, dict):
        return None
    if "act_head" in values:
        return values
    for key in ("configs", "config", "cfg", "variant"):
        if isinstance(values.get(key), dict) and "act_head" in values[key]:
            return values[key]
    return None


def _statistics(stored: Mapping[str, Any]) -> FeatureStatistics | None:
    return FeatureStatistics.from_arrays(
        {
            name: value.float().numpy() if isinstance(value, Tensor) else value
            for name, value in stored.items()
            if isinstance(value, Tensor | int)
        }
    )
