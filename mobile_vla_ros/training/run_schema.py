"""What a run file may say to the training, beside what the policy reads of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr

from mobile_vla_ros.axes import UNICYCLE_AXES
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.policy.config import DEFAULT_PERIOD
from mobile_vla_ros.policy.heads import DRIVING_HEAD
from mobile_vla_ros.policy.run_schema import (
    ActHead,
    Count,
    Names,
    NotNegative,
    PolicyRun,
    Positive,
    Seconds,
    Section,
    Whole,
    must,
    read_section,
)
from mobile_vla_ros.policy.spelling import meant_key


class RunError(InputError):
    """A run file, or the data it names, that cannot be trained on."""


# numpy's and Lightning's own limit.
Seed = Annotated[Whole, Field(ge=0, lt=2**32), must("must be a whole number from 0 to 2**32 - 1")]
Limit = Annotated[Whole, Field(ge=-1)]
Share = Annotated[
    StrictFloat, Field(allow_inf_nan=False, gt=0, le=1), must("must be a share above 0, up to 1")
]
BelowHalf = Annotated[
    StrictFloat, Field(allow_inf_nan=False, ge=0, lt=0.5), must("must be from 0 to below 0.5")
]
Probability = Annotated[
    StrictFloat, Field(allow_inf_nan=False, ge=0, le=1), must("must be a probability, 0 to 1")
]
Devices = Annotated[
    StrictInt | StrictStr | list[StrictInt], must("must be a number of devices, a list or 'auto'")
]
Precision = Annotated[StrictStr | StrictInt, must("must be a name such as 'bf16-mixed'")]


class HeadSettings(ActHead):
    """The action head: an LSTM and the velocity MLP (`act_head` of the run file)."""

    type: StrictStr = DRIVING_HEAD
    hidden_size: Count = 512
    num_layers: Count = 4
    latent: Count = 1
    action_dim: Count = 2


class SetupSettings(Section):
    """Which weights move (`train_setup` of the run file)."""

    freeze_backbone: StrictBool = True
    train_vision: StrictBool = False
    train_text_embedding: StrictBool = False
    train_action_token: StrictBool = True
    lora_enable: StrictBool = False
    lora_r: Count = 32
    lora_alpha: Positive = 16
    lora_dropout: Annotated[StrictFloat, Field(ge=0, lt=1)] = 0.1
    lora_bias: Literal["none", "all", "lora_only"] = "none"
    lora_modules: Names = ()
    gradient_checkpointing: StrictBool = False
    precision: Precision | None = None

    @property
    def mode(self) -> str:
        """`frozen`, `lora` or `full`."""
        if self.lora_enable:
            return "lora"
        return "frozen" if self.freeze_backbone and not self.train_vision else "full"


class TrainerSettings(Section):
    """What goes to Lightning's Trainer (`trainer` of the run file)."""

    foreign = frozenset({"min_epochs", "min_steps"})

    max_epochs: Limit = 10
    max_steps: Limit = -1
    precision: Precision | None = None
    gradient_clip_val: NotNegative = 1.0
    accumulate_grad_batches: Count = 1
    devices: Devices = 1
    num_nodes: Count = 1
    accelerator: StrictStr = "auto"
    strategy: StrictStr = "auto"
    early_stopping_patience: Count | None = None
    log_every_n_steps: Count = 10
    check_val_every_n_epoch: Count = 1


class DataSettings(Section):
    """Which episodes, and which windows of them (`train_dataset` of the run file)."""

    foreign = frozenset(
        {"batch_size", "fwd_pred_next_n", "image_size", "seed", "tokenizer", "window_size"}
    )

    data_dir: StrictStr | None = None
    episode_pattern: StrictStr = "*.h5"
    exclude_pattern: StrictStr | None = None
    validation_pattern: StrictStr | None = None
    train_split: Share = 0.9
    split_seed: Seed | None = None
    max_episodes: Count | None = None
    start_weight: Positive = 1.0
    every_row: StrictBool = False
    labels: Literal["recorded", "expert"] = "recorded"
    num_workers: Annotated[Whole, Field(ge=0)] = 0
    corrections: StrictStr | None = None
    field: Literal["lab", "open"] | None = None
    correction_weight: Positive = 3.0
    before_takeover: NotNegative = 2.0


class AugmentationSettings(Section):
    """How strongly a window's pictures are changed (`augmentation` of the run file); 0 is off."""

    colour: NotNegative = 0.0
    blur: NotNegative = 0.0
    crop: BelowHalf = 0.0
    shift: BelowHalf = 0.0
    mirror: Probability = 0.0
    other_orders: Probability = 0.0
    views: Count = 1

    @property
    def on(self) -> bool:
        """Whether anything is changed at all."""
        return any((self.colour, self.blur, self.crop, self.shift, self.mirror, self.other_orders))


class AuxiliarySettings(Section):
    """Extra losses used in training only (`auxiliary` of the run file); weight 0 is off.

    They need simulated episodes, which know where things stand (see `labels.py`).
    """

    heat_map: NotNegative = 0.0
    bearing: NotNegative = 0.0
    distance: NotNegative = 0.0
    words: NotNegative = 0.0

    @property
    def on(self) -> bool:
        """Whether any extra loss is used."""
        return any((self.heat_map, self.bearing, self.distance, self.words))


class TrainingRun(PolicyRun):
    """A whole run file, as the training reads it."""

    # RoboVLMs' own keys that are called nearly as ours, or as ours elsewhere.
    foreign = PolicyRun.foreign | {"num_nodes", "warmup_epochs", "warmup_ratio", "warmup_steps"}

    window_size: Count = 8
    fwd_pred_next_n: Count = 10
    action_axes: Names = UNICYCLE_AXES
    frame_period: Seconds = DEFAULT_PERIOD
    action_period: Seconds = DEFAULT_PERIOD
    model_path: StrictStr = ""
    model_load_path: StrictStr | None = None
    learning_rate: Positive = 1e-4
    head_learning_rate: Positive | None = None
    weight_decay: NotNegative = 0.0
    warmup: NotNegative = 0.05
    step_decay: Positive = 1.0
    smooth_l1_beta: Positive = 1.0
    batch_size: Count = 8
    seed: Seed = 0
    feature_cache: StrictBool | None = None
    act_head: HeadSettings = HeadSettings()
    train_setup: SetupSettings = SetupSettings()
    trainer: TrainerSettings = TrainerSettings()
    train_dataset: DataSettings = DataSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    auxiliary: AuxiliarySettings = AuxiliarySettings()
    experiment: dict[str, Any] = Field(default_factory=dict)


def read_training_run(raw: Mapping[str, Any], name: str) -> TrainingRun:
    """Reads a run file for training.

    Args:
        raw: the JSON object.
        name: how errors name the file.

    Raises:
        RunError: a value of the wrong kind; a key that is misspelt, or that stands in a section
            where nothing reads it.
    """
    said = read_section(TrainingRun, raw, name, RunError)
    homes = list(said.sections())
    for path, section in homes:
        for key in section.unread():
            for other, home in homes:
                meant = None if home is section else meant_key(key, home.keys() - SHARED_KEYS)
                if meant is not None:
                    raise RunError(
                        f"{name}: {path}{key} is no key of a run file, and would be ignored; "
                        f"did you mean {other}{meant}?"
                    )
    return said


# Called alike in sections that are not ours.
SHARED_KEYS = {"type", "experiment"}
