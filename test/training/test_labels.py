"""Labels that only the simulated field knows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from mobile_vla_ros.policy.config import normalise
from mobile_vla_ros.training.augmentation import Transform, draw_transform
from mobile_vla_ros.training.auxiliary import heat_map
from mobile_vla_ros.training.episode import TrainingEpisode
from mobile_vla_ros.training.labels import read_labels, write_chunks
from mobile_vla_ros.training.losses import masked_huber
from mobile_vla_ros.training.run_schema import RunError
from mobile_vla_ros.training.samples import EpisodeSamples
from mobile_vla_ros.training.windows import instruction_of, labels_of, objects_of, words_of


def attributes(rows: int = 4) -> dict[str, np.ndarray]:
    boxes = np.zeros((rows, 2, 4), np.float32)
    boxes[:, 0] = (0.2, 0.5, 0.4, 2.0)
    boxes[:, 1] = (1.2, 0.5, -0.9, 1.0)
    bottle = np.tile(np.float32([0.5, 0.3, 0.0, 3.0]), (rows, 1))
    bottle[0, :2] = np.nan
    return {
        "expert_chunks": np.ones((rows, 10, 2), np.float32),
        "bottle_places": bottle,
        "box_places": boxes,
    }


def test_the_bottle_comes_first_and_then_the_nearer_box(tmp_path: Path) -> None:
    labels = read_labels(tmp_path / "a.h5", attributes(), 4)
    assert labels.chunks.shape == (4, 10, 2)
    assert labels.objects.shape == (4, 3, 5)
    np.testing.assert_allclose(labels.objects[1, 0], [0.5, 0.3, 1, 0.0, 3.0])
    np.testing.assert_allclose(labels.objects[1, 1], [1.2, 0.5, 0, -0.9, 1.0])
    np.testing.assert_allclose(labels.objects[1, 2], [0.2, 0.5, 1, 0.4, 2.0])
    assert labels.objects[0, 0, 2] == 0


def test_commands_beside_the_episode_replace_its_own(tmp_path: Path) -> None:
    write_chunks(tmp_path / "a.h5", np.full((4, 10, 2), 7.0))
    assert (read_labels(tmp_path / "a.h5", attributes(), 4).chunks == 7).all()
    assert (read_labels(tmp_path / "b.h5", attributes(), 4).chunks == 1).all()
    assert not list(tmp_path.glob("*.part"))


def test_missing_labels_and_another_number_of_rows_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"a\.h5 has no expert_chunks"):
        read_labels(tmp_path / "a.h5", {}, 4)
    with pytest.raises(RunError, match="labels for 4 rows but 5 rows"):
        read_labels(tmp_path / "a.h5", attributes(), 5)


def asked(rows: int = 4) -> dict[str, object]:
    """Two more orders: to the left thing, and to stand still."""
    chunks = np.zeros((2, rows, 10, 2), np.float32)
    chunks[0] = (0.2, 0.5)
    places = np.full((2, rows, 4), np.nan, np.float32)
    places[0] = (0.1, 0.4, 0.6, 2.0)
    return {
        "asked_instructions": json.dumps(["공 left", "Stop"], ensure_ascii=False),
        "asked_chunks": chunks,
        "asked_places": places,
    }


def test_what_else_could_be_asked_for_comes_with_its_commands_and_its_target(tmp_path) -> None:
    assert read_labels(tmp_path / "a.h5", attributes(), 4).others == ()
    labels = read_labels(tmp_path / "a.h5", attributes() | asked(), 4)
    thing, stop = labels.others
    assert (thing.instruction, stop.instruction) == ("공 left", "Stop")
    assert (thing.chunks == np.float32([0.2, 0.5])).all()
    assert not stop.chunks.any()
    np.testing.assert_allclose(thing.target[0], [0.1, 0.4, 1, 0.6, 2.0])
    assert stop.target[0, 2] == 0
    assert np.isnan(stop.target[0, 3:]).all()


@pytest.mark.parametrize(
    "change",
    [
        {"asked_chunks": np.zeros((1, 4, 10, 2))},
        {"asked_chunks": np.full((2, 4, 10, 2), np.nan)},
        {"asked_chunks": np.zeros((2, 4, 5, 2))},
        {"asked_places": np.zeros((2, 3, 4))},
        {"asked_instructions": "no list"},
        {"asked_places": None},
    ],
)
def test_orders_that_do_not_belong_together_are_named(tmp_path, change) -> None:
    with pytest.raises(RunError, match=r"a\.h5: its asked_instructions.*collect"):
        read_labels(tmp_path / "a.h5", attributes() | asked() | change, 4)


def test_a_window_may_be_asked_for_something_else(make_run) -> None:
    run = make_run(
        action_axes=["linear.x", "angular.z"],
        train_dataset={"labels": "expert"},
        augmentation={"other_orders": 0.5},
    )
    episode = an_episode(attributes() | asked())
    drawn = [
        draw_transform(run.augmentation, np.random.default_rng(seed)).other_order
        for seed in range(200)
    ]
    assert 70 < sum(which is None for which in drawn) < 130
    as_recorded, thing, stop = (Transform(other_order=which) for which in (None, 0.1, 0.9))
    assert instruction_of(episode, as_recorded) == "go"
    assert instruction_of(episode, thing) == "공 left"
    assert instruction_of(episode, stop) == "Stop"
    wanted = np.float32([[0.2, 0.5]]) * [1, -1]
    mirrored = Transform(mirror=True, other_order=0.1)
    assert instruction_of(episode, mirrored) == "공 right"
    np.testing.assert_allclose(
        labels_of(run, episode, mirrored)[0],
        np.broadcast_to(normalise(wanted, run.norm_min, run.norm_max), (10, 2)),
        rtol=1e-6,
    )
    assert objects_of(episode, mirrored)[0, 0, 3] == pytest.approx(-0.6)
    assert objects_of(episode, as_recorded)[1, 0, 4] == pytest.approx(3.0)


def test_other_orders_need_the_expert_s_labels(make_run) -> None:
    with pytest.raises(RunError, match=r'augmentation\.other_orders.*labels has to be "expert"'):
        make_run(augmentation={"other_orders": 0.5})


def an_episode(held: dict[str, object]) -> TrainingEpisode:
    labels = read_labels(Path("a.h5"), held, 4)
    samples = EpisodeSamples(
        np.arange(4), labels.chunks, np.ones((4, 10), bool), np.arange(4).reshape(4, 1)
    )
    return TrainingEpisode(Path("a.h5"), "0", "a", None, "go", 4, samples, labels)


def test_words_have_places_or_none_and_turn_with_the_mirror(make_run, tmp_path) -> None:
    run = make_run(
        action_axes=["linear.x", "angular.z"],
        train_dataset={"labels": "expert"},
        auxiliary={"words": 0.3},
    )
    assert run.auxiliary.on
    places = np.full((4, 14, 4), np.nan, np.float32)
    places[:, 3] = (0.25, 0.5, 0.4, 2.0)
    episode = an_episode(attributes() | {"word_places": places})
    words = words_of(episode, Transform(mirror=True))
    np.testing.assert_allclose(words[0, 3], [0.75, 0.5, 1, -0.4, 2.0], rtol=1e-6)
    assert not words[:, 0, 2].any()
    with pytest.raises(RunError, match=r"a\.h5 has no word_places"):
        words_of(an_episode(attributes()), Transform())
    with pytest.raises(RunError, match=r"a\.h5 has word_places of another number"):
        read_labels(tmp_path / "a.h5", attributes() | {"word_places": places[:3]}, 4)


def test_near_steps_count_more_with_a_decay() -> None:
    labels = torch.zeros(1, 1, 2, 1)
    predicted = torch.tensor([[[[1.0], [0.0]]]])
    mask = torch.ones(1, 1, 2, dtype=torch.bool)
    assert float(masked_huber(predicted, labels, mask)[0]) == pytest.approx(0.25)
    assert float(masked_huber(predicted, labels, mask, 0.5)[0]) == pytest.approx(0.5 / 1.5)


def test_a_sharper_loss_asks_for_the_median_of_what_may_follow() -> None:
    """Left three times and right twice from one picture: left, and not nearly straight on."""
    labels = torch.tensor([1.0, 1.0, 1.0, -1.0, -1.0]).reshape(1, 5, 1, 1)
    mask = torch.ones(1, 5, 1, dtype=torch.bool)
    values = torch.linspace(-1, 1, 401)

    def best(beta: float) -> float:
        losses = [
            float(masked_huber(v.expand(1, 5, 1, 1), labels, mask, beta=beta)[0]) for v in values
        ]
        return float(values[int(np.argmin(losses))])

    assert best(2.0) == pytest.approx(0.2, abs=0.01)
    assert best(0.1) > 0.9
    first, second = torch.randn(2, 2, 3, 4, 2)
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    expected = torch.nn.functional.huber_loss(first, second)
    torch.testing.assert_close(masked_huber(first, second, mask)[0], expected)


def test_the_heat_lies_on_the_object_s_patch() -> None:
    heat = heat_map(torch.tensor([[0.2, 0.9]]), 8).reshape(8, 8)
    assert float(heat.sum()) == pytest.approx(1.0, abs=1e-5)
    assert divmod(int(heat.argmax()), 8) == (7, 1)
