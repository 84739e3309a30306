"""Tiny episodes and runs for the training tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_vla_ros.episodes import EpisodeWriter
from mobile_vla_ros.training.run import RunConfig, check_run, merge

LEFT = "Navigate around obstacles and reach the front of the beverage bottle on the left"


def write_tiny_episode(
    path: Path,
    *,
    rows: int = 18,
    seed: int = 0,
    side: str = "left",
    axes: tuple[str, ...] = ("linear.x", "linear.y", "angular.z"),
    nan_row: int | None = None,
) -> Path:
    """One small episode whose pictures show what the command will be."""
    rng = np.random.default_rng(seed)
    writer = EpisodeWriter(
        path,
        scenario=f"1box_{side}",
        instruction=LEFT.replace("left", side),
        action_axes=axes,
        flush=False,
    )
    with writer:
        for row in range(rows):
            turn = float(np.sin(row / 3 + seed))
            image = np.full((48, 64, 3), 40, np.uint8)
            image[:, int(30 + 25 * turn) :][:, :5] = (200, 90, 30)
            image += rng.integers(0, 8, image.shape, dtype=np.uint8)
            action = {"linear.x": 0.3, "linear.y": 0.0, "angular.z": turn}
            values = [action[axis] for axis in axes]
            if row == nan_row:
                values[0] = float("nan")
            writer.append(
                image=image,
                action=values,
                image_stamp=100 + 0.4 * row,
                received_stamp=100 + 0.4 * row + 0.01,
                action_stamp=100 + 0.4 * row,
            )
        return writer.finish(outcome="reached")


@pytest.fixture(scope="session")
def write_episode() -> Callable[..., Path]:
    """Writes one tiny episode, see `write_tiny_episode`."""
    return write_tiny_episode


@pytest.fixture(scope="session")
def episodes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six short episodes, three per side."""
    folder = tmp_path_factory.mktemp("episodes")
    for number in range(6):
        side = "left" if number % 2 == 0 else "right"
        name = f"episode_20260101_00000{number}_1box_{side}.h5"
        write_tiny_episode(folder / name, rows=10, seed=number, side=side)
    return folder


@pytest.fixture(scope="session")
def make_run(golden: Path) -> Callable[..., RunConfig]:
    """Builds a run on the tiny reference backbone; keywords are laid over the defaults."""

    def make(**overrides: Any) -> RunConfig:
        base: dict[str, Any] = {
            "model": "kosmos",
            "model_path": str(golden / "mobile_vla_frozen" / "pretrained"),
            "model_load_path": None,
            "window_size": 8,
            "fwd_pred_next_n": 10,
            "norm_min": -1.15,
            "norm_max": 1.15,
            "action_axes": ["linear.x", "angular.z"],
            "learning_rate": 1e-3,
            "batch_size": 4,
            "seed": 3,
            "train_setup": {
                "freeze_backbone": True,
                "lora_enable": False,
                "train_action_token": False,
            },
            "act_head": {
                "type": "MobileVLALSTMDecoder",
                "hidden_size": 16,
                "action_dim": 2,
                "latent": 1,
                "num_layers": 4,
            },
            "trainer": {
                "max_epochs": 2,
                "precision": "32-true",
                "accelerator": "cpu",
                "log_every_n_steps": 1,
            },
            "train_dataset": {"episode_pattern": "*.h5", "train_split": 0.7},
        }
        return check_run(merge(base, overrides))

    return make
