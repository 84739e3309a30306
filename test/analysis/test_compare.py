"""Comparison: equal models are equal, unrelated ones are found out, the usual lines are judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.analysis.compare import compare, compare_arrays
from mobile_vla_ros.analysis.context import Extraction, extract
from mobile_vla_ros.analysis.frame_grams import shuffled_order
from mobile_vla_ros.analysis.maps import maps
from mobile_vla_ros.analysis.recordings import AnalysisError
from mobile_vla_ros.stats.cka import debiased_cka


@pytest.fixture(scope="module")
def of_frozen(frozen, recorded: Path, tmp_path_factory) -> Extraction:
    return extract(frozen, [recorded], tmp_path_factory.mktemp("frozen") / "x")


def unrelated(seed: int, episodes: int = 12) -> np.ndarray:
    """Vectors that share a large mean and nothing else, with clusters by episode."""
    mean = np.random.default_rng(99).normal(0, 0.3, (1, 1, 6, 32))
    rng = np.random.default_rng(seed)
    cluster = rng.normal(0, 0.05, (episodes, 1, 6, 32))
    return mean + cluster + rng.normal(0, 0.03, (episodes, 8, 6, 32))


def test_the_same_checkpoint_compares_as_equal(of_frozen, frozen, recorded, tmp_path) -> None:
    again = extract(frozen, (), tmp_path / "again", windows=of_frozen.windows)
    result = compare(of_frozen, again)
    metrics = {name: value["value"] for name, value in result["metrics"].items()}
    assert metrics["cosine"] == pytest.approx(1, abs=1e-9)
    assert metrics["cosine_centred"] == pytest.approx(1, abs=1e-9)
    assert metrics["correlation"] == pytest.approx(1, abs=1e-9)
    assert metrics["cka_debiased"] == pytest.approx(1, abs=1e-9)
    for name in ("euclidean", "distance_over_std", "kl", "jensen_shannon"):
        assert metrics[name] == pytest.approx(0, abs=1e-9)
    assert "they are equal" in result["conclusion"]


def test_the_backbone_decides_the_context_and_not_the_head(of_frozen, golden, tmp_path) -> None:
    from mobile_vla_ros.policy import load_policy

    plain = load_policy(golden / "mobile_vla_frozen" / "pretrained", device="cpu", dtype="float32")
    headless = extract(plain, (), tmp_path / "plain", windows=of_frozen.windows)
    result = compare(of_frozen, headless)
    same = np.array_equal(of_frozen.context, headless.context)
    assert (result["metrics"]["euclidean"]["value"] == 0) is same
    assert "action" not in result


def test_unrelated_models_pass_the_usual_lines_and_are_found_out() -> None:
    a, b = unrelated(1), unrelated(2)
    result = compare_arrays(a, b, np.arange(12))
    lines = {line["metric"]: line for line in result["thresholds"]}
    for name in ("cosine", "euclidean", "correlation"):
        assert lines[name]["passed"]
        assert lines[name]["verdict"] == "pass, not discriminating"
    assert abs(result["metrics"]["cosine_centred"]["value"]) < 0.1
    assert result["metrics"]["distance_over_std"]["value"] == pytest.approx(2**0.5, abs=0.1)
    # Both keep the frames of an episode together, which CKA sees, and exchanged episodes too.
    assert result["metrics"]["cka_debiased"]["value"] > 0.5
    exchanged = result["references"]["shuffled_episodes"]["cka_debiased"]
    assert exchanged["value"] > 0.5
    assert result["tells_apart"]["cka_debiased"] is False
    assert result["references"]["neighbour"]["cka_debiased"]["value"] > 0.8
    assert abs(result["references"]["shuffled"]["cka_debiased"]["value"]) < 0.15


def test_cka_of_frames_is_that_of_the_whole_vectors() -> None:
    a = unrelated(1)
    b = a + np.random.default_rng(5).normal(0, 0.02, a.shape)
    result = compare_arrays(a, b, np.arange(12))
    expected = debiased_cka(a.reshape(96, -1), b.reshape(96, -1))
    assert result["metrics"]["cka_debiased"]["value"] == pytest.approx(expected, abs=1e-9)
    assert result["tells_apart"]["cka_debiased"] is True


def test_intervals_hold_the_value(of_frozen, lora, tmp_path) -> None:
    other = extract(lora, (), tmp_path / "lora", windows=of_frozen.windows)
    result = compare(of_frozen, other)
    for group in (result["metrics"], *result["references"].values()):
        for name, value in group.items():
            assert value["low"] <= value["value"] + 1e-9, name
            assert value["high"] >= value["value"] - 1e-9, name
    assert json.dumps(result) == json.dumps(compare(of_frozen, other))
    assert set(result["action"]["metrics"]) == set(result["metrics"])


def test_shuffling_never_pairs_an_episode_with_itself_when_it_can_be_helped() -> None:
    labels = np.repeat(np.arange(6), 5)
    for seed in range(20):
        order = shuffled_order(labels, np.random.default_rng(seed))
        assert sorted(order) == list(range(30))
        assert not np.any(labels[order] == labels)


def test_one_episode_gives_values_without_intervals() -> None:
    a = unrelated(1, episodes=1)
    result = compare_arrays(a, a + 0.01, np.zeros(1, int))
    assert result["shuffled_within"] == "one episode"
    assert np.isnan(result["metrics"]["cosine"]["low"])


def test_different_tokens_or_frames_are_one_sentence(of_frozen, frozen, recorded, tmp_path):
    fewer = tmp_path / "fewer"
    shutil.copytree(of_frozen.directory, fewer)
    cut = Extraction(
        fewer, of_frozen.context[:, :, :32], None, of_frozen.windows, of_frozen.summary
    )
    with pytest.raises(AnalysisError, match=r"64 image tokens per frame and .* has 32"):
        compare(of_frozen, cut)
    last = extract(frozen, [recorded], tmp_path / "other", per_episode=2)
    with pytest.raises(AnalysisError, match="not extracted from the same frames"):
        compare(of_frozen, last)


def test_maps_place_every_frame_and_repeat(of_frozen) -> None:
    first = maps(of_frozen, of_frozen)
    assert len(first["pca"]["a"]) == len(first["side"]) == len(first["progress"]) == 48
    assert first == maps(of_frozen, of_frozen)
    assert sorted(set(first["side"])) == ["left", "right"]
