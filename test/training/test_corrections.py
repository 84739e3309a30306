"""What a person drove teaches more, what led to a takeover is not imitated, the rest stays."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes import EpisodeWriter, open_episode
from mobile_vla_ros.episodes.editing import trim
from mobile_vla_ros.episodes.incident import IncidentRing, write_incident
from mobile_vla_ros.training.corrections import collect_corrections, judge_rows
from mobile_vla_ros.training.dataset import load_split
from mobile_vla_ros.training.episode import load_episode
from mobile_vla_ros.training.losses import masked_huber
from mobile_vla_ros.training.run_schema import RunError

LEFT = "Navigate around obstacles and reach the front of the beverage bottle on the left"
PERIOD = 0.4


def picture(row: int) -> np.ndarray:
    return np.full((24, 32, 3), 10 * row, np.uint8)


def write_takeover(
    path: Path, rows: int = 20, taken: range = range(10, 16), begin: float = 100
) -> Path:
    """An episode in which a person drives the rows `taken`."""
    with EpisodeWriter(
        path, scenario="1box_left", instruction=LEFT, takeovers=True, flush=False
    ) as writer:
        for row in range(rows):
            stamp = begin + PERIOD * row
            person = row in taken
            writer.append(
                image=picture(row),
                action=[0.2, 0.0, -0.5 if person else 0.5],
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
                taken_over=person,
            )
        return writer.finish(outcome="success")


def write_capsule(path: Path, reason: str = "takeover", frames: int = 24) -> Path:
    ring = IncidentRing(before=60)
    ring.axes, ring.action_period = ("linear.x", "angular.z"), PERIOD
    ring.attributes = {"instruction": LEFT}
    for row in range(frames):
        stamp = 100 + PERIOD * row
        ring.add_command(stamp - 0.01, 0.2, 0.0, 0.5 if row < 12 else -0.5)
        ring.add_frame(stamp, stamp, cv2.imencode(".png", picture(row))[1].tobytes())
        if row == 12:
            ring.trigger(reason, stamp)
        if row == 18:
            ring.add_event(stamp, "guard: policy")
    if not frames:
        ring.trigger(reason, 100.0)
    incident = ring.poll(200.0, finish=True)
    assert incident is not None
    return write_incident(path, incident)


def test_the_seconds_before_a_takeover_are_not_imitated_and_waiting_is_no_correction() -> None:
    stamps = np.arange(20) * PERIOD
    taken = (np.arange(20) >= 10) & (np.arange(20) < 18)
    velocities = np.full((20, 2), 0.2, np.float32)
    velocities[14:18] = 0
    judged = judge_rows(stamps, taken, velocities, before=2.0)
    # Rows 5 to 9 lie within two seconds; of the standstill, what lasts beyond one second.
    assert np.flatnonzero(~judged.imitated).tolist() == [5, 6, 7, 8, 9, 17]
    assert np.flatnonzero(judged.person).tolist() == [10, 11, 12, 13, 14, 15, 16]
    plain = judge_rows(stamps, np.zeros(20, bool), velocities, before=2.0)
    assert plain.imitated.all()
    assert not plain.person.any()


def test_a_second_takeover_does_not_undo_what_the_first_one_taught() -> None:
    stamps = np.arange(20) * PERIOD
    taken = np.isin(np.arange(20), [8, 9, 11, 12])
    judged = judge_rows(stamps, taken, np.ones((20, 2), np.float32), before=2.0)
    assert np.flatnonzero(~judged.imitated).tolist() == [3, 4, 5, 6, 7, 10]
    assert np.flatnonzero(judged.person).tolist() == [8, 9, 11, 12]


def test_labels_and_weights_of_an_episode_follow_its_rows(make_run, tmp_path) -> None:
    path = write_takeover(tmp_path / "episode_20260101_000000_1box_left.h5")
    run = make_run(train_dataset={"correction_weight": 4.0, "before_takeover": 1.2})
    plain, corrected = load_episode(run, path), load_episode(run, path, corrects=True)
    assert plain.samples.weights is None
    assert corrected.samples.weights is not None
    expected = [4.0 if 10 <= row < 16 else 1.0 for row in corrected.samples.rows]
    assert corrected.samples.weights.tolist() == expected
    np.testing.assert_array_equal(corrected.samples.chunks, plain.samples.chunks)
    # Row 4's chunk holds the commands of rows 4 to 13; those of 7 to 9 led to the takeover.
    assert corrected.samples.mask[4].tolist() == [k not in (3, 4, 5) for k in range(10)]
    # Rows far from it are as they were.
    np.testing.assert_array_equal(corrected.samples.mask[16:], plain.samples.mask[16:])


def test_a_frame_of_weight_three_counts_as_three() -> None:
    torch.manual_seed(0)
    predicted, labels = torch.randn(2, 3, 4, 2), torch.randn(2, 3, 4, 2)
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    weights = torch.tensor([[1.0, 3.0, 1.0], [1.0, 1.0, 1.0]])
    found, count = masked_huber(predicted, labels, mask, 1.0, weights)
    again = torch.cat([predicted.reshape(6, 1, 4, 2), predicted[0, 1].expand(2, 1, 4, 2)])
    said = torch.cat([labels.reshape(6, 1, 4, 2), labels[0, 1].expand(2, 1, 4, 2)])
    repeated, _ = masked_huber(again, said, torch.ones(8, 1, 4, dtype=torch.bool))
    torch.testing.assert_close(found, repeated)
    assert int(count) == 48
    alike, _ = masked_huber(predicted, labels, mask, 1.0, torch.ones(2, 3))
    torch.testing.assert_close(alike, masked_huber(predicted, labels, mask)[0])


def test_a_capsule_becomes_an_episode_with_its_own_frames_and_the_person_in_it(tmp_path) -> None:
    write_capsule(tmp_path / "incident_20260101_000000.h5")
    write_capsule(tmp_path / "incident_20260101_000001.h5", "mark")
    [path], [left_out] = collect_corrections(tmp_path, tmp_path / "cache")
    assert "nobody took over" in left_out
    with open_episode(path) as episode:
        assert episode.instruction == LEFT
        assert np.flatnonzero(episode.taken_over).tolist() == list(range(12, 18))
        assert episode.velocities(["angular.z"])[11:13, 0].tolist() == [0.5, -0.5]
        np.testing.assert_array_equal(episode.image(3), picture(3))
    written = path.stat().st_mtime_ns
    collect_corrections(tmp_path, tmp_path / "cache")
    assert path.stat().st_mtime_ns == written


def test_a_correction_beside_its_trimmed_copy_counts_once(tmp_path) -> None:
    whole = write_takeover(tmp_path / "episode_20260101_000000_1box_left.h5")
    copy = trim(whole, tmp_path / "episode_20260101_000000_1box_left_trimmed.h5", last=2)
    found, [left_out] = collect_corrections(tmp_path, tmp_path / "cache")
    assert found == [copy]
    assert left_out == f"{whole.name}: {copy.name} is trimmed from it"


def test_what_is_held_out_is_never_trained_on_as_a_correction(
    make_run: Callable, write_episode: Callable, tmp_path
) -> None:
    data, fixes = tmp_path / "data", tmp_path / "fixes"
    data.mkdir()
    fixes.mkdir()
    write_episode(data / "episode_20260101_000001_1box_left.h5")
    held = write_takeover(data / "held_20260101_000002_1box_left.h5")
    copy = fixes / "episode_20260101_000003_1box_left.h5"
    copy.write_bytes(held.read_bytes())
    run = make_run(train_dataset={"episode_pattern": "ep*.h5", "validation_pattern": "held*.h5"})
    with pytest.raises(RunError, match="held out for validation"):
        load_split(run, data, corrections=[copy])
    other = write_takeover(
        fixes / "episode_20260101_000004_1box_left.h5", begin=500, taken=range(3, 9)
    )
    split = load_split(run, data, corrections=[copy, other])
    assert [episode.path for episode in split.train][-1] == other
    assert "held out for validation" in split.left_out[-1]


@pytest.mark.parametrize("token", [False, True])
def test_training_with_corrections_says_so_in_run_file_and_checkpoint(
    make_run: Callable, episodes: Path, tmp_path: Path, token: bool
) -> None:
    fixes, out, file = tmp_path / "fixes", tmp_path / "out", tmp_path / "run.json"
    fixes.mkdir()
    write_takeover(fixes / "episode_20260101_000009_1box_left.h5")
    write_capsule(fixes / "incident_20260101_000010.h5")
    # With the action token trained, pictures are used in place of cached features.
    run = make_run(trainer={"max_epochs": 1}, train_setup={"train_action_token": token})
    file.write_text(json.dumps(dict(run.raw)))
    with pytest.raises(SystemExit) as ended:
        main(["train", "--config", str(file), "--data", str(episodes), "--out", str(out),
              "--corrections", str(fixes)])  # fmt: skip
    assert not ended.value.code
    kept = torch.load(out / "last.ckpt", weights_only=False)["mobile_vla"]
    assert kept["corrections"]["weight"] == 3.0
    assert kept["corrections"]["before_takeover"] == 2.0
    names = list(kept["corrections"]["files"])
    assert len(names) == 2
    assert any(name.startswith("incident_20260101_000010") for name in names)
    assert set(names) <= set(kept["training_files"])
    text = json.dumps(str(torch.load(out / "last.ckpt", weights_only=False)["hyper_parameters"]))
    assert "correction_weight" in text


def test_a_folder_that_teaches_nothing_is_one_sentence(
    make_run: Callable, episodes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, empty, blind = tmp_path / "run.json", tmp_path / "empty", tmp_path / "blind"
    file.write_text(json.dumps(dict(make_run().raw)))
    empty.mkdir()
    blind.mkdir()
    write_capsule(blind / "incident_20260101_000010.h5", frames=0)
    for folder, words in (
        (empty, "there are no corrections in"),
        (episodes, "nobody took over in it"),
        (blind, "holds no frames or no commands"),
        (tmp_path / "none", "is no folder of corrections"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["train", "--config", str(file), "--data", str(episodes), "--out",
                  str(tmp_path / "out"), "--corrections", str(folder)])  # fmt: skip
        assert ended.value.code == 2
        error = capsys.readouterr().err
        assert words in error
        assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
