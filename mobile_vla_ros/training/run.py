"""The run file of a training: read once, checked once, plain frozen values from then on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mobile_vla_ros.axes import AXES, UNICYCLE_AXES
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy.run_file import read_run_file

KOSMOS_MEAN = (0.48145466, 0.4578275, 0.40821073)
KOSMOS_STD = (0.26862954, 0.26130258, 0.27577711)
PRECISIONS = {
    "bf16": "bf16-mixed",
    "fp16": "16-mixed",
    "16": "16-mixed",
    "fp32": "32-true",
    "32": "32-true",
    "float32": "32-true",
}


class RunError(InputError):
    """A run file, or the data it names, that cannot be trained on."""


@dataclass(frozen=True)
class HeadSettings:
    """The action head: an LSTM and the velocity MLP (`act_head` of the run file)."""

    type: str = "MobileVLALSTMDecoder"
    hidden_size: int = 512
    num_layers: int = 4
    latent: int = 1
    down_sample: str = "none"


@dataclass(frozen=True)
class SetupSettings:
    """Which weights move (`train_setup` of the run file)."""

    freeze_backbone: bool = True
    train_vision: bool = False
    train_text_embedding: bool = False
    train_action_token: bool = True
    lora_enable: bool = False
    lora_r: int = 32
    lora_alpha: float = 16
    lora_dropout: float = 0.1
    lora_bias: str = "none"
    lora_modules: tuple[str, ...] = ()
    gradient_checkpointing: bool = False

    @property
    def mode(self) -> str:
        """`frozen`, `lora` or `full`."""
        if self.lora_enable:
            return "lora"
        return "frozen" if self.freeze_backbone and not self.train_vision else "full"


@dataclass(frozen=True)
class TrainerSettings:
    """What goes to Lightning's Trainer (`trainer` of the run file)."""

    max_epochs: int = 10
    max_steps: int = -1
    precision: str = "32-true"
    gradient_clip_val: float | None = 1.0
    accumulate_grad_batches: int = 1
    devices: Any = 1
    num_nodes: int = 1
    accelerator: str = "auto"
    strategy: str = "auto"
    early_stopping_patience: int | None = None
    log_every_n_steps: int = 10
    check_val_every_n_epoch: int = 1


@dataclass(frozen=True)
class DataSettings:
    """Which episodes, and which windows of them (`train_dataset` of the run file)."""

    data_dir: str | None = None
    episode_pattern: str = "*.h5"
    exclude_pattern: str | None = None
    validation_pattern: str | None = None
    train_split: float = 0.9
    max_episodes: int | None = None
    start_weight: float = 1.0
    every_row: bool = False
    labels: str = "recorded"
    num_workers: int = 0


@dataclass(frozen=True)
class AugmentationSettings:
    """How strongly a window's pictures are changed (`augmentation` of the run file); 0 is off."""

    colour: float = 0.0
    blur: float = 0.0
    crop: float = 0.0
    shift: float = 0.0
    mirror: float = 0.0
    views: int = 1

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return any((self.colour, self.blur, self.crop, self.shift, self.mirror))


@dataclass(frozen=True)
class AuxiliarySettings:
    """Extra losses used in training only (`auxiliary` of the run file); weight 0 is off.

    They need simulated episodes, which know where things stand (see `labels.py`).
    """

    heat_map: float = 0.0
    bearing: float = 0.0
    distance: float = 0.0

    @property
    def on(self) -> bool:
        """Whether any extra loss is used."""
        return any((self.heat_map, self.bearing, self.distance))


@dataclass(frozen=True)
class RunConfig:
    """A checked run file. `raw` is the file as it was read: it travels inside the checkpoint.

    `step_decay` below 1 makes near commands count more in training: chunk step k by its k-th
    power. The validation loss counts all alike.
    """

    raw: Mapping[str, Any]
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
    batch_size: int
    seed: int
    feature_cache: bool | None
    head: HeadSettings = field(default_factory=HeadSettings)
    setup: SetupSettings = field(default_factory=SetupSettings)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    data: DataSettings = field(default_factory=DataSettings)
    augmentation: AugmentationSettings = field(default_factory=AugmentationSettings)
    auxiliary: AuxiliarySettings = field(default_factory=AuxiliarySettings)

    @property
    def mode(self) -> str:
        """`frozen`, `lora` or `full`."""
        return self.setup.mode


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
    read = _Reader(raw, str(path) if path else "the run file")
    head = read.section("act_head")
    setup = read.section("train_setup")
    trainer = read.section("trainer")
    data = read.section("train_dataset")
    augmentation = read.section("augmentation")
    auxiliary = read.section("auxiliary")

    dof = head.integer("action_dim", 2)
    if dof != 2:
        head.refuse("action_dim", dof, "a mobile base is trained with 2")
    axes = tuple(raw.get("action_axes") or UNICYCLE_AXES)
    if len(axes) != dof or any(axis not in AXES for axis in axes):
        read.refuse("action_axes", list(axes), f"give {dof} of {', '.join(AXES)}")
    norm_min = _per_axis(read, "norm_min", -1.0, dof)
    norm_max = _per_axis(read, "norm_max", 1.0, dof)
    for low, high in zip(norm_min, norm_max, strict=True):
        if not low < high:
            read.refuse("norm_max", high, f"it must be above norm_min ({low})")
        if not low < 0 < high:
            read.refuse("norm_min", low, "0 must lie between norm_min and norm_max")
    if raw.get("norm_action", True) is not True:
        read.refuse("norm_action", raw.get("norm_action"), "only normalised actions are trained")
    learning_rate = read.number("learning_rate", 1e-4, above=0)
    model_path = raw.get("model_path")
    if not model_path:
        read.refuse("model_path", model_path, "give the Kosmos-2 directory")

    settings = RunConfig(
        raw=_filled(raw, path),
        path=path,
        model_path=_relative(model_path, path),
        model_load_path=_relative(raw.get("model_load_path"), path),
        window_size=read.integer("window_size", 8),
        chunk_size=read.integer("fwd_pred_next_n", 10),
        image_size=read.integer("image_size", 224),
        action_axes=axes,
        frame_period=read.number("frame_period", 0.4, above=0),
        action_period=read.number("action_period", 0.4, above=0),
        norm_min=norm_min,
        norm_max=norm_max,
        learning_rate=learning_rate,
        head_learning_rate=read.number("head_learning_rate", learning_rate, above=0),
        weight_decay=read.number("weight_decay", 0.0, least=0),
        warmup=read.number("warmup", 0.05, least=0),
        step_decay=read.number("step_decay", 1.0, above=0),
        batch_size=read.integer("batch_size", 8),
        seed=read.integer("seed", 0, least=0),
        feature_cache=raw.get("feature_cache"),
        head=HeadSettings(
            type=head.get("type", "MobileVLALSTMDecoder"),
            hidden_size=head.integer("hidden_size", 512),
            num_layers=head.integer("num_layers", 4),
            latent=head.integer("latent", 1),
            down_sample=head.get("down_sample", "none"),
        ),
        setup=SetupSettings(
            freeze_backbone=setup.flag("freeze_backbone", True),
            train_vision=setup.flag("train_vision", False),
            train_text_embedding=setup.flag("train_text_embedding", False),
            train_action_token=setup.flag("train_action_token", True),
            lora_enable=setup.flag("lora_enable", False),
            lora_r=setup.integer("lora_r", 32),
            lora_alpha=setup.number("lora_alpha", 16, above=0),
            lora_dropout=setup.number("lora_dropout", 0.1, least=0),
            lora_bias=setup.get("lora_bias", "none"),
            lora_modules=tuple(setup.get("lora_modules", ())),
            gradient_checkpointing=setup.flag("gradient_checkpointing", False),
        ),
        trainer=TrainerSettings(
            max_epochs=trainer.integer("max_epochs", 10, least=-1),
            max_steps=trainer.integer("max_steps", -1, least=-1),
            precision=_precision(raw, trainer),
            gradient_clip_val=trainer.get("gradient_clip_val", 1.0),
            accumulate_grad_batches=trainer.integer("accumulate_grad_batches", 1),
            devices=trainer.get("devices", 1),
            num_nodes=trainer.integer("num_nodes", 1),
            accelerator=trainer.get("accelerator", "auto"),
            strategy=trainer.get("strategy", "auto"),
            early_stopping_patience=trainer.get("early_stopping_patience", None),
            log_every_n_steps=trainer.integer("log_every_n_steps", 10),
            check_val_every_n_epoch=trainer.integer("check_val_every_n_epoch", 1),
        ),
        data=DataSettings(
            data_dir=_relative(data.get("data_dir", None), path),
            episode_pattern=data.get("episode_pattern", "*.h5"),
            exclude_pattern=data.get("exclude_pattern", None),
            validation_pattern=data.get("validation_pattern", None),
            train_split=data.number("train_split", 0.9, above=0),
            max_episodes=data.get("max_episodes", None),
            start_weight=data.number("start_weight", 1.0, above=0),
            every_row=data.flag("every_row", False),
            labels=data.get("labels", "recorded"),
            num_workers=data.integer("num_workers", 0, least=0),
        ),
        augmentation=AugmentationSettings(
            colour=augmentation.number("colour", 0.0, least=0),
            blur=augmentation.number("blur", 0.0, least=0),
            crop=augmentation.number("crop", 0.0, least=0),
            shift=augmentation.number("shift", 0.0, least=0),
            mirror=augmentation.number("mirror", 0.0, least=0),
            views=augmentation.integer("views", 1),
        ),
        auxiliary=AuxiliarySettings(
            heat_map=auxiliary.number("heat_map", 0.0, least=0),
            bearing=auxiliary.number("bearing", 0.0, least=0),
            distance=auxiliary.number("distance", 0.0, least=0),
        ),
    )
    if settings.trainer.max_epochs < 1 and settings.trainer.max_steps < 1:
        trainer.refuse("max_epochs", settings.trainer.max_epochs, "set it or max_steps above 0")
    if settings.data.train_split > 1:
        data.refuse("train_split", settings.data.train_split, "it is a share between 0 and 1")
    if settings.data.labels not in ("recorded", "expert"):
        data.refuse("labels", settings.data.labels, "choose 'recorded' or 'expert'")
    if settings.augmentation.crop >= 0.5 or settings.augmentation.shift >= 0.5:
        augmentation.refuse("crop", settings.augmentation.crop, "keep crop and shift below 0.5")
    if settings.augmentation.mirror > 1:
        augmentation.refuse("mirror", settings.augmentation.mirror, "it is a probability")
    if settings.head.type != "MobileVLALSTMDecoder":
        head.refuse("type", settings.head.type, "only MobileVLALSTMDecoder is trained")
    if settings.head.down_sample != "none":
        head.refuse("down_sample", settings.head.down_sample, "only 'none' is trained")
    if settings.feature_cache and settings.mode != "frozen":
        read.refuse("feature_cache", True, f"features change while the mode is {settings.mode}")
    if settings.feature_cache not in (True, False, None):
        read.refuse("feature_cache", settings.feature_cache, "choose true, false or null (auto)")
    return settings


class _Reader:
    """One section of the run file: typed look-ups that complain with file, key and value."""

    def __init__(self, values: Mapping[str, Any], name: str, prefix: str = "") -> None:
        self.values = values
        self.name = name
        self.prefix = prefix

    def section(self, key: str) -> _Reader:
        values = self.values.get(key) or {}
        if not isinstance(values, Mapping):
            self.refuse(key, values, "it must be an object")
        return _Reader(values, self.name, f"{self.prefix}{key}.")

    def refuse(self, key: str, value: Any, mend: str) -> None:
        raise RunError(f"{self.name}: {self.prefix}{key} is {value!r}; {mend}.")

    def get(self, key: str, default: Any) -> Any:
        value = self.values.get(key, default)
        return default if value is None else value

    def flag(self, key: str, default: bool) -> bool:
        value = self.get(key, default)
        if not isinstance(value, bool):
            self.refuse(key, value, "it must be true or false")
        return value

    def number(
        self,
        key: str,
        default: float,
        above: float | None = None,
        least: float | None = None,
    ) -> float:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.refuse(key, value, "it must be a number")
        if not math.isfinite(value):
            self.refuse(key, value, "it must be finite")
        if above is not None and value <= above:
            self.refuse(key, value, f"it must be above {above}")
        if least is not None and value < least:
            self.refuse(key, value, f"it must be at least {least}")
        return float(value)

    def integer(self, key: str, default: int, least: int = 1) -> int:
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
            self.refuse(key, value, "it must be a whole number")
        if value < least:
            self.refuse(key, value, f"it must be at least {least}")
        return int(value)


def _filled(raw: Mapping[str, Any], path: Path | None) -> dict[str, Any]:
    """The run as it goes into checkpoints: what a loader needs is said, not left to defaults."""
    defaults = {
        "window_size": 8,
        "fwd_pred_next_n": 10,
        "norm_action": True,
        "norm_min": -1.0,
        "norm_max": 1.0,
        "action_axes": list(UNICYCLE_AXES),
        "frame_period": 0.4,
        "action_period": 0.4,
        "train_setup": {
            "freeze_backbone": True,
            "lora_enable": False,
            "lora_r": 32,
            "lora_alpha": 16,
        },
        "act_head": {
            "type": "MobileVLALSTMDecoder",
            "hidden_size": 512,
            "action_dim": 2,
            "num_layers": 4,
            "latent": 1,
        },
    }
    filled = merge(defaults, raw)
    if isinstance(raw.get("model_path"), str):
        filled["model_path"] = str(Path(_relative(raw["model_path"], path)).resolve())
    return filled


def _per_axis(read: _Reader, key: str, default: float, dof: int) -> tuple[float, ...]:
    value = read.get(key, default)
    values = list(value) if isinstance(value, (list, tuple)) else [value] * dof
    if len(values) != dof or any(
        isinstance(item, bool) or not isinstance(item, (int, float)) or not math.isfinite(item)
        for item in values
    ):
        read.refuse(key, value, f"give one number or {dof}, one per axis")
    return tuple(float(item) for item in values)


def _precision(raw: Mapping[str, Any], trainer: _Reader) -> str:
    value = trainer.values.get("precision")
    if value is None:
        value = (raw.get("train_setup") or {}).get("precision", "32-true")
    return PRECISIONS.get(str(value), str(value))


def _relative(name: Any, path: Path | None) -> Any:
    if not name or path is None or Path(name).is_absolute():
        return name
    beside = path.parent / name
    return str(beside) if beside.exists() or not Path(name).exists() else name
