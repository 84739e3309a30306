"""The policies that come with the package."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.bundled import demo_policy, open_policy
from mobile_vla_ros.policy import load_policy

SENTENCE = "Navigate around obstacles and reach the front of the beverage bottle on the {side}"
EVALUATION_SEEDS = range(100_000, 101_000)

both = pytest.mark.parametrize("directory", [demo_policy(), open_policy()], ids=lambda d: d.name)


@both
def test_it_takes_at_most_12_megabytes_and_needs_no_other_file(directory: Path) -> None:
    files = [path for path in directory.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 12e6
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in files}
    config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    assert config["model_path"] == "."
    assert config["model_load_path"] is None


@both
def test_it_is_a_kosmos_2_of_two_million_weights_with_an_lstm_head(directory: Path) -> None:
    policy = load_policy(directory, device="cpu")
    assert 1.5e6 < sum(weight.numel() for weight in policy.model.parameters()) < 3e6
    assert policy.config.window_size == 8
    assert policy.config.chunk_size == 10
    assert policy.config.action_axes == ("linear.x", "angular.z")
    assert policy.config.action_axes_confirmed
    assert policy.provenance.training_files
    assert policy.provenance.feature_mean is not None


@both
def test_it_was_trained_on_other_fields_than_it_is_measured_on(directory: Path) -> None:
    from mobile_vla_ros.sim.collect import start_time

    stamps = {start_time(seed).strftime("episode_%Y%m%d_%H%M%S") for seed in EVALUATION_SEEDS}
    provenance = load_policy(directory, device="cpu").provenance
    used = [*provenance.training_files, *provenance.validation_files]
    assert used
    assert not [name for name in used if name[:23] in stamps]


def test_the_one_for_the_open_field_knows_its_episodes_by_content() -> None:
    provenance = load_policy(open_policy(), device="cpu").provenance
    listed = provenance.episodes["training"]
    assert len(listed) >= len(provenance.training_files)
    assert all(entry["looks"] for entry in listed)
    said = " ".join(provenance.instructions)
    assert "gray basket" in said
    assert "바구니" in said


@both
@pytest.mark.egl
def test_the_instruction_decides_to_which_side_it_turns(directory: Path) -> None:
    from mobile_vla_ros.sim.field import Field

    policy = load_policy(directory, device="cpu")
    right_way = 0
    for seed in range(100_000, 100_008):
        with Field("1box_left", seed) as field:
            image = field.render()
        turns = []
        for side in ("left", "right"):
            velocities = policy.predict_window(np.stack([image]), SENTENCE.format(side=side))
            turns.append(float(velocities[:3, 1].mean()))
        right_way += turns[0] > turns[1]
    assert right_way == 8


@pytest.mark.egl
def test_the_instruction_decides_to_which_thing_it_turns() -> None:
    from mobile_vla_ros.sim.camera import CameraSettings
    from mobile_vla_ros.sim.open_field.field import OpenField
    from mobile_vla_ros.sim.open_field.words import say

    policy = load_policy(open_policy(), device="cpu")
    right_way = pairs = 0
    for seed in range(100_000, 100_016):
        with OpenField("open_easy", seed, CameraSettings()) as field:
            image, (x, y, yaw) = field.render(), field.state.pose
            things = field.state.layout.things
        turns = []
        for thing in things[:2]:
            said = say(np.random.default_rng(seed), thing.colour, thing.kind, None)
            chunk = policy.predict_window(np.stack([image]), said.text)
            turns.append(float(chunk[:5, 1].mean()))
        bearings = [np.arctan2(t.y - y, t.x - x) - yaw for t in things[:2]]
        if abs(bearings[0] - bearings[1]) > 0.4:
            pairs += 1
            right_way += (turns[0] > turns[1]) == (bearings[0] > bearings[1])
    assert pairs >= 6
    assert right_way >= 0.75 * pairs
