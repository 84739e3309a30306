"""On a GPU: one frame as a single CUDA graph, from the pinned upload to the action token.

A frame launches some thousand small kernels; replayed as a graph they follow each other without
the interpreter in between. Shapes are static: prompts are padded after the action tokens to a
few lengths, and there is one graph per camera resolution and length.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mobile_vla_ros.policy import preprocess
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.policy.frame_pass import Prompt
from mobile_vla_ros.policy.model import PolicyModel

# Lengths grow in steps of this many tokens; padding costs less than one more graph would.
STEP = 32
WARM_RUNS = 3
PROMPTS_KEPT = 16


@dataclass
class FrameGraph:
    """A captured graph and the tensors it reads and writes in place."""

    graph: torch.cuda.CUDAGraph
    upload: Tensor
    """uint8 [H, W, 3] in pinned host memory."""
    image: Tensor
    """uint8 [1, H, W, 3] on the device."""
    prompt: Prompt
    """Its tensors are overwritten when the instruction changes."""
    feature: Tensor
    """float32 [1, latent, D]."""
    context: Tensor
    """float32 [1, D], the mean of the image context over its tokens."""
    uploaded: torch.cuda.Event


class FrameGraphs:
    """Captures graphs as they are needed, and replays them.

    Args:
        model: the network, on a CUDA device.
        config: for the preprocessing.
        device: where.
    """

    def __init__(self, model: PolicyModel, config: PolicyConfig, device: torch.device) -> None:
        self._model = model
        self._config = config
        self._device = device
        self._graphs: dict[tuple[int, int, int], FrameGraph] = {}
        self._prompts: OrderedDict[tuple[int, ...], Prompt] = OrderedDict()
        self._pool: Any = None

    @torch.inference_mode()
    def look(
        self, image: np.ndarray | Tensor, instruction: str, ids: list[int]
    ) -> tuple[Tensor, Tensor]:
        """uint8 [H, W, 3] RGB to the feature at the action tokens, and the mean image context.

        Returns:
            float32 [latent, D] and float32 [D].
        """
        frame = preprocess.as_frames(image)[0]
        prompt = self._prompt(instruction, ids)
        key = (frame.shape[0], frame.shape[1], prompt.base.shape[1])
        held = self._graphs.get(key)
        if held is None:
            held = self._graphs[key] = self._capture(frame, prompt)
        # The host buffer may be written again only after the last upload has read it.
        held.uploaded.synchronize()
        held.upload.copy_(frame)
        held.image.copy_(held.upload[None], non_blocking=True)
        held.uploaded.record()
        if held.prompt.ids != prompt.ids:
            held.prompt = _overwritten(held.prompt, prompt)
        held.graph.replay()
        return held.feature[0].clone(), held.context[0].clone()

    def forget_prompts(self) -> None:
        """Drops remembered prompts and graphs; needed after weights changed."""
        self._prompts.clear()
        self._graphs.clear()

    def _prompt(self, instruction: str, ids: list[int]) -> Prompt:
        key = tuple(ids)
        prompt = self._prompts.get(key)
        if prompt is None:
            tokens = self._model.backbone.image_to_text_projection.latent_query.shape[0]
            used = len(ids) - 1 + tokens + self._model.latent
            # At least one place of padding, so that the mask is always there.
            length = (used // STEP + 1) * STEP
            prompt = self._model.prompt(instruction, ids, length=length)
            self._prompts[key] = prompt
            if len(self._prompts) > PROMPTS_KEPT:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(key)
        return prompt

    def _capture(self, frame: Tensor, prompt: Prompt) -> FrameGraph:
        upload = torch.empty(frame.shape, dtype=torch.uint8, pin_memory=True)
        upload.copy_(frame)
        image = upload[None].to(self._device)
        own = _owned(prompt)
        stream = torch.cuda.Stream(self._device)
        stream.wait_stream(torch.cuda.current_stream(self._device))
        with torch.cuda.stream(stream):
            for _ in range(WARM_RUNS):
                self._run(image, own)
        torch.cuda.current_stream(self._device).wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool, stream=stream):
            feature, context = self._run(image, own)
        # Graphs never run at the same time, so they may share their scratch memory.
        self._pool = graph.pool()
        uploaded = torch.cuda.Event()
        uploaded.record()
        return FrameGraph(graph, upload, image, own, feature, context, uploaded)

    def _run(self, image: Tensor, prompt: Prompt) -> tuple[Tensor, Tensor]:
        config = self._config
        grey = preprocess.resize(image.permute(0, 3, 1, 2), config.image_size)
        pixels = preprocess.normalise(grey, config.image_mean, config.image_std)
        context = self._model.context(pixels)
        return self._model.features(context, prompt).float(), context.float().mean(1)


def _owned(prompt: Prompt) -> Prompt:
    """A copy whose tensors belong to one graph."""
    assert prompt.action_mask is not None
    return Prompt(
        prompt.instruction,
        prompt.ids,
        prompt.base.clone(),
        prompt.image_start,
        prompt.action_index.clone(),
        prompt.action_mask.clone(),
    )


def _overwritten(held: Prompt, new: Prompt) -> Prompt:
    """Copies the new prompt into the tensors a graph reads."""
    assert held.action_mask is not None
    assert new.action_mask is not None
    held.base.copy_(new.base)
    held.action_index.copy_(new.action_index)
    held.action_mask.copy_(new.action_mask)
    return Prompt(
        new.instruction, new.ids, held.base, held.image_start, held.action_index, held.action_mask
    )
