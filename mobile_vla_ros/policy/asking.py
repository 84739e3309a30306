"""What is asked of a policy in the same way, whatever computes it. No torch here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.prompt import PromptReader
from mobile_vla_ros.policy.provenance import Provenance
from mobile_vla_ros.policy.requests import check_window, require_driving, without_head
from mobile_vla_ros.policy.stream import PolicyStream

PROMPTS_KEPT = 16


class AskedPolicy(ABC):
    """Instructions, windows and streams on top of a network that sees single frames.

    Its arrays are numpy's or tensors, as the runtime has them.

    Attributes:
        config: what it was trained with.
        provenance: where it comes from.
    """

    def __init__(
        self, config: PolicyConfig, provenance: Provenance, prompts: PromptReader | None
    ) -> None:
        self.config = config
        self.provenance = provenance
        self._reader = prompts
        self._prompts: OrderedDict[str, Any] = OrderedDict()

    # -- what a runtime gives ----------------------------------------------------------------

    @abstractmethod
    def preprocess(self, images: Any) -> Any:
        """Camera frames uint8 [N, H, W, 3] or [H, W, 3] to model input [N, 3, S, S]."""

    @abstractmethod
    def encode_frames(self, pixel_values: Any, instruction: str, *, context: Any = None) -> Any:
        """Model input to features [N, latent, D]."""

    @abstractmethod
    def look(self, image: Any, instruction: str) -> tuple[Any, Any]:
        """One camera frame's feature [latent, D], and its mean image context [D]."""

    @abstractmethod
    def newest_actions(self, features: Sequence[Any]) -> np.ndarray:
        """The newest frame's normalised actions, float32 [chunk, dof]."""

    @abstractmethod
    def _embed(self, instruction: str, ids: list[int]) -> Any:
        """What of an instruction is computed once."""

    # -- what all answer in the same way -----------------------------------------------------

    def token_ids(self, instruction: str) -> list[int]:
        """Token ids of the prompt, ``<s>`` first and ``</s>`` last.

        Raises:
            PolicyError: the instruction is too long, or this is a backbone without a policy.
        """
        if self._reader is None:
            raise without_head(self.provenance)
        return self._reader.ids(instruction)

    def prepare(self, instruction: str) -> Any:
        """Tokenises and embeds an instruction; done once, then remembered.

        Raises:
            PolicyError: as ``token_ids``.
        """
        prompt = self._prompts.get(instruction)
        if prompt is None:
            prompt = self._embed(instruction, self.token_ids(instruction))
            self._prompts[instruction] = prompt
            if len(self._prompts) > PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(instruction)
        return prompt

    def forget_prompts(self) -> None:
        """Drops remembered prompts; needed after the embeddings or the action token changed."""
        self._prompts.clear()

    def encode_camera_frame(self, image: Any, instruction: str) -> Any:
        """Preprocesses and encodes one frame, the way a stream does it.

        With torch on a GPU this is one CUDA graph, captured at the first frame of a resolution.

        Args:
            image: uint8 [H, W, 3] RGB.
            instruction: what the robot shall do.

        Returns:
            The hidden state at the action token, float32 [latent, D], where the policy computes.

        Raises:
            PolicyError: not one uint8 RGB image, or no action head.
        """
        return self.look(image, instruction)[0]

    def predict_window(self, images: Any, instruction: str) -> np.ndarray:
        """The plain way: a window of frames in, the newest frame's chunk out.

        Args:
            images: uint8 [T, H, W, 3] RGB, or a list of [H, W, 3], oldest first,
                ``frame_period`` apart; T <= window_size.
            instruction: what the robot shall do.

        Returns:
            Velocities float32 [chunk, dof], m/s and rad/s, axes as ``config.action_axes``.

        Raises:
            PolicyError: this policy cannot drive, or there are no or too many frames.
        """
        self.require_driving()
        pixels = self.preprocess(images)
        check_window(len(pixels), self.config)
        features = self.encode_frames(pixels, instruction)
        return self.config.unnormalise(self.newest_actions(list(features)))

    def stream(
        self,
        instruction: str,
        *,
        frame_period: float | None = None,
        action_period: float | None = None,
        action_axes: Sequence[str] | None = None,
        max_gap: float | None = None,
    ) -> PolicyStream:
        """Starts following an instruction frame by frame.

        Args:
            instruction: what the robot shall do.
            frame_period: seconds between the frames of the window; by default the policy's.
            action_period: seconds between the steps of a chunk; by default the policy's.
            action_axes: names of the outputs; by default the policy's.
            max_gap: seconds without a frame after which the window starts anew; by default two
                frame periods.

        Raises:
            PolicyError: this policy cannot drive, or an argument is out of range.
        """
        return PolicyStream(
            self,
            instruction,
            frame_period=frame_period,
            action_period=action_period,
            action_axes=action_axes,
            max_gap=max_gap,
        )

    def require_driving(self) -> None:
        """Raises PolicyError, with the reason, unless the outputs are velocities of a base."""
        require_driving(self.config, self.provenance)
