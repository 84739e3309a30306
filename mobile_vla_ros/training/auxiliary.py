"""Losses that only training knows: where bottle and boxes are, read from inside the network.

A small network trained from nothing finds it hard to carry an object's place in the picture as
far as the action token. Extra read-outs ask for it: a heat map over the image patches, bearing and
distance at the action token, and the same at the image's latent tokens, of which each of the first
stands for a word (a colour, a kind of thing, an obstacle, a person): the text has then to look up
a word's token alone. They are not part of the policy.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mobile_vla_ros.training.processes import shared_mean
from mobile_vla_ros.training.run_schema import AuxiliarySettings

BEARING_SCALE = 0.5  # rad; brings both quantities to about 1
DISTANCE_SCALE = 1.5  # m
SPREAD = 0.7  # patches; width of an object's heat
MOST_WORDS = 14


class AuxiliaryHeads(nn.Module):
    """The read-outs, for up to `objects` kinds of object."""

    def __init__(self, backbone: Any, settings: AuxiliarySettings, objects: int = 3) -> None:
        super().__init__()
        vision = backbone.vision_model.model
        self.settings = settings
        self.objects = objects
        self.patches = nn.Linear(vision.config.hidden_size, objects)
        self.place = nn.Linear(backbone.text_model.config.embed_dim, 2 * objects)
        # Not a submodule: the vision model belongs to the policy, and is only watched.
        self._layers = [vision.post_layernorm, backbone.image_to_text_projection.x_attn.out_proj]
        self._seen: Tensor | None = None
        self._latents: Tensor | None = None
        self.word_patches: nn.Linear | None = None
        self.word_places: nn.Linear | None = None
        if settings.words:
            width = backbone.text_model.config.embed_dim
            self.word_patches = nn.Linear(vision.config.hidden_size, MOST_WORDS)
            # Whether it is in the picture, bearing, distance.
            self.word_places = nn.Linear(width, 3)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Keeps the hidden states of patches and latents of the forward pass inside the block."""

        def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            if output.dim() == 3:
                self._seen = output[:, 1:]

        def keep_latents(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._latents = output

        handles = [
            layer.register_forward_hook(hook)
            for layer, hook in zip(self._layers, (keep, keep_latents), strict=True)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
            self._seen = self._latents = None

    def losses(
        self, features: Tensor, objects: Tensor, words: Tensor | None = None
    ) -> dict[str, Tensor]:
        """The weighted extra losses.

        Args:
            features: [B, T, latent, D].
            objects: [B, T, N, 5], see `EpisodeLabels`.
            words: [B, T, W, 5], likewise.
        """
        objects = objects.flatten(0, 1)[:, : self.objects]
        count = objects.shape[1]
        inside = ((objects[..., :2] > -0.05) & (objects[..., :2] < 1.05)).all(-1)
        seen = (objects[..., 2] > 0.5) & inside & objects.isfinite().all(-1)
        weight = seen.float()
        target = torch.nan_to_num(objects)

        def part(each: Tensor) -> Tensor:
            return shared_mean((each * weight).sum(), weight.sum(), 1)[0]

        result = {}
        if self.settings.heat_map and self._seen is not None:
            each = heat_loss(self.patches(self._seen), target)
            result["heat_map"] = self.settings.heat_map * part(each)
        place = self.place(features.flatten(0, 1)[:, -1]).unflatten(-1, (self.objects, 2))
        place = place[:, :count].float()
        for index, (name, strength, scale) in enumerate(
            (
                ("bearing", self.settings.bearing, BEARING_SCALE),
                ("distance", self.settings.distance, DISTANCE_SCALE),
            )
        ):
            if strength:
                each = functional.smooth_l1_loss(
                    place[..., index], target[..., 3 + index] / scale, reduction="none", beta=0.2
                )
                result[name] = strength * part(each)
        if words is not None and self.word_patches is not None and self._latents is not None:
            result |= self._word_losses(words.flatten(0, 1))
        return result

    def _word_losses(self, words: Tensor) -> dict[str, Tensor]:
        """Of [N, W, 5]: where the things of each word are, in patches and in latent tokens."""
        assert self.word_patches is not None
        assert self.word_places is not None
        assert self._latents is not None
        count = min(words.shape[1], self._latents.shape[1], MOST_WORDS)
        words = words[:, :count]
        seen = (words[..., 2] > 0.5) & words.isfinite().all(-1)
        weight, target = seen.float(), torch.nan_to_num(words)
        result = {}
        if self.settings.heat_map and self._seen is not None:
            each = heat_loss(self.word_patches(self._seen), target)
            mean = shared_mean((each * weight).sum(), weight.sum(), 1)[0]
            result["word_heat_map"] = self.settings.heat_map * mean
        there, bearing, distance = self.word_places(self._latents[:, :count]).float().unbind(-1)
        presence = functional.binary_cross_entropy_with_logits(there, weight, reduction="none")
        mean = shared_mean(presence.sum(), torch.ones_like(weight).sum(), 1)[0]
        result["word_presence"] = self.settings.words * mean
        place = functional.smooth_l1_loss(
            torch.stack([bearing, distance], -1),
            target[..., 3:] / target.new_tensor([BEARING_SCALE, DISTANCE_SCALE]),
            reduction="none",
            beta=0.2,
        ).sum(-1)
        mean = shared_mean((place * weight).sum(), weight.sum(), 1)[0]
        result["word_places"] = self.settings.words * mean
        return result


def heat_loss(read: Tensor, target: Tensor) -> Tensor:
    """How far read-outs of patches are from where objects are.

    Args:
        read: [N, patches, K or more], a logit for each patch and object.
        target: [N, K, 2 or more], column and row as shares of the picture first.

    Returns:
        [N, K], cross-entropies in nats.
    """
    logits = read[..., : target.shape[1]].transpose(1, 2)
    heat = heat_map(target[..., :2], round(logits.shape[-1] ** 0.5))
    return -(heat * functional.log_softmax(logits.float(), -1)).sum(-1)


def heat_map(places: Tensor, side: int) -> Tensor:
    """Where objects are as a distribution over patches.

    Args:
        places: [..., 2], column and row as shares of the picture.
        side: patches per row and column.

    Returns:
        [..., side * side], adding up to 1, row by row.
    """
    centres = (torch.arange(side, device=places.device) + 0.5) / side
    across = (-((places[..., :1] - centres) * side / SPREAD).square() / 2).softmax(-1)
    down = (-((places[..., 1:2] - centres) * side / SPREAD).square() / 2).softmax(-1)
    return (down[..., :, None] * across[..., None, :]).flatten(-2)
