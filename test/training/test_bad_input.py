"""What cannot be trained on is refused in one sentence, before or at the first step."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from mobile_vla_ros.episodes import EpisodeWriter
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.training import checkpoints
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.train import train

MakeRun = Callable[..., RunConfig]


def refusal(run: RunConfig, data: Path | None, out: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        train(run, data, out, **options)
    sentence = str(caught.value)
    assert "\n" not in sentence
    assert not out.exists()
    return sentence


def test_no_folder(make_run: MakeRun, tmp_path: Path) -> None:
    assert "is no folder" in refusal(make_run(), tmp_path / "nowhere", tmp_path / "out")
    assert "--data" in refusal(make_run(), None, tmp_path / "out")


def test_no_episode_matches(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    run = make_run(train_dataset={"episode_pattern": "*2box*"})
    sentence = refusal(run, episodes, tmp_path / "out")
    assert "matches '*2box*'" in sentence
    assert "6 episodes there" in sentence


def test_axes_that_the_data_do_not_have(
    make_run: MakeRun, tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    write_episode(tmp_path / "episode_a_1box_left.h5", axes=("linear.x", "angular.z"))
    run = make_run(action_axes=["linear.x", "linear.y"])
    sentence = refusal(run, tmp_path, tmp_path / "out")
    assert "linear.y" in sentence
    assert "episode_a_1box_left.h5" in sentence


def test_a_run_file_of_another_field(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    run = make_run(train_dataset={"field": "open"})
    sentence = refusal(run, episodes, tmp_path / "out")
    assert "is of the lab field but the run file's train_dataset.field wants open" in sentence
    with pytest.raises(InputError, match="field"):
        make_run(train_dataset={"field": "moon"})


def test_labels_that_are_not_finite(
    make_run: MakeRun, tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    write_episode(tmp_path / "episode_b_1box_left.h5", nan_row=5)
    sentence = refusal(make_run(), tmp_path, tmp_path / "out")
    assert "episode_b_1box_left.h5: row 5" in sentence


def test_what_cannot_be_used_is_named_and_the_rest_is_trained_on(
    make_run: MakeRun, tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    for number in range(3):
        write_episode(tmp_path / f"episode_{number}_1box_left.h5", seed=number)
    write_episode(tmp_path / "episode_nan_1box_left.h5", nan_row=5)
    write_episode(tmp_path / "episode_arm_1box_left.h5", axes=("linear.x", "linear.y"))
    (tmp_path / "episode_text_1box_left.h5").write_text("no HDF5")
    (tmp_path / "episode_gone_1box_left.h5").symlink_to(tmp_path / "nowhere.h5")
    broken = write_episode(tmp_path / "episode_torn_1box_left.h5", seed=9)
    with h5py.File(broken, "r+") as file:
        place = file["images"].id.get_chunk_info(7) if file["images"].chunks else None
    assert place is not None
    with broken.open("r+b") as stream:
        stream.truncate(place.byte_offset + 10)
    told: list[str] = []
    run = make_run(trainer={"max_epochs": 1})
    result = train(run, tmp_path, tmp_path / "out", say=told.append)
    assert result.training_episodes + result.validation_episodes == 3
    left_out = [sentence for sentence in told if sentence.startswith("left out: ")]
    assert len(left_out) == 5
    for name in ("nan", "arm", "text", "gone", "torn"):
        assert any(f"episode_{name}_1box_left.h5" in sentence for sentence in left_out), name


def test_a_picture_that_lost_bytes_in_the_middle_is_not_trained_on(
    make_run: MakeRun, tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    for number in range(3):
        write_episode(tmp_path / f"episode_{number}_1box_left.h5", seed=number)
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    whole = encode_jpeg(pixels)
    middle = len(whole) // 2
    with EpisodeWriter(
        tmp_path / "episode_lost_1box_left.h5",
        scenario="1box_left",
        instruction="go left",
        action_axes=("linear.x", "linear.y", "angular.z"),
        image_format="jpeg",
        flush=False,
    ) as writer:
        for row in range(18):
            data = whole[:middle] + whole[middle + 400 :] if row == 4 else whole
            stamp = 100 + 0.4 * row
            writer.append(
                jpeg=data,
                action=[0.3, 0.0, 0.1],
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
            )
        writer.finish()
    told: list[str] = []
    result = train(
        make_run(trainer={"max_epochs": 1}), tmp_path, tmp_path / "out", say=told.append
    )
    assert result.training_episodes + result.validation_episodes == 3
    assert any("bytes of the frame of row 4 are missing" in sentence for sentence in told)


def test_episodes_shorter_than_a_window(
    make_run: MakeRun, tmp_path: Path, write_episode: Callable[..., Path]
) -> None:
    write_episode(tmp_path / "episode_a_1box_left.h5", rows=7)
    sentence = refusal(make_run(), tmp_path, tmp_path / "out")
    assert "has 8 frames" in sentence
    assert "7 rows" in sentence


def test_a_starting_checkpoint_of_another_size(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    state = {
        "backbone.text_model.model.embed_tokens.weight": torch.zeros(10, 8),
        "act_head.rnn.weight_ih_l0": torch.zeros(4, 8),
    }
    path = tmp_path / "other.pt"
    torch.save({"state_dict": state}, path)
    sentence = refusal(make_run(model_load_path=str(path)), episodes, tmp_path / "out")
    assert "other.pt" in sentence
    assert "size" in sentence or "lacks" in sentence


def test_a_missing_backbone(make_run: MakeRun, episodes: Path, tmp_path: Path) -> None:
    run = make_run(model_path=str(tmp_path))
    assert "no Kosmos-2 directory" in refusal(run, episodes, tmp_path / "out")


def test_a_missing_checkpoint_to_start_from_is_named_before_the_episodes_are_read(
    make_run: MakeRun, tmp_path: Path
) -> None:
    run = make_run(model_load_path=str(tmp_path / "none.pt"))
    assert "none.pt does not exist" in refusal(run, tmp_path / "nowhere", tmp_path / "out")


def test_a_device_that_is_not_there_is_named_before_the_episodes_are_read(
    make_run: MakeRun, tmp_path: Path
) -> None:
    sentence = refusal(make_run(), tmp_path / "nowhere", tmp_path / "out", accelerator="quantum")
    assert "trainer settings cannot be used" in sentence
    assert "quantum" in sentence


def test_devices_that_nobody_has_are_one_sentence(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    sentence = refusal(make_run(trainer={"devices": "two"}), episodes, tmp_path / "out")
    assert "trainer settings cannot be used" in sentence
    assert not (tmp_path / "out").exists()


def test_a_run_that_cannot_begin_leaves_a_folder_that_was_there(
    make_run: MakeRun, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="is no folder"):
        train(make_run(), tmp_path / "nowhere", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_expert_labels_need_simulated_episodes(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    run = make_run(train_dataset={"labels": "expert"})
    assert "simulated field" in refusal(run, episodes, tmp_path / "out")


def test_resuming_from_weights_without_training_state(
    make_run: MakeRun, episodes: Path, tmp_path: Path, golden: Path
) -> None:
    checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    sentence = refusal(make_run(), episodes, tmp_path / "out", resume=checkpoint)
    assert "model_load_path" in sentence


def test_a_learning_rate_that_explodes_is_named(
    make_run: MakeRun, episodes: Path, tmp_path: Path
) -> None:
    class Break(pl.Callback):
        def on_train_start(self, trainer: pl.Trainer, module: Any) -> None:
            with torch.no_grad():
                module.model.act_head.velocities.mlp[6].bias.fill_(float("nan"))

    with pytest.raises(InputError, match="lower learning_rate"):
        train(make_run(), episodes, tmp_path, callbacks=[Break()])


@pytest.mark.parametrize("how", ["write", "sync"])
def test_a_disk_that_fills_while_saving_leaves_the_earlier_checkpoint(
    make_run: MakeRun,
    episodes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: str,
) -> None:
    train(make_run(trainer={"max_epochs": 1}), episodes, tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")}
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    class Full:
        def write(self, _block: bytes) -> int:
            raise full

        def flush(self) -> None:
            raise full

    if how == "write":
        save = torch.save
        monkeypatch.setattr(
            checkpoints.torch, "save", lambda checkpoint, _file: save(checkpoint, Full())
        )
    else:

        def sync(_descriptor: int) -> None:
            raise full

        monkeypatch.setattr(os, "fsync", sync)
    with pytest.raises(InputError) as caught:
        train(make_run(), episodes, tmp_path, resume=tmp_path / "last.ckpt")
    assert "cannot save" in str(caught.value)
    assert "No space left on device" in str(caught.value)
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.ckpt")} == before
    assert not list(tmp_path.glob(".*.ckpt.*"))
