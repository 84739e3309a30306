"""What a policy was trained with: window, chunk, axes, periods, normalisation. No torch here."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES, PLANAR_AXES, UNICYCLE_AXES
from mobile_vla_ros.policy.errors import CheckpointError

# The normalisation of CLIP's images, which Kosmos-2 was trained with.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

DRIVING_HEAD = "MobileVLALSTMDecoder"
ARM_HEAD = "LSTMDecoder"

ARM_AXES = ("x", "y", "z", "roll", "pitch", "yaw", "gripper")
DEFAULT_AXES = {
    1: ("linear.x",),
    2: UNICYCLE_AXES,
    3: PLANAR_AXES,
}
DEFAULT_PERIOD = 0.4
DEFAULT_LAYERS = 4


@dataclass(frozen=True)
class PolicyConfig:
    """The facts of a trained policy that its users need.

    Attributes:
        head: ``MobileVLALSTMDecoder`` (drives), ``LSTMDecoder`` (7-DoF arm) or None (backbone).
        window_size: frames the LSTM sees at most.
        chunk_size: action steps predicted at every frame.
        dof: values per action step.
        hidden_size: width of the LSTM.
        num_layers: layers of the LSTM.
        latent: action tokens per frame.
        action_axes: what each value of an action step is, in order.
        action_axes_confirmed: False when nothing in the files said so and a default stands in.
        frame_period: seconds between the frames of a window.
        action_period: seconds between the steps of a chunk.
        norm_min: lower end of each axis, m/s or rad/s; maps to -1.
        norm_max: upper end of each axis; maps to 1.
        image_size: side of the square model input in pixels.
        image_mean: subtracted per channel (RGB) after scaling to [0, 1].
        image_std: divided by per channel (RGB).
        max_text_len: most tokens a prompt may have.
        use_hand_rgb: the pretraining put a gripper camera's tokens before the first camera's;
            here such a policy reads one image.
        run: the run file as it was, with every key that is not understood.
    """

    head: str | None
    window_size: int
    chunk_size: int
    dof: int
    hidden_size: int
    num_layers: int
    latent: int
    action_axes: tuple[str, ...]
    action_axes_confirmed: bool
    frame_period: float
    action_period: float
    norm_min: tuple[float, ...]
    norm_max: tuple[float, ...]
    image_size: int = 224
    image_mean: tuple[float, ...] = CLIP_MEAN
    image_std: tuple[float, ...] = CLIP_STD
    max_text_len: int = 256
    use_hand_rgb: bool = False
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def drives(self) -> bool:
        """Whether the outputs are velocities of a mobile base."""
        return self.head == DRIVING_HEAD

    def normalise(self, actions: np.ndarray) -> np.ndarray:
        """Maps actions [..., dof] in m/s and rad/s to float32 [-1, 1], clipping at the range."""
        low = np.asarray(self.norm_min, np.float32)
        high = np.asarray(self.norm_max, np.float32)
        clipped = np.clip(np.asarray(actions, np.float32), low, high)
        return 2 * (clipped - low) / (high - low) - 1

    def unnormalise(self, normalised: np.ndarray) -> np.ndarray:
        """Maps [..., dof] in [-1, 1] back to float32 m/s and rad/s."""
        low = np.asarray(self.norm_min, np.float32)
        high = np.asarray(self.norm_max, np.float32)
        return (np.asarray(normalised, np.float32) + 1) / 2 * (high - low) + low


def read_run_file(path: str | Path) -> dict[str, Any]:
    """Reads a run JSON; ``//`` comments and trailing commas are allowed.

    Raises:
        CheckpointError: the file is missing or is not a JSON object.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"the run file {path} is a directory; give the JSON file itself")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CheckpointError(f"cannot read the run file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CheckpointError(f"the run file {path} is not text in UTF-8") from error
    except ValueError as error:
        raise CheckpointError(f"the run file {str(path)!r} cannot be a file: {error}") from error
    try:
        run = json.loads(_without_comments(text))
    except ValueError as error:
        raise CheckpointError(f"the run file {path} is not valid JSON: {error}") from error
    except RecursionError as error:
        raise CheckpointError(f"the run file {path} is nested too deeply") from error
    if not isinstance(run, dict):
        raise CheckpointError(f"the run file {path} must hold a JSON object")
    return run


def _without_comments(text: str) -> str:
    """Blanks ``//`` and ``/* */`` comments and trailing commas outside strings."""
    kept: list[str] = []
    position = 0
    while position < len(text):
        character = text[position]
        if character == '"':
            end = position + 1
            while end < len(text) and text[end] != '"':
                end += 2 if text[end] == "\\" else 1
            kept.append(text[position : end + 1])
            position = end + 1
        elif text.startswith("//", position):
            end = text.find("\n", position)
            position = len(text) if end < 0 else end
        elif text.startswith("/*", position):
            end = text.find("*/", position)
            # Line breaks stay, so that an error still names the right line.
            skipped = text[position:] if end < 0 else text[position : end + 2]
            kept.append("\n" * skipped.count("\n"))
            position += len(skipped)
        else:
            if character in "]}":
                _drop_trailing_comma(kept)
            kept.append(character)
            position += 1
    return "".join(kept)


def _drop_trailing_comma(kept: list[str]) -> None:
    for index in range(len(kept) - 1, -1, -1):
        if kept[index].strip():
            if kept[index] == ",":
                kept[index] = " "
            return


@dataclass(frozen=True)
class HeadShape:
    """What the head's own weights say, beside which the run file is checked."""

    type: str
    hidden_size: int
    num_layers: int
    input_size: int
    outputs: int
    """Width of the velocity (or arm) output: chunk x dof (or chunk x 6)."""
    gripper_outputs: int | None = None


def policy_config(
    run: Mapping[str, Any],
    *,
    head: HeadShape | None,
    width: int,
    name: str,
    extra: Mapping[str, Any] | None = None,
    preprocessor: Mapping[str, Any] | None = None,
    vision_size: int = 224,
) -> PolicyConfig:
    """Builds the configuration and checks the run file against the head's weights.

    Args:
        run: the run file.
        head: what the head's weights say; None for a backbone without head.
        width: width of the text model.
        name: how errors name the run file.
        extra: what the checkpoint itself says beside its run file (``action_axes``,
            ``frame_period``, ``action_period``); the run file's own words come first.
        preprocessor: the backbone's ``preprocessor_config.json``, used where the run is silent.
        vision_size: side of the vision model's input in pixels.

    Raises:
        CheckpointError: the run file is inconsistent, or disagrees with the weights.
    """
    extra = extra or {}
    preprocessor = preprocessor or {}
    section = run.get("act_head") or {}
    if not isinstance(section, Mapping):
        raise CheckpointError(f"{name}: act_head must be an object")
    image_size = _image_size(run, vision_size, name)
    if image_size != vision_size:
        raise CheckpointError(
            f"{name} says image_size {image_size} but the vision model takes {vision_size}"
        )
    images: dict[str, Any] = {
        "image_size": image_size,
        "image_mean": _channels(
            _said(run, "image_mean", _said(preprocessor, "image_mean", CLIP_MEAN)),
            "image_mean",
            name,
        ),
        "image_std": _channels(
            _said(run, "image_std", _said(preprocessor, "image_std", CLIP_STD)),
            "image_std",
            name,
        ),
    }
    if min(images["image_std"]) <= 0:
        raise CheckpointError(f"{name}: image_std must be positive")
    tokenizer = run.get("tokenizer")
    text = tokenizer.get("max_text_len") if isinstance(tokenizer, Mapping) else None
    periods = {
        key: _period(run.get(key, extra.get(key)), key, name)
        for key in ("frame_period", "action_period")
    }
    shared: dict[str, Any] = {
        **images,
        **periods,
        "max_text_len": _count(text, "tokenizer.max_text_len", name) if text else 256,
        "use_hand_rgb": bool(run.get("use_hand_rgb", False)),
        "run": dict(run),
    }
    if head is None:
        return PolicyConfig(
            head=None,
            window_size=_count(run.get("window_size", 8), "window_size", name),
            chunk_size=0,
            dof=0,
            hidden_size=0,
            num_layers=0,
            latent=1,
            action_axes=(),
            action_axes_confirmed=False,
            norm_min=(),
            norm_max=(),
            **shared,
        )
    _check_supported(run, section, name)
    latent = _count(_said(section, "latent", 1), "act_head.latent", name)
    _must_agree(name, "act_head.type", section.get("type", head.type), head.type)
    _must_agree(name, "act_head.hidden_size", section.get("hidden_size"), head.hidden_size)
    _must_agree(name, "act_head.num_layers", section.get("num_layers"), head.num_layers)
    if head.input_size != width * latent:
        raise CheckpointError(
            f"{name} says act_head.latent {latent}, so the LSTM should read {width * latent} "
            f"values, but the weights have an LSTM that reads {head.input_size}"
        )
    chunk = _chunk_size(run, section, head, name)
    dof = _dof(run, section, head, chunk, name)
    axes, confirmed = _axes(run, extra, head, dof, name)
    low, high = _ranges(run, dof, name)
    return PolicyConfig(
        head=head.type,
        window_size=_window_size(run, section, name),
        chunk_size=chunk,
        dof=dof,
        hidden_size=head.hidden_size,
        num_layers=head.num_layers,
        latent=latent,
        action_axes=axes,
        action_axes_confirmed=confirmed,
        norm_min=low,
        norm_max=high,
        **shared,
    )


def check_axes(axes: Sequence[str], dof: int, name: str) -> tuple[str, ...]:
    """The axes as a tuple, after checking that each is a velocity and that there are ``dof``.

    Raises:
        CheckpointError: an unknown axis, a repeated one, or a wrong number of them.
    """
    if isinstance(axes, str) or not isinstance(axes, Sequence):
        raise CheckpointError(f"{name}: action_axes must be a list of axis names")
    named = tuple(str(axis) for axis in axes)
    unknown = [axis for axis in named if axis not in AXES]
    if unknown:
        raise CheckpointError(
            f"{name}: unknown action axis {unknown[0]!r}; an axis is one of {', '.join(AXES)}"
        )
    if len(set(named)) != len(named):
        raise CheckpointError(f"{name}: action_axes names an axis twice: {', '.join(named)}")
    if len(named) != dof:
        raise CheckpointError(
            f"{name}: action_axes names {len(named)} axes but the head puts out {dof}"
        )
    return named


def _check_supported(run: Mapping[str, Any], section: Mapping[str, Any], name: str) -> None:
    sampling = section.get("down_sample", "none")
    if sampling not in ("none", None):
        raise CheckpointError(
            f"{name}: act_head.down_sample {sampling!r} is not supported; only 'none' is"
        )
    space = section.get("action_space", "continuous")
    if space != "continuous":
        raise CheckpointError(
            f"{name}: act_head.action_space {space!r} is not supported; only 'continuous' is"
        )
    history = section.get("history_type", "post")
    if history != "post":
        raise CheckpointError(
            f"{name}: act_head.history_type {history!r} is not supported; only 'post' is"
        )
    if run.get("use_vision_resampler"):
        raise CheckpointError(f"{name}: use_vision_resampler is not supported")


def _must_agree(name: str, key: str, said: Any, found: Any) -> None:
    if said is not None and said != found:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says {key} {said}, the weights have {found}"
        )


def _chunk_size(
    run: Mapping[str, Any], section: Mapping[str, Any], head: HeadShape, name: str
) -> int:
    # The top level comes first: in published run files act_head's own value is a placeholder.
    said = run.get("fwd_pred_next_n", section.get("fwd_pred_next_n"))
    if said is None:
        if head.gripper_outputs is not None:
            return head.gripper_outputs
        per_step = _count(_said_dof(run, section, head), "act_head.action_dim", name)
        if head.outputs % per_step or head.outputs < per_step:
            raise CheckpointError(
                f"{name} disagrees with the weights: it says act_head.action_dim {per_step}, but "
                f"the head has {head.outputs} outputs"
            )
        return head.outputs // per_step
    chunk = _count(said, "fwd_pred_next_n", name)
    if head.gripper_outputs is not None:
        _must_agree(name, "fwd_pred_next_n", chunk, head.gripper_outputs)
    if head.outputs % chunk:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says fwd_pred_next_n {chunk}, but the head "
            f"has {head.outputs} outputs"
        )
    return chunk


def _said(values: Mapping[str, Any], key: str, default: Any) -> Any:
    """The value of a key; a null counts as not said."""
    value = values.get(key)
    return default if value is None else value


def _said_dof(run: Mapping[str, Any], section: Mapping[str, Any], head: HeadShape) -> Any:
    """Values per action step as the run file says, by a number or by naming the axes."""
    axes = run.get("action_axes")
    named = len(axes) if isinstance(axes, (list, tuple)) and axes else None
    return _said(section, "action_dim", 7 if head.type == ARM_HEAD else named or 2)


def _dof(
    run: Mapping[str, Any], section: Mapping[str, Any], head: HeadShape, chunk: int, name: str
) -> int:
    per_step = head.outputs // chunk
    dof = per_step if head.gripper_outputs is None else per_step + head.gripper_outputs // chunk
    said = _said_dof(run, section, head)
    if said != dof or head.outputs % chunk:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says fwd_pred_next_n {chunk} and "
            f"act_head.action_dim {said}, but the head has {head.outputs} outputs"
            + (
                ""
                if head.gripper_outputs is None
                else f" and {head.gripper_outputs} for a gripper"
            )
        )
    return dof


def _axes(
    run: Mapping[str, Any], extra: Mapping[str, Any], head: HeadShape, dof: int, name: str
) -> tuple[tuple[str, ...], bool]:
    if head.type == ARM_HEAD:
        return ARM_AXES[:dof] if dof == len(ARM_AXES) else tuple(map(str, range(dof))), False
    said = run.get("action_axes", extra.get("action_axes"))
    if said is not None:
        # A converted directory writes out the default too, and says that it is one.
        return check_axes(said, dof, name), bool(run.get("action_axes_confirmed", True))
    if dof not in DEFAULT_AXES:
        raise CheckpointError(
            f"the head puts out {dof} values per step and {name} has no action_axes to name them"
        )
    return DEFAULT_AXES[dof], False


def _window_size(run: Mapping[str, Any], section: Mapping[str, Any], name: str) -> int:
    # As in the trainer, which overwrites what stands inside act_head with the top level's value.
    size = _said(run, "window_size", section.get("window_size"))
    if size is None:
        raise CheckpointError(f"{name} has no window_size")
    return _count(size, "window_size", name)


def _ranges(
    run: Mapping[str, Any], dof: int, name: str
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not _said(run, "norm_action", True):
        return (-1.0,) * dof, (1.0,) * dof
    low = _per_axis(run.get("norm_min", -1.0), dof, "norm_min", name)
    high = _per_axis(run.get("norm_max", 1.0), dof, "norm_max", name)
    for smallest, largest in zip(low, high, strict=True):
        if not smallest < largest or not smallest <= 0 <= largest:
            raise CheckpointError(
                f"{name}: norm_min {smallest:g} and norm_max {largest:g} must have 0 between them"
            )
    return low, high


def _per_axis(value: Any, dof: int, key: str, name: str) -> tuple[float, ...]:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * dof
    if len(values) != dof:
        raise CheckpointError(
            f"{name}: {key} has {len(values)} values but the head puts out {dof}"
        )
    return tuple(_number(item, key, name) for item in values)


def _channels(value: Any, key: str, name: str) -> tuple[float, ...]:
    values = list(value) if isinstance(value, (list, tuple)) else []
    if len(values) != 3:
        raise CheckpointError(f"{name}: {key} must have 3 values, one per colour")
    return tuple(_number(item, key, name) for item in values)


def _number(value: Any, key: str, name: str) -> float:
    try:
        number = float(value) if isinstance(value, (int, float)) else math.nan
    except OverflowError:
        number = math.inf
    if isinstance(value, bool) or not math.isfinite(number):
        raise CheckpointError(f"{name}: {key} must be a number, not {str(value)[:40]!r}")
    return number


def _count(value: Any, key: str, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise CheckpointError(f"{name}: {key} must be a whole number above 0, not {value!r}")
    return value


def _period(value: Any, key: str, name: str) -> float:
    if value is None:
        return DEFAULT_PERIOD
    seconds = _number(value, key, name)
    if seconds <= 0:
        raise CheckpointError(f"{name}: {key} must be above 0 s, not {seconds:g}")
    return seconds


def _image_size(run: Mapping[str, Any], default: int, name: str) -> int:
    value = _said(run, "image_size", default)
    if isinstance(value, (list, tuple)) and len(set(value)) == 1:
        value = value[0]
    return _count(value, "image_size", name)
