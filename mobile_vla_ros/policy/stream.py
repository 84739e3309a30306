"""Following an instruction frame by frame: each frame is encoded once, the window reuses the rest.

This equals encoding the whole window at every frame, because the frames of a window do not
attend to each other: each is a sequence of its own, and only the LSTM sees time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.window import FrameWindow
from mobile_vla_ros.policy.config import PolicyConfig, check_axes
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.familiarity import Familiarity
from mobile_vla_ros.policy.provenance import Provenance


class StreamedPolicy(Protocol):
    """What a stream asks of a policy, whatever computes it; features and contexts are arrays."""

    config: PolicyConfig
    provenance: Provenance

    def require_driving(self) -> None:
        """Raises PolicyError unless it drives."""

    def prepare(self, instruction: str) -> Any:
        """Gets an instruction ready."""

    def look(self, image: Any, instruction: str) -> tuple[Any, Any]:
        """A frame's feature [latent, D] and its mean image context [D]."""

    def newest_actions(self, features: Sequence[Any]) -> np.ndarray:
        """The newest frame's normalised actions, float32 [chunk, dof]."""


class PolicyStream:
    """A policy with one instruction and the features of the frames it has seen.

    Attributes:
        instruction: what it follows.
        frame_period: seconds between the frames of the window.
        action_period: seconds between the steps of a chunk.
        action_axes: names of the outputs.
    """

    def __init__(
        self,
        policy: StreamedPolicy,
        instruction: str,
        *,
        frame_period: float | None = None,
        action_period: float | None = None,
        action_axes: Sequence[str] | None = None,
        max_gap: float | None = None,
    ) -> None:
        policy.require_driving()
        config = policy.config
        self.instruction = instruction
        self.frame_period = _positive(frame_period, config.frame_period, "frame_period")
        self.action_period = _positive(action_period, config.action_period, "action_period")
        self.action_axes = (
            config.action_axes
            if action_axes is None
            else check_axes(action_axes, config.dof, "the stream")
        )
        gap = 2 * self.frame_period if max_gap is None else max_gap
        if not gap > 0:
            raise PolicyError(f"max_gap must be above 0 s, not {gap:g}")
        self._policy = policy
        self._window: FrameWindow[Any] = FrameWindow(config.window_size, self.frame_period, gap)
        statistics = policy.provenance.statistics
        self._familiarity = None if statistics is None else Familiarity(statistics)
        self._newest: tuple[float, Any, Any] | None = None
        policy.prepare(instruction)

    def step(self, image: np.ndarray, stamp: float, generation: int = 0) -> ActionChunk:
        """Encodes one frame and predicts from it and the remembered ones.

        Args:
            image: uint8 [H, W, 3] RGB.
            stamp: its capture time, seconds. A repeated stamp replaces that frame; a backward
                one, or a gap above ``max_gap``, starts the window anew.
            generation: passed on to the chunk.

        Returns:
            The chunk that starts at this frame's capture time.

        Raises:
            PolicyError: not one uint8 RGB image, or a stamp that is no number.
        """
        if not math.isfinite(stamp):
            raise PolicyError(f"a frame's stamp must be a number of seconds, not {stamp}")
        feature, context = self._policy.look(image, self.instruction)
        self._window.add(stamp, feature)
        self._newest = (stamp, feature, context)
        return self._chunk(stamp, generation)

    def reset(self) -> None:
        """Forgets all frames."""
        self._window.clear()
        self._newest = None
        if self._familiarity is not None:
            self._familiarity.clear()

    @property
    def feature(self) -> np.ndarray | None:
        """float32 [latent, D], the feature of the newest frame; None before the first."""
        chosen = self._window.select()
        return _array(chosen[-1][1]) if chosen else None

    @property
    def feature_distance(self) -> float:
        """How far the frames of the last seconds lie from those of training; NaN: unknown.

        See ``familiarity``. The newest frame is measured here, not in ``step``, so that whoever
        does not ask does not pay; ask after every step.
        """
        if self._familiarity is None or self._newest is None:
            return math.nan
        stamp, feature, context = self._newest
        self._familiarity.add(stamp, _array(feature), _array(context))
        return self._familiarity.distance

    def _chunk(self, stamp: float, generation: int) -> ActionChunk:
        chosen = self._window.select()
        normalised = self._policy.newest_actions([feature for _, feature in chosen])
        return ActionChunk(
            velocities=self._policy.config.unnormalise(normalised),
            axes=self.action_axes,
            stamp=stamp,
            action_period=self.action_period,
            generation=generation,
            frames=len(chosen),
            window_stamps=tuple(stamp for stamp, _ in chosen),
            normalised=normalised,
        )


def _array(values: Any) -> np.ndarray:
    """float32 in numpy, from an array or from a tensor wherever it lies."""
    return values if isinstance(values, np.ndarray) else values.float().cpu().numpy()


def _positive(value: float | None, default: float, name: str) -> float:
    seconds = default if value is None else float(value)
    if not 0 < seconds < math.inf:
        raise PolicyError(f"{name} must be above 0 s, not {seconds:g}")
    return seconds
