"""The feature cache: same losses, no second call of the backbone, refused when features move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mobile_vla_ros.training.cache import episode_view, weights_digest, why_no_cache
from mobile_vla_ros.training.frames import write_array
from mobile_vla_ros.training.preparation import prepare
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.train import train

MakeRun = Callable[..., RunConfig]
VIEWS = {"colour": 0.2, "crop": 0.05, "mirror": 0.5, "views": 4}


class Losses(pl.Callback):
    """Notes every step's loss, and how often the backbone had been called by then."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.calls: list[int] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: Any, outputs: Any, *_: Any) -> None:
        self.values.append(float(outputs["loss"].detach()))
        self.calls.append(module.encoder_calls)


def test_losses_with_and_without_the_cache_are_the_same(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    with_cache, without = Losses(), Losses()
    train(make_run(), episodes, tmp_path / "a", callbacks=[with_cache])
    train(make_run(feature_cache=False), episodes, tmp_path / "b", callbacks=[without])
    assert len(with_cache.values) == len(without.values) > 2
    np.testing.assert_allclose(with_cache.values, without.values, rtol=1e-5)


def test_with_the_cache_the_backbone_is_never_called_in_an_epoch(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    watch = Losses()
    train(make_run(augmentation=VIEWS), episodes, tmp_path, callbacks=[watch])
    # All calls are in the preparation: 4 views of the training episodes and 1 of the others.
    assert set(watch.calls) == {4 * 4 + 2}


def test_a_second_run_finds_every_feature_on_disk(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(augmentation=VIEWS)
    first = prepare(run, episodes, tmp_path)
    second = prepare(run, episodes, tmp_path)
    assert first.module.encoder_calls > 0
    assert second.module.encoder_calls == 0
    assert torch.equal(first.train.features, second.train.features)


def test_other_weights_or_another_prompt_miss_the_cache(
    make_run: MakeRun, episodes: Path, tmp_path: Path, golden: Path
) -> None:
    prepare(make_run(), episodes, tmp_path)
    other = golden / "mobile_vla_lora" / "pretrained"
    assert prepare(make_run(model_path=str(other)), episodes, tmp_path).module.encoder_calls > 0
    again = prepare(make_run(), episodes, tmp_path)
    assert again.module.encoder_calls == 0
    assert len(list((tmp_path / "features").iterdir())) == 2


def test_a_view_is_one_transform_per_episode_and_view_0_is_the_recording(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(augmentation=VIEWS)
    first, second = prepare(run, episodes, tmp_path).split.train[:2]
    drawn = {episode_view(run.augmentation, first, view, run.seed) for view in range(4)}
    assert len(drawn) == 4
    assert episode_view(run.augmentation, first, 1, run.seed) in drawn
    assert episode_view(run.augmentation, second, 1, run.seed) not in drawn
    assert not episode_view(run.augmentation, first, 0, run.seed).mirror


def test_a_mirrored_view_has_the_mirrored_prompt_and_labels(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    plain = prepare(make_run(), episodes, tmp_path).train
    settings = {"mirror": 1.0, "views": 2}
    both = prepare(make_run(augmentation=settings), episodes, tmp_path).train
    assert torch.equal(both.labels[0], plain.labels[0])
    assert torch.equal(both.labels[1, ..., 0], plain.labels[0, ..., 0])
    assert torch.allclose(both.labels[1, ..., 1], -plain.labels[0, ..., 1], atol=1e-6)
    assert not torch.equal(both.features[1], both.features[0])


def test_validation_is_never_augmented(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    plain = prepare(make_run(), episodes, tmp_path).validation
    augmented = prepare(make_run(augmentation=VIEWS), episodes, tmp_path).validation
    assert augmented.views == 1
    assert torch.equal(plain.features, augmented.features)


def test_one_sided_training_is_never_mirrored(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    said: list[str] = []
    run = make_run(
        augmentation={"mirror": 1.0, "colour": 0.1, "views": 3},
        train_dataset={"episode_pattern": "*left*", "validation_pattern": "*right*"},
    )
    prepared = prepare(run, episodes, tmp_path, say=said.append)
    assert any("no mirror" in sentence for sentence in said)
    assert prepared.train.views == 3
    assert torch.equal(prepared.train.labels[1], prepared.train.labels[0])
    assert all("right" in episode.path.name for episode in prepared.split.validation)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"train_setup": {"train_action_token": True}}, "action token"),
        ({"train_setup": {"freeze_backbone": False}}, "mode is full"),
        ({"train_setup": {"lora_enable": True}}, "mode is lora"),
        ({"train_setup": {"train_text_embedding": True}}, "part is trained"),
    ],
)
def test_the_cache_is_refused_with_its_reason(
    make_run: MakeRun,
    episodes: Path,
    tmp_path: Path,
    overrides: dict[str, Any],
    words: str,
) -> None:
    with pytest.raises(RunError, match=words):
        prepare(make_run(**overrides, feature_cache=True), episodes, tmp_path)
    run = make_run(**overrides)
    assert why_no_cache(run) is not None


def test_the_digest_changes_with_a_name_a_value_or_a_shape() -> None:
    base = {"a": torch.zeros(2, 3), "b": torch.tensor(1.0)}
    digests = {
        weights_digest(base),
        weights_digest({**base, "a": torch.zeros(3, 2)}),
        weights_digest({**base, "a": torch.full((2, 3), 1e-8)}),
        weights_digest({"a": base["a"], "c": base["b"]}),
        weights_digest({**base, "b": torch.tensor(1.5)}),
    }
    assert len(digests) == 5
    assert weights_digest(dict(reversed(base.items()))) in digests


def test_a_full_disk_is_said_to_be_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(file: object, values: object) -> None:
        # As numpy says it: without a number or a reason of the system's.
        raise OSError("1505280 requested and 61440 written")

    monkeypatch.setattr(np, "save", save)
    with pytest.raises(RunError, match="the disk is full; make room") as caught:
        write_array(tmp_path / "frames.npy", np.zeros(3))
    assert "None" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
