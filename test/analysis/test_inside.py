"""LSTM states, ablation and attention of the reference policies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.analysis.ablation import ablate
from mobile_vla_ros.analysis.attention import action_on_tokens, look, token_maps
from mobile_vla_ros.analysis.latents import compare_latents, gather
from mobile_vla_ros.analysis.recordings import AnalysisError, find_recordings
from mobile_vla_ros.analysis.windows import Window, choose_windows
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.policy import load_policy


@pytest.fixture(scope="module")
def windows(recorded: Path) -> list[Window]:
    return choose_windows(find_recordings([recorded]), 0.4, 8)


def test_gathered_states_are_those_of_the_reference(frozen, golden, windows) -> None:
    inputs = np.load(golden / "mobile_vla_frozen" / "inputs.npz")
    expected = np.load(golden / "mobile_vla_frozen" / "expected.npz")
    features = frozen.encode_frames(
        frozen.preprocess(inputs["images"][:8]), str(inputs["instruction"])
    )
    hidden, cell = frozen.cells(features[None])
    np.testing.assert_allclose(hidden[0, -1], expected["lstm_h_n"][:, 0], atol=2e-3)
    np.testing.assert_allclose(cell[0, -1], expected["lstm_c_n"][:, 0], atol=2e-3)
    np.testing.assert_allclose(hidden[0, :, -1], expected["lstm_output"][0], atol=2e-3)
    found = gather(frozen, windows[:2])
    assert found.output.shape == (2, 8, 48)
    assert found.cell.shape == (2, 8, 4, 48)


def test_a_head_equals_itself_and_intervals_hold_the_value(frozen, lora, windows) -> None:
    own = gather(frozen, windows)
    same = compare_latents(own, own, windows)
    for name, value in same["metrics"].items():
        expected = 1 if name.endswith("cka") else 0
        assert value["value"] == pytest.approx(expected, abs=1e-6), name
    other = compare_latents(own, gather(lora, windows), windows)
    assert other["metrics"]["output_cka"]["value"] < 0.9999
    assert [line["rule"] for line in other["thresholds"]] == ["> 0.3", "> 0.3"]
    assert len(other["activations"]["a"]) == 4
    assert [row["step"] for row in other["drift"]["a"]] == list(range(1, 8))
    assert set(other["references"]["shuffled"]) == set(other["metrics"])


def test_rotated_states_are_the_same_states(frozen, windows) -> None:
    own = gather(frozen, windows)
    rotation, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(48, 48)))
    turned = type(own)("turned", "1", own.output @ rotation, own.hidden, own.cell @ rotation)
    result = compare_latents(own, turned, windows)
    assert result["metrics"]["output_cka"]["value"] == pytest.approx(1, abs=1e-4)
    assert result["metrics"]["output_procrustes"]["value"] == pytest.approx(0, abs=1e-4)


def test_heads_of_an_arm_and_of_a_base_can_be_compared(frozen, arm, windows) -> None:
    result = compare_latents(gather(frozen, windows), gather(arm, windows), windows)
    assert np.isfinite(result["metrics"]["output_cka"]["value"])


def test_a_backbone_has_no_states(golden, windows) -> None:
    plain = load_policy(golden / "mobile_vla_frozen" / "pretrained", device="cpu")
    for measure in (gather, ablate, look):
        with pytest.raises(AnalysisError, match="no action"):
            measure(plain, windows[:1])


def test_ablation_is_the_change_of_the_driven_velocity(frozen, windows) -> None:
    chosen = windows[:2]
    result = ablate(frozen, chosen)
    assert len(result["tokens"]) == 64
    assert len(result["frames"]) == 8
    assert np.shape(result["map"]) == (16, 16)
    # The instruction, computed the plain way.
    changes = []
    for window in chosen:
        with open_episode(window.path) as episode:
            images = episode.images(window.rows)
        told = frozen.predict_window(images, window.instruction)[0]
        silent = frozen.predict_window(images, "")[0]
        changes.append(frozen.config.normalise(silent) - frozen.config.normalise(told))
    expected = np.sqrt(np.mean(np.square(changes)))
    assert result["instruction"]["rms_change"] == pytest.approx(expected, rel=1e-3)
    assert json.dumps(result) == json.dumps(ablate(frozen, chosen))


def test_an_arm_policy_can_be_ablated(arm, tmp_path) -> None:
    from episode_factory import write_episode

    write_episode(tmp_path, 1, frames=18)
    chosen = choose_windows(find_recordings([tmp_path]), 0.4, 16)
    result = ablate(arm, chosen)
    assert set(result["instruction"]["mean_change"]) == set(arm.config.action_axes)


def test_attention_maps_are_probabilities(frozen, windows) -> None:
    with open_episode(windows[0].path) as episode:
        pixels = frozen.preprocess(episode.images(windows[0].rows[:2]))
    maps = frozen.attention(pixels, windows[0].instruction)
    queries = token_maps(maps)
    assert queries.shape == (2, 64, 16, 16)
    assert np.all(queries.sum(axis=(2, 3)) <= 1 + 1e-5)
    shares = action_on_tokens(maps, 64)
    assert np.all((shares.sum(axis=1) > 0) & (shares.sum(axis=1) <= 1 + 1e-5))
    result = look(frozen, windows[:2])
    assert np.shape(result["frames"][0]["action"]) == (16, 16)
    assert len(result["share_on_image_by_layer"]) == 2


def test_backbones_of_another_grid_are_drawn_too() -> None:
    from types import SimpleNamespace

    import torch

    weights = torch.rand(2, 4, 18, 1 + 64 + 18).softmax(-1)
    assert token_maps(SimpleNamespace(projection=weights)).shape == (2, 18, 8, 8)
