"""The policy as its users see it: images and an instruction in, features and velocities out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from mobile_vla_ros.policy import preprocess
from mobile_vla_ros.policy.asking import AskedPolicy
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.frame_pass import AttentionMaps, Prompt
from mobile_vla_ros.policy.frames import check_features, check_pixels
from mobile_vla_ros.policy.heads.network import ActionHead
from mobile_vla_ros.policy.kosmos import backbone_sizes
from mobile_vla_ros.policy.model import PolicyModel
from mobile_vla_ros.policy.precision import SMALL, Precision
from mobile_vla_ros.policy.prompt import PromptReader
from mobile_vla_ros.policy.provenance import Provenance
from mobile_vla_ros.policy.requests import without_head

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mobile_vla_ros.policy.adapters import Adapters
    from mobile_vla_ros.policy.plan import Coverage

BATCH = 8


class Policy(AskedPolicy):
    """A loaded policy; made by ``load_policy``.

    Attributes:
        config: what it was trained with.
        device: where it runs.
        precision: in which number formats.
        provenance: where it comes from.
        coverage: how checkpoint and model matched.
        adapters: the LoRA adapters that were merged, or None.
        model: the network itself, for training and analysis.
        runtime: ``torch``.
    """

    runtime = "torch"

    def __init__(
        self,
        *,
        model: PolicyModel,
        config: PolicyConfig,
        prompts: PromptReader | None,
        provenance: Provenance,
        coverage: Coverage,
        adapters: Adapters | None,
        device: torch.device,
        precision: Precision,
    ) -> None:
        super().__init__(config, provenance, prompts)
        self.model = model
        self.coverage = coverage
        self.adapters = adapters
        self.device = device
        self.precision = precision
        self._parameters = sum(weight.numel() for weight in model.parameters())
        self._graphs = None
        if device.type == "cuda" and config.head is not None and not precision.quantised:
            from mobile_vla_ros.policy.graphs import FrameGraphs

            self._graphs = FrameGraphs(model, config, device)

    @property
    def dtype(self) -> torch.dtype:
        """What the backbone computes in."""
        return self.precision.compute

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights as they were loaded."""
        return sum(p.numel() * p.element_size() for p in self.model.parameters())

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the backbone; see ``kosmos.backbone_sizes``."""
        return backbone_sizes(self.model.backbone.config)

    @property
    def width(self) -> int:
        """D, the width of contexts and features."""
        return self.model.backbone.text_model.model.embed_tokens.weight.shape[1]

    def preprocess(self, images: np.ndarray | Tensor) -> Tensor:
        """Turns camera frames into model input.

        Args:
            images: uint8 [N, H, W, 3] or [H, W, 3], RGB.

        Returns:
            float32 [N, 3, S, S] on the policy's device.

        Raises:
            PolicyError: not uint8 RGB images.
        """
        return preprocess.preprocess(
            images,
            self.config.image_size,
            self.config.image_mean,
            self.config.image_std,
            self.device,
        )

    def _embed(self, instruction: str, ids: list[int]) -> Prompt:
        with torch.inference_mode():
            return self.model.prompt(instruction, ids)

    def forget_prompts(self) -> None:
        """Drops remembered prompts; needed after the embeddings or the action token changed."""
        super().forget_prompts()
        if self._graphs is not None:
            self._graphs.forget_prompts()

    @torch.inference_mode()
    def encode_images(self, pixel_values: np.ndarray | Tensor) -> Tensor:
        """Encodes frames, without an instruction.

        Args:
            pixel_values: [N, 3, S, S], preprocessed.

        Returns:
            The image context, float32 [N, 64, D].
        """
        pixels = self._pixels(pixel_values)
        pieces = [self.model.context(piece).float() for piece in pixels.split(BATCH)]
        return torch.cat(pieces)

    @torch.inference_mode()
    def encode_frames(
        self,
        pixel_values: np.ndarray | Tensor | None,
        instruction: str,
        *,
        context: Tensor | None = None,
    ) -> Tensor:
        """Encodes frames as the policy reads them, each on its own.

        Args:
            pixel_values: [N, 3, S, S], preprocessed; ignored when ``context`` is given.
            instruction: what the robot shall do.
            context: an image context [N, 64, D] to use instead of the frames' own (masked or
                exchanged tokens, for instance).

        Returns:
            The hidden states at the action token, float32 [N, latent, D].

        Raises:
            PolicyError: there is no action head, or the instruction is too long.
        """
        prompt = self.prepare(instruction)
        if context is not None:
            contexts = context.to(self.device).split(BATCH)
            return torch.cat([self.model.features(piece, prompt).float() for piece in contexts])
        if pixel_values is None:
            raise PolicyError("give pixel_values or context")
        pieces = []
        for piece in self._pixels(pixel_values).split(BATCH):
            pieces.append(self.model.features(self.model.context(piece), prompt).float())
        return torch.cat(pieces)

    @torch.inference_mode()
    def look(self, image: np.ndarray | Tensor, instruction: str) -> tuple[Tensor, Tensor]:
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
        frames = preprocess.as_frames(image)
        if len(frames) != 1:
            raise PolicyError(f"one image is encoded at a time, not {len(frames)}")
        prompt = self.prepare(instruction)
        if self._graphs is not None:
            return self._graphs.look(frames, instruction, list(prompt.ids))
        context = self.model.context(self.preprocess(frames))
        feature = self.model.features(context, prompt).float()
        return feature[0], context.float().mean(1)[0]

    @torch.inference_mode()
    def encode_frames_plainly(
        self, pixel_values: Tensor, instruction: str, *, logits: bool = False
    ) -> Tensor:
        """What ``encode_frames`` gives, through transformers' own forward passes.

        Not after ``pack``, which leaves them nothing to call.

        Args:
            pixel_values: [N, 3, S, S], preprocessed.
            instruction: what the robot shall do.
            logits: compute the language-model head as well, as the original code does.

        Returns:
            float32 [N, latent, D].
        """
        ids = self.token_ids(instruction)
        context = self.model.plain_context(self._pixels(pixel_values))
        return self.model.plain_features(context, ids, logits=logits).float()

    @torch.inference_mode()
    def attention(self, pixel_values: Tensor, instruction: str) -> AttentionMaps:
        """Where each layer looks, computed with explicit softmax.

        Args:
            pixel_values: [N, 3, S, S], preprocessed.
            instruction: what the robot shall do.

        Returns:
            The attention weights of the vision model, of the projection, and of the action
            token in every text layer (place 0 is ``<s>``, 1 to 64 are the image's).
        """
        maps = AttentionMaps()
        context = self.model.context(self._pixels(pixel_values), maps)
        self.model.features(context, self.prepare(instruction), maps)
        return maps

    @torch.inference_mode()
    def decode(self, features: np.ndarray | Tensor) -> Tensor:
        """Features [B, T, latent, D] to normalised actions, float32 [B, T, chunk, dof].

        The values lie in [-1, 1] (but for a 7-DoF head's gripper, the last one, which has no
        Tanh).

        Raises:
            PolicyError: there is no action head, or the shape is another.
        """
        head = self.head
        return head(self._features(features))

    @torch.inference_mode()
    def latents(self, features: np.ndarray | Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features [B, T, latent, D] to the LSTM's output and last states.

        Returns:
            Output [B, T, H], hidden state h_n [layers, B, H], cell state c_n [layers, B, H].

        Raises:
            PolicyError: as ``decode``.
        """
        return self.head.recur(self._features(features))

    @torch.inference_mode()
    def cells(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The LSTM's states after every step of the window.

        Returns:
            Hidden and cell states, both [B, T, layers, H].
        """
        rnn = self.head.rnn
        features = self._features(features).flatten(2)
        state: tuple[Tensor, Tensor] | None = None
        hidden, cell = [], []
        for step in range(features.shape[1]):
            _, state = rnn(features[:, step : step + 1], state)
            hidden.append(state[0].transpose(0, 1))
            cell.append(state[1].transpose(0, 1))
        return torch.stack(hidden, 1), torch.stack(cell, 1)

    def newest_actions(self, features: Sequence[Tensor]) -> np.ndarray:
        """The newest frame's normalised actions, from the features of a window.

        Args:
            features: [latent, D] each, oldest first.

        Returns:
            float32 [chunk, dof].
        """
        return self.decode(torch.stack(list(features))[None])[0, -1].cpu().numpy()

    @property
    def packs(self) -> bool:
        """Whether ``pack`` and ``warm_up`` lay the weights out anew on this machine."""
        from mobile_vla_ros.policy.packed import can_pack

        sample = torch.empty(0, dtype=self.dtype, device=self.device)
        return not self.precision.quantised and can_pack(sample, float32=self._is_large)

    def pack(self) -> int:
        """Lays the backbone's weights out for the processor, once and for all.

        It is for bfloat16 on a CPU that multiplies it in hardware, and for float32 on a CPU when
        the policy is large; it about halves the time of a frame. Elsewhere it does nothing.
        Afterwards the backbone can neither be trained nor saved, nor run through
        ``encode_frames_plainly``.

        Returns:
            How many layers were packed.
        """
        from mobile_vla_ros.policy.packed import pack

        with torch.inference_mode():
            return pack(self.model.backbone, float32=self._is_large)

    @property
    def _is_large(self) -> bool:
        # Counted while loading, as packing hides weights.
        return self._parameters >= SMALL

    def warm_up(self, instruction: str = "go", image_shape: tuple[int, int] = (720, 1280)) -> None:
        """Makes ready to drive: packs weights, captures graphs, runs the whole path once.

        After it the first real frame meets no first-call costs.

        Args:
            instruction: any; best the one that will be followed.
            image_shape: height and width of the camera's frames.
        """
        self.pack()
        image = np.random.default_rng(0).integers(0, 256, (*image_shape, 3), dtype=np.uint8)
        if self.config.head is None:
            self.encode_images(self.preprocess(image))
            return
        features = self.encode_camera_frame(image, instruction)[None]
        for length in range(1, self.config.window_size + 1):
            self.decode(features[None].expand(1, length, -1, -1))

    @property
    def head(self) -> ActionHead:
        """The action head.

        Raises:
            PolicyError: there is none.
        """
        if self.model.act_head is None:
            raise without_head(self.provenance)
        return self.model.act_head

    def _pixels(self, pixel_values: np.ndarray | Tensor) -> Tensor:
        size = self.config.image_size
        pixel_values = torch.as_tensor(pixel_values)
        kind = str(pixel_values.dtype)
        check_pixels(pixel_values.is_floating_point(), kind, pixel_values.shape, size)
        return pixel_values.to(self.device)

    def _features(self, features: np.ndarray | Tensor) -> Tensor:
        features = torch.as_tensor(features)
        check_features(features.shape, self.config.latent, self.width)
        return features.to(self.device, torch.float32)
