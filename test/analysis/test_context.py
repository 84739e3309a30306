"""Extraction: right numbers, little memory, resumable, and with every kind of checkpoint."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import CHECKPOINT
from episode_factory import write_episode

from mobile_vla_ros.analysis import context as context_module
from mobile_vla_ros.analysis.context import extract, open_extraction
from mobile_vla_ros.analysis.encoding import Others
from mobile_vla_ros.analysis.recordings import AnalysisError
from mobile_vla_ros.policy import load_policy


@pytest.mark.parametrize("name", ["mobile_vla_frozen", "mobile_vla_lora"])
def test_the_statistics_of_the_reference_context_are_reproduced(
    golden: Path, tmp_path: Path, request, name: str
) -> None:
    policy = request.getfixturevalue(name.removeprefix("mobile_vla_"))
    inputs = np.load(golden / name / "inputs.npz")
    expected = np.load(golden / name / "expected.npz")
    side = "left" if "left" in str(inputs["instruction"]) else "right"
    images = inputs["images"]
    write_episode(
        tmp_path,
        1,
        side,
        frames=len(images),
        images=images,
        instruction=str(inputs["instruction"]),
    )
    found = extract(policy, [tmp_path], tmp_path / "out")
    reference = expected["context"].astype(np.float64)
    summary = found.summary
    assert summary["shape"] == list(reference.shape) == [1, 8, 64, 64]
    assert summary["mean"] == pytest.approx(reference.mean(), abs=2e-3)
    assert summary["std"] == pytest.approx(reference.std(), abs=2e-3)
    assert summary["min"] == pytest.approx(reference.min(), abs=5e-3)
    assert summary["max"] == pytest.approx(reference.max(), abs=5e-3)
    assert summary["norm"] == pytest.approx(np.linalg.norm(reference), rel=2e-3)
    per_token = summary["per_token"]["mean"]
    np.testing.assert_allclose(per_token, reference.mean(axis=(0, 1, 3)), atol=2e-3)
    per_frame = summary["per_frame"]["std"]
    np.testing.assert_allclose(per_frame, reference.std(axis=(0, 2, 3)), atol=2e-3)
    np.testing.assert_allclose(found.context, reference, atol=4e-3)
    np.testing.assert_allclose(found.action[0], expected["action_hidden"][0], atol=6e-3)


def test_an_interrupted_extraction_goes_on_and_ends_the_same(
    frozen, recorded: Path, tmp_path: Path, monkeypatch
) -> None:
    whole = extract(frozen, [recorded], tmp_path / "whole", per_episode=2)
    encode, calls = context_module._encode, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return encode(*arguments)

    monkeypatch.setattr(context_module, "_encode", failing)
    with pytest.raises(KeyboardInterrupt):
        extract(frozen, [recorded], tmp_path / "broken", per_episode=2)
    with pytest.raises(AnalysisError, match="no finished extraction"):
        open_extraction(tmp_path / "broken")
    resumed = extract(frozen, [recorded], tmp_path / "broken", per_episode=2)
    # Four windows were done before; the fifth and the rest are done now.
    assert len(calls) == 5 + 12 - 4
    np.testing.assert_array_equal(resumed.context, whole.context)
    np.testing.assert_array_equal(resumed.action, whole.action)
    assert resumed.summary["norm"] == whole.summary["norm"]


def test_two_processes_extract_what_one_does_to_the_bit(
    frozen, golden: Path, recorded: Path, tmp_path: Path
) -> None:
    one = extract(frozen, [recorded], tmp_path / "one", per_episode=2)
    checkpoint = golden / "mobile_vla_frozen" / CHECKPOINT
    loading = (checkpoint, None, None, "cpu", "float32", "torch")
    others = Others(loading, 2, "here")
    two = extract(frozen, [recorded], tmp_path / "two", per_episode=2, others=others)
    np.testing.assert_array_equal(two.context, one.context)
    np.testing.assert_array_equal(two.action, one.action)
    assert {**two.summary, "directory": 0} == {**one.summary, "directory": 0}


def test_a_folder_of_another_extraction_is_refused(
    frozen, lora, recorded: Path, tmp_path: Path
) -> None:
    extract(frozen, [recorded], tmp_path / "one", limit=1)
    with pytest.raises(AnalysisError, match="holds an extraction of another checkpoint"):
        extract(lora, [recorded], tmp_path / "one", limit=1)


def test_more_episodes_need_no_more_memory(frozen, recorded: Path, tmp_path: Path) -> None:
    """What is kept between windows is one window of frames."""
    sizes = []
    encode = context_module._encode

    def watching(policy, window, prompt, batch, cache, has_action):
        kept = encode(policy, window, prompt, batch, cache, has_action)
        sizes.append(len(kept))
        return kept

    context_module._encode = watching
    try:
        extract(frozen, [recorded], tmp_path / "all", per_episode=0)
    finally:
        context_module._encode = encode
    assert len(sizes) == 6 * 5
    assert max(sizes) == 8


def test_short_and_unreadable_episodes_are_named_and_the_others_count(
    frozen, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    write_episode(data, 1)
    write_episode(data, 2, frames=5)
    (data / "episode_20250101_000099_1box_left.h5").write_bytes(b"")
    found = extract(frozen, [data], tmp_path / "out")
    assert found.summary["shape"][0] == 1
    reasons = " ".join(item["reason"] for item in found.summary["skipped"])
    assert "no window of 8 frames 0.4 s apart (it has 5 frames)" in reasons
    assert "empty" in reasons
    (data / "episode_20250101_000001_1box_left.h5").unlink()
    with pytest.raises(AnalysisError, match="none of the 2 episodes can be used"):
        extract(frozen, [data], tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


def test_an_arm_policy_and_a_plain_backbone_are_extracted_too(
    arm, golden: Path, tmp_path: Path
) -> None:
    write_episode(tmp_path, 1, frames=18)
    seven = extract(arm, [tmp_path], tmp_path / "arm")
    assert seven.context.shape == (1, 16, 64, 64)
    assert seven.action is not None
    plain = load_policy(golden / "robovlms_oxe_7dof" / "pretrained", device="cpu", dtype="float32")
    found = extract(plain, [tmp_path], tmp_path / "plain")
    assert found.action is None
    assert found.context.shape == (1, 8, 64, 64)


def test_faster_recordings_give_the_same_frames(frozen, tmp_path: Path) -> None:
    (tmp_path / "fast").mkdir()
    write_episode(tmp_path / "fast", 1, frames=48, period=0.1)
    found = extract(frozen, [tmp_path / "fast"], tmp_path / "out")
    assert np.diff(found.windows[0].rows).tolist() == [4] * 7
    assert found.windows[0].distance[-1] == pytest.approx(0.3 * 2.8, abs=1e-4)
