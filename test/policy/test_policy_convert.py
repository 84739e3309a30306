"""A converted directory is the same policy, whole, and needs nothing else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from mobile_vla_ros.policy import CheckpointError, load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert
from mobile_vla_ros.policy.familiarity import feature_statistics

IMAGES = np.random.default_rng(4).integers(0, 256, (5, 60, 80, 3), dtype=np.uint8)


def test_it_loads_without_backbone_and_equals_its_source(golden: Path, tmp_path: Path) -> None:
    source = next((golden / "mobile_vla_lora").glob("*.ckpt"))
    convert(source, tmp_path / "out")
    moved = shutil.move(tmp_path / "out", tmp_path / "elsewhere")
    expected = load_policy(source, device="cpu", dtype="bfloat16")
    policy = load_policy(moved, device="cpu", dtype="bfloat16")
    for (name, ours), (_, theirs) in zip(
        policy.model.state_dict().items(), expected.model.state_dict().items(), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0, msg=name)
    np.testing.assert_array_equal(
        policy.predict_window(IMAGES, "go left"), expected.predict_window(IMAGES, "go left")
    )
    assert policy.provenance.kind == "converted"
    assert policy.provenance.sha256 == hashlib.sha256(source.read_bytes()).hexdigest()
    assert policy.config.action_axes == ("linear.x", "angular.z")
    assert not policy.config.action_axes_confirmed


def test_in_float32_it_equals_its_source_exactly(golden: Path, tmp_path: Path) -> None:
    source = next((golden / "robovlms_oxe_7dof").glob("*.pt"))
    convert(source, tmp_path / "out", dtype="float32")
    policy = load_policy(tmp_path / "out", device="cpu", dtype="float32")
    expected = load_policy(source, device="cpu", dtype="float32")
    pixels = policy.preprocess(IMAGES)
    torch.testing.assert_close(
        policy.encode_frames(pixels, "go"), expected.encode_frames(pixels, "go"), atol=0, rtol=0
    )
    assert (policy.config.dof, policy.config.window_size) == (7, 16)


def test_the_file_is_bfloat16_with_an_exact_head_under_the_checkpoints_own_names(
    golden: Path, tmp_path: Path
) -> None:
    convert(next((golden / "mobile_vla_frozen").glob("*.ckpt")), tmp_path / "out")
    with safe_open(tmp_path / "out" / "model.safetensors", framework="pt") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118
    assert {kind for name, kind in kinds.items() if ".act_head." in name} == {"F32"}
    assert {kind for name, kind in kinds.items() if ".act_head." not in name} == {"BF16"}
    assert "model.action_token" in kinds
    assert all(name.startswith("model.") for name in kinds)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    for key in ("action_axes", "frame_period", "action_period", "preprocess", "act_head"):
        assert key in config
    assert config["robovlm_name"] == "RoboKosMos"


def test_what_training_noted_goes_along(tmp_path: Path) -> None:
    extra = {
        "training_files": {"a.h5": "12"},
        "frame_period": 0.2,
        "action_axes": ["linear.x", "linear.y"],
        "feature_statistics": {"mean": torch.arange(64.0), "std": torch.ones(64), "count": 3},
    }
    source = write_random_checkpoint(tmp_path / "run", "tiny", extra=extra)
    convert(source, tmp_path / "out")
    policy = load_policy(tmp_path / "out", device="cpu")
    assert policy.provenance.training_files == {"a.h5": "12"}
    assert policy.config.frame_period == 0.2
    assert policy.config.action_axes == ("linear.x", "linear.y")
    assert policy.config.action_axes_confirmed
    assert policy.provenance.feature_mean is not None
    np.testing.assert_array_equal(policy.provenance.feature_mean, np.arange(64.0))


def test_the_whole_statistics_go_along_and_once_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    statistics = feature_statistics(rng.normal(size=(80, 1, 64)), rng.normal(size=(80, 64)))
    stored = {name: torch.tensor(value) for name, value in statistics.arrays().items()}
    source = write_random_checkpoint(
        tmp_path / "run", "tiny", extra={"feature_statistics": stored}
    )
    convert(source, tmp_path / "first")
    convert(tmp_path / "first", tmp_path / "second")
    for place in (source, tmp_path / "first", tmp_path / "second"):
        found = load_policy(place, device="cpu").provenance.statistics
        assert found is not None
        assert (found.count, found.rest) == (80, statistics.rest)
        for name, value in statistics.arrays().items():
            np.testing.assert_array_equal(found.arrays()[name], value)


def test_axes_stated_at_conversion_are_confirmed(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    convert(source, tmp_path / "out", action_axes=["linear.x", "linear.y"])
    config = load_policy(tmp_path / "out", device="cpu").config
    assert config.action_axes == ("linear.x", "linear.y")
    assert config.action_axes_confirmed


def test_a_converted_directory_can_be_converted_again(tmp_path: Path) -> None:
    source = write_random_checkpoint(
        tmp_path / "run", "tiny", lora_r=4, adapted=lambda name: "fc1" in name
    )
    first = convert(source, tmp_path / "first", dtype="float32")
    second = convert(tmp_path / "first", tmp_path / "second", dtype="float16")
    assert first.source_sha256 == second.source_sha256
    lora = second.description["lora"]
    assert (lora["r"], lora["merged"]) == (4, True)


def test_a_plain_backbone_can_be_converted(golden: Path, tmp_path: Path) -> None:
    source = golden / "mobile_vla_frozen" / "pretrained"
    convert(source, tmp_path / "out", dtype="float32")
    pixels = torch.zeros(1, 3, 224, 224)
    torch.testing.assert_close(
        load_policy(tmp_path / "out", device="cpu").encode_images(pixels),
        load_policy(source, device="cpu").encode_images(pixels),
        atol=0,
        rtol=0,
    )


def test_nothing_is_left_behind_when_it_fails(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    content = torch.load(source, weights_only=True)
    content["state_dict"]["model.act_head.rnn.bias_hh_l0"][0] = torch.nan
    torch.save(content, source)
    with pytest.raises(CheckpointError, match="NaN"):
        convert(source, tmp_path / "deep" / "out")
    assert list((tmp_path / "deep").iterdir()) == []


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    for target in (tmp_path / "run", source):
        with pytest.raises(CheckpointError, match="exists already"):
            convert(source, target)
    (tmp_path / "empty").mkdir()
    convert(source, tmp_path / "empty")
    with pytest.raises(CheckpointError, match="unknown dtype"):
        convert(source, tmp_path / "other", dtype="int8")


def test_progress_adds_up_to_the_whole(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    total: list[int] = []
    parts: list[int] = []
    result = convert(source, tmp_path / "out", started=total.append, written=parts.append)
    assert total == [result.weights_bytes] == [sum(parts)]


def test_what_a_killed_conversion_left_is_removed_by_the_next(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    left, others = tmp_path / ".out.abcdefgh", tmp_path / ".out.somebody"
    for folder, name in ((left, "model.safetensors"), (others, "notes.txt")):
        folder.mkdir()
        (folder / name).touch()
    convert(source, tmp_path / "out")
    assert sorted(item.name for item in tmp_path.iterdir()) == [".out.somebody", "out", "run"]


def test_a_conversion_at_work_is_left_alone(tmp_path: Path) -> None:
    source = write_random_checkpoint(tmp_path / "run", "tiny")
    begun = []

    def convert_another(total: int) -> None:
        if not begun:
            begun.append(total)
            convert(source, tmp_path / "out", started=convert_another)

    with pytest.raises(CheckpointError, match="cannot write"):
        convert(source, tmp_path / "out", started=convert_another)
    assert begun
    assert sorted(item.name for item in tmp_path.iterdir()) == ["out", "run"]


def test_a_file_system_without_locks_takes_a_conversion(
    golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
    convert(checkpoint, tmp_path / "out")
    assert (tmp_path / "out" / "model.safetensors").is_file()
