"""Labels that only the simulated field knows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mobile_vla_ros.training.auxiliary import heat_map
from mobile_vla_ros.training.labels import read_labels, write_chunks
from mobile_vla_ros.training.losses import masked_huber
from mobile_vla_ros.training.run_schema import RunError


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


def test_near_steps_count_more_with_a_decay() -> None:
    labels = torch.zeros(1, 1, 2, 1)
    predicted = torch.tensor([[[[1.0], [0.0]]]])
    mask = torch.ones(1, 1, 2, dtype=torch.bool)
    assert float(masked_huber(predicted, labels, mask)[0]) == pytest.approx(0.25)
    assert float(masked_huber(predicted, labels, mask, 0.5)[0]) == pytest.approx(0.5 / 1.5)


def test_the_heat_lies_on_the_object_s_patch() -> None:
    heat = heat_map(torch.tensor([[0.2, 0.9]]), 8).reshape(8, 8)
    assert float(heat.sum()) == pytest.approx(1.0, abs=1e-5)
    assert divmod(int(heat.argmax()), 8) == (7, 1)
