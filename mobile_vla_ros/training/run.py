"""The run file of a training: read once, checked once, plain frozen values from then on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from mobile_vla_ros.axes import AXES
from mobile_vla_ros.hub import is_uri
from mobile_vla_ros.policy.heads import KINDS
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.policy.run_schema import unread_keys
from mobile_vla_ros.training.run_schema import (
    AugmentationSettings,
    AuxiliarySettings,
    DataSettings,
    HeadSettings,
    RunError,
    SetupSettings,
    TrainerSettings,
    TrainingRun,
    read_training_run,
)

IMAGE_SIZE = 224
PRECISIONS = {
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
    "16": "16-mixed",
    "fp32": "32-true",
    "32": "32-true",
    "float32": "32-true",
}


@dataclass(frozen=True)
class RunConfig:
    """A checked run file. `raw` is the file as it was read: it travels inside the checkpoint.

    `unread` names its keys that nothing reads.
    `step_decay` below 1 makes near commands count more in training: chunk step k by its k-th
    power. `smooth_l1_beta` is the error below which the training loss is quadratic: 1 is Huber's
    loss. The validation loss counts all alike, and is Huber's.
    """

    raw: Mapping[str, Any]
    unread: tuple[str, ...]
    path: Path | None
    model_path: str
    model_load_path: str | None
    window_size: int
    chunk_size: int
    image_size: int
    action_axes: tuple[str, ...]
    frame_period: float
    action_period: float
    norm_min: tuple[float, ...]
    norm_max: tuple[float, ...]
    learning_rate: float
    head_learning_rate: float
    weight_decay: float
    warmup: float
    step_decay: float
    smooth_l1_beta: float
    batch_size: int
    seed: int
    feature_cache: bool | None
    head: HeadSettings
    setup: SetupSettings
    trainer: TrainerSettings
    data: DataSettings
    augmentation: AugmentationSettings
    auxiliary: AuxiliarySettings

    @property
    def mode(self) -> str:
        """`frozen`, `lora` or `full`."""
        return self.setup.mode

    @property
    def split_seed(self) -> int:
        """Decides which episodes are held out: `train_dataset.split_seed`, else `seed`."""
        return self.seed if self.data.split_seed is None else self.data.split_seed


def load_run(path: str | Path, overrides: Mapping[str, Any] | None = None) -> RunConfig:
    """Reads and checks a run file (JSON, `//` comments allowed).

    Args:
        path: the run file; relative paths inside it are taken from its folder.
        overrides: values laid over the file's, nested dictionaries key by key.

    Raises:
        RunError: a value is missing or cannot be used; the sentence names file and key.
    """
    path = Path(path)
    raw = read_run_file(path)
    return check_run(merge(raw, overrides or {}), path)


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with `over` laid on top, nested dictionaries merged key by key."""
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            merged[key] = merge(merged[key], value)
        else:
            merged[key] = value
    return merged


def check_run(raw: Mapping[str, Any], path: Path | None = None) -> RunConfig:
    """Turns a run dictionary into a RunConfig.

    Raises:
        RunError: a value is missing or cannot be used.
    """
    name = str(path) if path else "the run file"
    said = read_training_run(raw, name)
    norm_min, norm_max = _ranges(said, name)
    trainer = said.trainer
    # In RoboVLMs' files it stands in train_setup; the trainer's own word comes first.
    precision = str(trainer.precision or said.train_setup.precision or "32-true")
    settings = RunConfig(
        raw=_filled(raw, said, path),
        unread=tuple(unread_keys(said)),
        path=path,
        model_path=_relative(said.model_path, path),
        model_load_path=_relative(said.model_load_path, path),
        window_size=said.window_size,
        chunk_size=said.fwd_pred_next_n,
        image_size=said.image_size or IMAGE_SIZE,
        action_axes=said.action_axes,
        frame_period=said.frame_period,
        action_period=said.action_period,
        norm_min=norm_min,
        norm_max=norm_max,
        learning_rate=said.learning_rate,
        head_learning_rate=said.head_learning_rate or said.learning_rate,
        weight_decay=said.weight_decay,
        warmup=said.warmup,
        step_decay=said.step_decay,
        smooth_l1_beta=said.smooth_l1_beta,
        batch_size=said.batch_size,
        seed=said.seed,
        feature_cache=said.feature_cache,
        head=said.act_head,
        setup=said.train_setup,
        trainer=trainer.model_copy(update={"precision": PRECISIONS.get(precision, precision)}),
        data=said.train_dataset.model_copy(
            update={
                "data_dir": _relative(said.train_dataset.data_dir, path),
                "corrections": _relative(said.train_dataset.corrections, path),
            }
        ),
        augmentation=said.augmentation,
        auxiliary=said.auxiliary,
    )
    _check_together(settings, said, name)
    return settings


def _ranges(said: TrainingRun, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    dof = said.act_head.action_dim
    if dof != 2:
        _refuse(name, "act_head.action_dim", dof, "a mobile base is trained with 2")
    axes = said.action_axes
    if len(axes) != dof or any(axis not in AXES for axis in axes):
        _refuse(name, "action_axes", list(axes), f"give {dof} of {', '.join(AXES)}")
    low = _per_axis(said.norm_min, dof, "norm_min", name)
    high = _per_axis(said.norm_max, dof, "norm_max", name)
    for smallest, largest in zip(low, high, strict=True):
        if not smallest < largest:
            _refuse(name, "norm_max", largest, f"it must be above norm_min ({smallest})")
        if not smallest < 0 < largest:
            _refuse(name, "norm_min", smallest, "0 must lie between norm_min and norm_max")
    if not said.norm_action:
        _refuse(name, "norm_action", False, "only normalised actions are trained")
    return low, high


def _check_together(settings: RunConfig, said: TrainingRun, name: str) -> None:
    """Refuses values that are right by themselves and cannot be trained with."""
    if not said.model_path:
        _refuse(name, "model_path", said.model_path or None, "give the Kosmos-2 directory")
    if settings.trainer.max_epochs < 1 and settings.trainer.max_steps < 1:
        epochs = settings.trainer.max_epochs
        _refuse(name, "trainer.max_epochs", epochs, "set it or max_steps above 0")
    if settings.augmentation.other_orders and settings.data.labels != "expert":
        share, why = settings.augmentation.other_orders, 'train_dataset.labels has to be "expert"'
        _refuse(name, "augmentation.other_orders", share, why)
    driving = [kind.name for kind in KINDS.values() if kind.drives]
    if settings.head.type not in driving:
        why = f"only {' and '.join(driving)} is trained"
        _refuse(name, "act_head.type", settings.head.type, why)
    if settings.head.down_sample != "none":
        _refuse(name, "act_head.down_sample", settings.head.down_sample, "only 'none' is trained")
    if settings.feature_cache and settings.mode != "frozen":
        why = f"features change while the mode is {settings.mode}"
        _refuse(name, "feature_cache", True, why)


def _refuse(name: str, key: str, value: Any, mend: str) -> NoReturn:
    raise RunError(f"{name}: {key} is {value!r}; {mend}.")


def _filled(raw: Mapping[str, Any], said: TrainingRun, path: Path | None) -> dict[str, Any]:
    """The run as it goes into checkpoints: what a loader needs is said, not left to defaults."""
    setup, head = said.train_setup, said.act_head
    defaults = {
        "window_size": said.window_size,
        "fwd_pred_next_n": said.fwd_pred_next_n,
        "norm_action": said.norm_action,
        "norm_min": said.norm_min,
        "norm_max": said.norm_max,
        "action_axes": list(said.action_axes),
        "frame_period": said.frame_period,
        "action_period": said.action_period,
        "train_setup": {
            key: getattr(setup, key)
            for key in ("freeze_backbone", "lora_enable", "lora_r", "lora_alpha")
        },
        "act_head": {
            key: getattr(head, key)
            for key in ("type", "hidden_size", "action_dim", "num_layers", "latent")
        },
    }
    if said.train_dataset.corrections:
        data = said.train_dataset
        defaults["train_dataset"] = {
            key: getattr(data, key) for key in ("correction_weight", "before_takeover")
        }
    filled = merge(defaults, raw)
    if said.model_path and not is_uri(said.model_path):
        filled["model_path"] = str(Path(_relative(said.model_path, path)).resolve())
    return filled


def _per_axis(
    value: float | tuple[float, ...], dof: int, key: str, name: str
) -> tuple[float, ...]:
    values = value if isinstance(value, tuple) else (value,) * dof
    if len(values) != dof:
        _refuse(name, key, list(values), f"give one number or {dof}, one per axis")
    return values


def _relative(name: Any, path: Path | None) -> Any:
    if not name or path is None or Path(name).is_absolute() or is_uri(name):
        return name
    beside = path.parent / name
    return str(beside) if beside.exists() or not Path(name).exists() else name
