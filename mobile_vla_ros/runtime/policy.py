"""The policy on onnxruntime: what ``policy.Policy`` answers in tensors, in numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.policy.asking import AskedPolicy
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.frames import (
    check_features,
    check_pixels,
    frames_array,
)
from mobile_vla_ros.policy.prompt import PromptReader
from mobile_vla_ros.policy.provenance import Provenance
from mobile_vla_ros.policy.requests import without_head
from mobile_vla_ros.runtime.preprocess import preprocess
from mobile_vla_ros.runtime.providers import Device
from mobile_vla_ros.runtime.sessions import GraphSession

BATCH = 8


@dataclass(frozen=True)
class Sessions:
    """The graphs of a policy; without a head there is the first alone."""

    vision: GraphSession
    prompt: GraphSession | None = None
    text: GraphSession | None = None
    head: GraphSession | None = None


@dataclass(frozen=True)
class OnnxPrecision:
    """Number formats of a loaded policy; ``compute`` is what the backbone computes in."""

    name: str
    compute: str
    quantised: bool = False


class OnnxPolicy(AskedPolicy):
    """A policy on onnxruntime; made by ``load_policy`` with ``runtime="onnx"``.

    Attributes:
        config: what it was trained with.
        device: where it runs.
        precision: in which number formats.
        provenance: where it comes from.
        sizes: of the backbone (see ``policy.kosmos.backbone_sizes``).
        width: D, the width of contexts and features.
        weight_bytes: of the weights that a frame needs, as they are computed with.
        runtime: ``onnx``.
    """

    runtime = "onnx"

    def __init__(
        self,
        *,
        sessions: Sessions,
        config: PolicyConfig,
        prompts: PromptReader | None,
        provenance: Provenance,
        device: Device,
        precision: OnnxPrecision,
        sizes: Mapping[str, int],
        weight_bytes: int,
    ) -> None:
        super().__init__(config, provenance, prompts)
        self.device = device
        self.precision = precision
        self.sizes = dict(sizes)
        self.width = self.sizes["width"]
        self.weight_bytes = weight_bytes
        self._sessions = sessions

    @property
    def dtype(self) -> str:
        """What the backbone computes in."""
        return self.precision.name

    @property
    def model(self) -> Any:
        """The network itself; only the torch runtime has it.

        Raises:
            PolicyError: always.
        """
        raise PolicyError(
            f"{self.provenance.source} runs on onnxruntime, which shows no layers; load it with "
            'runtime="torch" for that'
        )

    @property
    def packs(self) -> bool:
        """Whether weights are laid out anew: the sessions have done it while loading."""
        return False

    def preprocess(self, images: np.ndarray) -> np.ndarray:
        """Turns camera frames into model input.

        Args:
            images: uint8 [N, H, W, 3] or [H, W, 3], RGB.

        Returns:
            float32 [N, 3, S, S].

        Raises:
            PolicyError: not uint8 RGB images.
        """
        config = self.config
        return preprocess(images, config.image_size, config.image_mean, config.image_std)

    def _embed(self, instruction: str, ids: list[int]) -> np.ndarray:
        """float32 [1, S, D]: the sequence without the image (see ``frame_pass.Prompt.base``)."""
        assert self._sessions.prompt is not None
        return self._sessions.prompt.run(ids=np.array(ids[:-1], np.int64))[0]

    def encode_images(self, pixel_values: np.ndarray) -> np.ndarray:
        """Encodes frames, without an instruction.

        Args:
            pixel_values: [N, 3, S, S], preprocessed.

        Returns:
            The image context, float32 [N, tokens, D].
        """
        pixels = self._pixels(pixel_values)
        pieces = [self._sessions.vision.run(pixels=piece)[0] for piece in _batches(pixels)]
        return np.concatenate(pieces)

    def encode_frames(
        self,
        pixel_values: np.ndarray | None,
        instruction: str,
        *,
        context: np.ndarray | None = None,
    ) -> np.ndarray:
        """Encodes frames as the policy reads them, each on its own.

        Args:
            pixel_values: [N, 3, S, S], preprocessed; ignored when ``context`` is given.
            instruction: what the robot shall do.
            context: an image context [N, tokens, D] to use instead of the frames' own.

        Returns:
            The hidden states at the action token, float32 [N, latent, D].

        Raises:
            PolicyError: there is no action head, or the instruction is too long.
        """
        base = self.prepare(instruction)
        if context is None:
            if pixel_values is None:
                raise PolicyError("give pixel_values or context")
            context = self.encode_images(pixel_values)
        contexts = np.ascontiguousarray(context, np.float32)
        text = self._sessions.text
        assert text is not None
        return np.concatenate(
            [text.run(context=piece, base=base)[0] for piece in _batches(contexts)]
        )

    def look(self, image: np.ndarray, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        """What ``encode_camera_frame`` gives, and the image context that led to it, in short.

        Args:
            image: uint8 [H, W, 3] RGB.
            instruction: what the robot shall do.

        Returns:
            The feature, float32 [latent, D], and the mean of the image context over its tokens,
            float32 [D].

        Raises:
            PolicyError: as ``encode_camera_frame``.
        """
        frames = frames_array(image)
        if len(frames) != 1:
            raise PolicyError(f"one image is encoded at a time, not {len(frames)}")
        context = self.encode_images(self.preprocess(frames))
        feature = self.encode_frames(None, instruction, context=context)
        return feature[0], context.mean(1)[0]

    def decode(self, features: np.ndarray) -> np.ndarray:
        """Features [B, T, latent, D] to normalised actions, float32 [B, T, chunk, dof].

        Raises:
            PolicyError: there is no action head, or the shape is another.
        """
        return self._head(features)[0]

    def latents(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features [B, T, latent, D] to the LSTM's output and last states.

        Returns:
            Output [B, T, H], hidden state h_n [layers, B, H], cell state c_n [layers, B, H].

        Raises:
            PolicyError: as ``decode``.
        """
        _, output, hidden, cell = self._head(features)
        return output, hidden, cell

    def newest_actions(self, features: Sequence[np.ndarray]) -> np.ndarray:
        """The newest frame's normalised actions, from the features of a window.

        Args:
            features: [latent, D] each, oldest first.

        Returns:
            float32 [chunk, dof].
        """
        return self.decode(np.stack(list(features))[None])[0, -1]

    def warm_up(self, instruction: str = "go", image_shape: tuple[int, int] = (720, 1280)) -> None:
        """Runs the whole path once, so that the first real frame meets no first-call costs.

        Args:
            instruction: any; best the one that will be followed.
            image_shape: height and width of the camera's frames.
        """
        image = np.random.default_rng(0).integers(0, 256, (*image_shape, 3), dtype=np.uint8)
        if self.config.head is None:
            self.encode_images(self.preprocess(image))
            return
        feature = self.encode_camera_frame(image, instruction)
        for length in range(1, self.config.window_size + 1):
            self.newest_actions([feature] * length)

    def _head(self, features: np.ndarray) -> list[np.ndarray]:
        if self._sessions.head is None:
            raise without_head(self.provenance)
        features = np.asarray(features)
        check_features(features.shape, self.config.latent, self.width)
        return self._sessions.head.run(features=np.ascontiguousarray(features, np.float32))

    def _pixels(self, pixel_values: np.ndarray) -> np.ndarray:
        pixels = np.asarray(pixel_values)
        floating = bool(np.issubdtype(pixels.dtype, np.floating))
        check_pixels(floating, str(pixels.dtype), pixels.shape, self.config.image_size)
        return np.ascontiguousarray(pixels, np.float32)


def _batches(values: np.ndarray) -> list[np.ndarray]:
    return [values[start : start + BATCH] for start in range(0, len(values), BATCH)]
