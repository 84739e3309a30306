"""The Lightning module: which weights move, the loss, the optimiser, the checkpoint's layout."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from torch import Tensor, nn

from mobile_vla_ros.policy.familiarity import FeatureStatistics
from mobile_vla_ros.policy.frame_pass import together
from mobile_vla_ros.policy.model import PolicyModel
from mobile_vla_ros.policy.preprocess import normalise
from mobile_vla_ros.policy.prompt import PromptReader
from mobile_vla_ros.training import processes
from mobile_vla_ros.training.auxiliary import AuxiliaryHeads
from mobile_vla_ros.training.feature_sample import FeatureSample
from mobile_vla_ros.training.losses import masked_huber
from mobile_vla_ros.training.processes import total
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.trainable import (
    ADAPTERS,
    BACKBONE,
    choose_trainable,
    kind_of,
)

# RoboVLMs' classes carry the language-model head, tied to the embedding table; ours leave it out.
TIED = (
    ("text_model.lm_head.weight", "text_model.model.embed_tokens.weight"),
    (
        "base_model.model.text_model.lm_head.weight",
        "base_model.model.text_model.model.embed_tokens.weight",
    ),
)


class PolicyTraining(pl.LightningModule):
    """Trains a policy on windows.

    The names in `state_dict` are RoboVLMs': `model.backbone.*`, `model.act_head.*`,
    `model.action_token`.

    Args:
        model: the network, weights loaded, adapters attached.
        run: the run.
        reader: turns instructions into token ids.
        metadata: what goes into the checkpoint beside the weights, under `mobile_vla`.
    """

    def __init__(
        self,
        model: PolicyModel,
        run: RunConfig,
        reader: PromptReader,
        metadata: Mapping[str, Any],
    ) -> None:
        super().__init__()
        self.model = model
        self.run = run
        self.reader = reader
        self.metadata = dict(metadata)
        self.save_hyperparameters({"configs": dict(run.raw)})
        self.encoder_calls = 0
        self.sample: FeatureSample | None = None
        self._random_state: Tensor | None = None
        self._statistics: tuple[int, FeatureStatistics | None] | None = None
        self.auxiliary: AuxiliaryHeads | None = None
        if run.auxiliary.on:
            self.auxiliary = AuxiliaryHeads(model.backbone, run.auxiliary)
        choose_trainable(model, run)
        text = model.backbone.text_model.model
        dropout = bool(text.config.dropout or text.config.attention_dropout)
        checkpointing = run.setup.gradient_checkpointing
        self._plain = run.mode != "frozen" and (dropout or checkpointing)
        if run.mode != "frozen" and checkpointing:
            model.backbone.gradient_checkpointing_enable({"use_reentrant": False})

    # ---------------------------------------------------------------- forward

    def encode(self, images: Tensor, instructions: Sequence[str]) -> Tensor:
        """Frames to features.

        Args:
            images: uint8 [B, T, S, S, 3] RGB, already of the model's size.
            instructions: one per window, B.

        Returns:
            [B, T, latent, D].
        """
        self.encoder_calls += 1
        batch, length = images.shape[:2]
        mean, std = self.metadata["image_mean"], self.metadata["image_std"]
        pixels = normalise(images.flatten(0, 1).permute(0, 3, 1, 2), mean, std)
        # The lean pass has no dropout and no checkpointing: those live in transformers' forward.
        plain = self.training and self._plain
        with _gradients(self.run.mode != "frozen"):
            context = self.model.plain_context(pixels) if plain else self.model.context(pixels)
        context = context.unflatten(0, (batch, length))
        ids = {said: self.reader.ids(said) for said in dict.fromkeys(instructions)}
        # Sentences of as many tokens go through the text model together: where each window has
        # a sentence of its own, one pass for each would take longer than all the rest.
        alike: dict[int, list[int]] = {}
        for at, said in enumerate(instructions):
            alike.setdefault(len(ids[said]), []).append(at)
        features: list[Tensor | None] = [None] * batch
        for places in alike.values():
            chosen = context[places].flatten(0, 1)
            wanted = [instructions[at] for at in places]
            if plain:
                rows = torch.tensor([ids[text] for text in wanted], device=chosen.device)
                encoded = self.model.plain_features(chosen, rows.repeat_interleave(length, 0))
            else:
                known = {
                    text: self.model.prompt(text, ids[text]) for text in dict.fromkeys(wanted)
                }
                prompt = together([known[text] for text in wanted], length)
                encoded = self.model.features(chosen, prompt)
            for place, value in zip(places, encoded.unflatten(0, (-1, length)), strict=True):
                features[place] = value
        return torch.stack([value for value in features if value is not None])

    @torch.no_grad()
    def encode_frames(self, images: np.ndarray, instruction: str) -> np.ndarray:
        """uint8 [N, S, S, 3] and an instruction to float32 [N, latent, D], dropout off."""
        mode = self.training
        self.eval()
        try:
            batch = torch.from_numpy(np.array(images))[:, None].to(self._device_now())
            return self.encode(batch, [instruction] * len(batch))[:, 0].float().cpu().numpy()
        finally:
            self.train(mode)

    @torch.no_grad()
    def look(self, images: np.ndarray, instruction: str) -> tuple[np.ndarray, np.ndarray]:
        """Features and mean image contexts of frames, dropout off.

        Args:
            images: uint8 [N, S, S, 3] RGB.
            instruction: said with all of them.

        Returns:
            float32 [N, latent, D] and float32 [N, D].
        """
        mode = self.training
        self.eval()
        try:
            mean, std = self.metadata["image_mean"], self.metadata["image_std"]
            frames = torch.from_numpy(np.array(images)).to(self._device_now())
            context = self.model.context(normalise(frames.permute(0, 3, 1, 2), mean, std))
            prompt = self.model.prompt(instruction, self.reader.ids(instruction))
            features = self.model.features(context, prompt)
            return features.float().cpu().numpy(), context.float().mean(1).cpu().numpy()
        finally:
            self.train(mode)

    def decode(self, features: Tensor) -> Tensor:
        """[B, T, latent, D] to normalised velocities [B, T, chunk, dof]."""
        head = self.model.act_head
        if head is None:
            raise RunError("the network has no action head.")
        # In the weights' own precision: mixed precision gains nothing in so small a network, and
        # there is no LSTM in bfloat16 on processors without it.
        with torch.autocast(features.device.type, enabled=False):
            return head(features.to(next(head.parameters()).dtype))

    def losses(self, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The loss and its parts for one batch; `count` is the number of valid elements."""
        if "features" in batch:
            features = batch["features"]
            extra: dict[str, Tensor] = {}
        elif self.auxiliary is not None and "objects" in batch:
            with self.auxiliary.watch():
                features = self.encode(batch["images"], batch["instructions"])
                extra = self.auxiliary.losses(features, batch["objects"], batch.get("words"))
        else:
            features = self.encode(batch["images"], batch["instructions"])
            extra = {}
        predicted = self.decode(features)
        decay = self.run.step_decay if self.training else 1.0
        weights = batch.get("weights") if self.training else None
        beta = self.run.smooth_l1_beta if self.training else 1.0
        action, count = masked_huber(
            predicted, batch["labels"], batch["mask"], decay, weights, beta
        )
        total = action + sum(extra.values()) if extra else action
        return {"loss": total, "action": action, "count": count, **extra}

    # --------------------------------------------------------------- Lightning

    def train(self, mode: bool = True) -> PolicyTraining:
        """Training mode; a frozen backbone stays in evaluation mode, without dropout."""
        super().train(mode)
        if self.run.mode == "frozen":
            self.model.backbone.eval()
        return self

    def training_step(self, batch: Mapping[str, Any], _index: int) -> Tensor:
        parts = self.losses(batch)
        names = sorted(set(parts) - {"count"})
        size, said = self._together(batch, torch.stack([parts[name].detach() for name in names]))
        values = dict(zip(names, said, strict=True))
        self.log("train_loss", values["action"], on_epoch=True, prog_bar=True, batch_size=size)
        for name in set(names) - {"loss", "action"}:
            self.log(f"train_{name}", values[name], on_epoch=True, batch_size=size)
        if not torch.isfinite(values["loss"]):
            raise RunError(
                "the loss is not a finite number: lower learning_rate, or check the episodes."
            )
        return parts["loss"]

    def _together(self, batch: Mapping[str, Any], values: Tensor) -> tuple[int, Tensor]:
        """Windows in the step and mean of some values, over all processes; the same in each."""
        if processes.count() == 1:
            return len(batch["labels"]), values
        # A place holder is no window.
        windows = batch["mask"].flatten(1).any(1).sum().to(values)
        everywhere = total(torch.cat([values, windows[None]]))
        return int(everywhere[-1]), everywhere[:-1] / processes.count()

    def validation_step(self, batch: Mapping[str, Any], _index: int) -> None:
        parts = self.losses(batch)
        # Weighted by valid elements, so the batch size does not change the mean.
        self.log(
            "val_loss",
            parts["action"],
            prog_bar=True,
            on_epoch=True,
            batch_size=max(1, int(parts["count"])),
            sync_dist=True,
        )
        names = sorted(set(parts) - {"loss", "action", "count"})
        if names:
            size, said = self._together(batch, torch.stack([parts[name] for name in names]))
            for name, value in zip(names, said, strict=True):
                self.log(f"val_{name}", value, batch_size=size)

    def configure_optimizers(self) -> Any:
        groups = []
        for kind, parameters in parameter_groups(self).items():
            rate = (
                self.run.learning_rate
                if kind in (ADAPTERS, BACKBONE)
                else self.run.head_learning_rate
            )
            matrices = [p for p in parameters if p.dim() > 1]
            vectors = [p for p in parameters if p.dim() <= 1]
            for members, decay in ((matrices, self.run.weight_decay), (vectors, 0.0)):
                if members:
                    groups.append({"params": members, "lr": rate, "weight_decay": decay})
        optimizer = torch.optim.AdamW(groups)
        total = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warm_cosine(step, float(total), self.run.warmup)
        )
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        for head, table in TIED:
            if f"model.backbone.{table}" in state:
                state[f"model.backbone.{head}"] = state[f"model.backbone.{table}"]
        metadata = {
            key: value for key, value in self.metadata.items() if not key.startswith("image_")
        }
        statistics = self._feature_statistics()
        if statistics is not None:
            metadata["feature_statistics"] = {
                name: torch.tensor(value) for name, value in statistics.arrays().items()
            }
        metadata["auxiliary"] = {
            name: state.pop(name) for name in list(state) if name.startswith("auxiliary.")
        }
        metadata["random_state"] = torch.get_rng_state()
        if not metadata["auxiliary"]:
            del metadata["auxiliary"]
        checkpoint["mobile_vla"] = metadata

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        state = checkpoint["state_dict"]
        for head, _ in TIED:
            state.pop(f"model.backbone.{head}", None)
        metadata = checkpoint.get("mobile_vla") or {}
        state.update(metadata.get("auxiliary") or {})
        self._random_state = metadata.get("random_state")

    def on_train_start(self) -> None:
        # Dropout goes on with the random numbers it would have drawn without the interruption.
        if self._random_state is not None:
            torch.set_rng_state(self._random_state)
            self._random_state = None

    def _feature_statistics(self) -> FeatureStatistics | None:
        """Those of the weights as they are; made once per step at which something is saved."""
        if self.sample is None:
            return None
        step = self.trainer.global_step
        if self._statistics is None or self._statistics[0] != step:
            with self.trainer.precision_plugin.val_step_context():
                self._statistics = (step, self.sample.statistics(self.look))
        return self._statistics[1]

    def _device_now(self) -> torch.device:
        return next(self.model.parameters()).device


def warm_cosine(step: int, total: float, warmup: float) -> float:
    """Share of the learning rate at a step: linear warm-up, then cosine to a hundredth."""
    if not math.isfinite(total) or total < 1:
        return 1.0
    rising = warmup * total if warmup < 1 else warmup
    if step < rising:
        return (step + 1) / (rising + 1)
    along = min(1.0, (step - rising) / max(1.0, total - rising))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * along))


def parameter_groups(module: PolicyTraining) -> dict[str, list[nn.Parameter]]:
    """The trainable parameters by what they are part of."""
    groups: dict[str, list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(kind_of(name), []).append(parameter)
    return groups


def _gradients(on: bool) -> Any:
    return _nothing() if on else torch.no_grad()


def _nothing() -> Any:
    import contextlib

    return contextlib.nullcontext()
