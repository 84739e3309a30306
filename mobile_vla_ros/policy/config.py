"""What a policy was trained with: window, chunk, axes, periods, normalisation. No torch here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mobile_vla_ros.axes import AXES, PLANAR_AXES, UNICYCLE_AXES
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heads import KINDS, HeadShape
from mobile_vla_ros.policy.run_schema import PolicyRun, read_section

# The normalisation of CLIP's images, which Kosmos-2 was trained with.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

DEFAULT_AXES = {
    1: ("linear.x",),
    2: UNICYCLE_AXES,
    3: PLANAR_AXES,
}
DEFAULT_PERIOD = 0.4
BACKBONE_WINDOW = 8


def normalise(
    velocities: np.ndarray, norm_min: Sequence[float], norm_max: Sequence[float]
) -> np.ndarray:
    """Velocities [..., dof] in m/s and rad/s to float32 [-1, 1], clipped at the range."""
    low = np.asarray(norm_min, dtype=np.float32)
    high = np.asarray(norm_max, dtype=np.float32)
    clipped = np.clip(np.asarray(velocities, np.float32), low, high)
    return (2 * (clipped - low) / (high - low) - 1).astype(np.float32)


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
        return self.head is not None and KINDS[self.head].drives

    def normalise(self, actions: np.ndarray) -> np.ndarray:
        """Maps actions [..., dof] in m/s and rad/s to float32 [-1, 1], clipping at the range."""
        return normalise(actions, self.norm_min, self.norm_max)

    def unnormalise(self, normalised: np.ndarray) -> np.ndarray:
        """Maps [..., dof] in [-1, 1] back to float32 m/s and rad/s."""
        low = np.asarray(self.norm_min, np.float32)
        high = np.asarray(self.norm_max, np.float32)
        return (np.asarray(normalised, np.float32) + 1) / 2 * (high - low) + low


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
    said = read_section(PolicyRun, _laid_over(run, extra or {}, preprocessor or {}), name)
    shared: dict[str, Any] = {
        **_images(said, vision_size, name),
        "frame_period": said.frame_period or DEFAULT_PERIOD,
        "action_period": said.action_period or DEFAULT_PERIOD,
        "max_text_len": said.tokenizer.max_text_len,
        "use_hand_rgb": said.use_hand_rgb,
        "run": dict(run),
    }
    if head is None:
        return PolicyConfig(
            head=None,
            window_size=said.window_size or BACKBONE_WINDOW,
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
    latent = _check_head(said, head, width, name)
    chunk = _chunk_size(said, head, name)
    dof = _dof(said, head, chunk, name)
    axes, confirmed = _axes(said, head, dof, name)
    low, high = _ranges(said, dof, name)
    return PolicyConfig(
        head=head.type,
        window_size=_window_size(said, name),
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


def _laid_over(
    run: Mapping[str, Any], extra: Mapping[str, Any], preprocessor: Mapping[str, Any]
) -> dict[str, Any]:
    """The run file, with what it is silent about taken from the checkpoint and the backbone."""
    laid = {key: preprocessor.get(key) for key in ("image_mean", "image_std")}
    laid |= {key: extra.get(key) for key in ("action_axes", "frame_period", "action_period")}
    return laid | {key: value for key, value in run.items() if value is not None}


def _images(said: PolicyRun, vision_size: int, name: str) -> dict[str, Any]:
    image_size = said.image_size or vision_size
    if image_size != vision_size:
        raise CheckpointError(
            f"{name} says image_size {image_size} but the vision model takes {vision_size}"
        )
    image_std = said.image_std or CLIP_STD
    if min(image_std) <= 0:
        raise CheckpointError(f"{name}: image_std must be positive")
    return {
        "image_size": image_size,
        "image_mean": said.image_mean or CLIP_MEAN,
        "image_std": image_std,
    }


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


def _check_head(said: PolicyRun, head: HeadShape, width: int, name: str) -> int:
    """Refuses a head that is not supported or that the run file describes otherwise.

    Returns:
        Action tokens per frame.
    """
    section = said.act_head
    for key, value, supported in (
        ("down_sample", section.down_sample, "none"),
        ("action_space", section.action_space, "continuous"),
        ("history_type", section.history_type, "post"),
    ):
        if value != supported:
            raise CheckpointError(
                f"{name}: act_head.{key} {value!r} is not supported; only {supported!r} is"
            )
    if said.use_vision_resampler:
        raise CheckpointError(f"{name}: use_vision_resampler is not supported")
    _must_agree(name, "act_head.type", section.type, head.type)
    _must_agree(name, "act_head.hidden_size", section.hidden_size, head.hidden_size)
    _must_agree(name, "act_head.num_layers", section.num_layers, head.num_layers)
    latent = section.latent or 1
    if head.input_size != width * latent:
        raise CheckpointError(
            f"{name} says act_head.latent {latent}, so the LSTM should read {width * latent} "
            f"values, but the weights have an LSTM that reads {head.input_size}"
        )
    return latent


def _must_agree(name: str, key: str, said: Any, found: Any) -> None:
    if said is not None and said != found:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says {key} {said}, the weights have {found}"
        )


def _chunk_size(said: PolicyRun, head: HeadShape, name: str) -> int:
    # The top level comes first: in published run files act_head's own value is a placeholder.
    chunk = said.fwd_pred_next_n or said.act_head.fwd_pred_next_n
    kind = KINDS[head.type]
    if chunk is None:
        if head.fixed_outputs is not None:
            return head.fixed_outputs // kind.fixed
        per_step = _said_dof(said, head)
        if head.outputs % per_step or head.outputs < per_step:
            raise CheckpointError(
                f"{name} disagrees with the weights: it says act_head.action_dim {per_step}, but "
                f"the head has {head.outputs} outputs"
            )
        return head.outputs // per_step
    if head.fixed_outputs is not None:
        _must_agree(name, "fwd_pred_next_n", chunk, head.fixed_outputs // kind.fixed)
    if head.outputs % chunk:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says fwd_pred_next_n {chunk}, but the head "
            f"has {head.outputs} outputs"
        )
    return chunk


def _said_dof(said: PolicyRun, head: HeadShape) -> int:
    """Values per action step as the run file says, by a number or by naming the axes."""
    named = len(said.action_axes or ()) or 2
    return said.act_head.action_dim or len(KINDS[head.type].axes) or named


def _dof(said: PolicyRun, head: HeadShape, chunk: int, name: str) -> int:
    per_step = head.outputs // chunk
    dof = per_step if head.fixed_outputs is None else per_step + head.fixed_outputs // chunk
    expected = _said_dof(said, head)
    if expected != dof or head.outputs % chunk:
        raise CheckpointError(
            f"{name} disagrees with the weights: it says fwd_pred_next_n {chunk} and "
            f"act_head.action_dim {expected}, but the head has {head.outputs} outputs"
            + ("" if head.fixed_outputs is None else f" and {head.fixed_outputs} of its own parts")
        )
    return dof


def _axes(said: PolicyRun, head: HeadShape, dof: int, name: str) -> tuple[tuple[str, ...], bool]:
    own = KINDS[head.type].axes
    if own:
        return own if dof == len(own) else tuple(map(str, range(dof))), False
    if said.action_axes is not None:
        # A converted directory writes out the default too, and says that it is one.
        return check_axes(said.action_axes, dof, name), said.action_axes_confirmed
    if dof not in DEFAULT_AXES:
        raise CheckpointError(
            f"the head puts out {dof} values per step and {name} has no action_axes to name them"
        )
    return DEFAULT_AXES[dof], False


def _window_size(said: PolicyRun, name: str) -> int:
    # As in the trainer, which overwrites what stands inside act_head with the top level's value.
    size = said.window_size or said.act_head.window_size
    if size is None:
        raise CheckpointError(f"{name} has no window_size")
    return size


def _ranges(said: PolicyRun, dof: int, name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    if not said.norm_action:
        return (-1.0,) * dof, (1.0,) * dof
    low = per_axis(said.norm_min, dof, "norm_min", name)
    high = per_axis(said.norm_max, dof, "norm_max", name)
    for smallest, largest in zip(low, high, strict=True):
        if not smallest < largest or not smallest <= 0 <= largest:
            raise CheckpointError(
                f"{name}: norm_min {smallest:g} and norm_max {largest:g} must have 0 between them"
            )
    return low, high


def per_axis(value: float | tuple[float, ...], dof: int, key: str, name: str) -> tuple[float, ...]:
    """One number for every axis, or the numbers given.

    Raises:
        CheckpointError: not as many numbers as axes.
    """
    values = value if isinstance(value, tuple) else (value,) * dof
    if len(values) != dof:
        raise CheckpointError(
            f"{name}: {key} has {len(values)} values but the head puts out {dof}"
        )
    return values
