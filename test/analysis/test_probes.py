"""Probes find what is there, and only that."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from mobile_vla_ros.analysis.context import Extraction
from mobile_vla_ros.analysis.probes import _Ridge, probe
from mobile_vla_ros.analysis.windows import Window


def window(number: int, side: str, velocities: np.ndarray, instruction: str) -> Window:
    frames = len(velocities)
    return Window(
        path=f"/nowhere/{number}.h5",
        episode=f"{number}.h5",
        sha256=f"{number:064d}",
        rows=tuple(range(frames)),
        scenario=f"1box_{side}",
        side=side,
        instruction=instruction,
        progress=tuple(np.linspace(0, 1, frames)),
        distance=tuple(np.random.default_rng(number).uniform(0, 1, frames)),
        velocities=tuple((0.3, float(turn)) for turn in velocities),
        axes=("linear.x", "angular.z"),
    )


def made(episodes: int = 24, instruction: str = "go to the bottle") -> Extraction:
    """Context that holds the turn linearly, noise at the action token, and episode clusters."""
    rng = np.random.default_rng(3)
    windows, context = [], []
    direction = rng.normal(size=(4, 16))
    for number in range(episodes):
        turn = rng.uniform(-1, 1, 8)
        windows.append(window(number, ("left", "right")[number % 2], turn, instruction))
        cluster = rng.normal(0, 0.5, (1, 4, 16))
        context.append(cluster + turn[:, None, None] * direction + rng.normal(0, 0.2, (8, 4, 16)))
    action = rng.normal(size=(episodes, 8, 1, 16))
    summary = {
        "checkpoint": "x.ckpt",
        "checkpoint_sha256": "0",
        "prompt": "each episode's own instruction",
    }
    return Extraction(None, np.stack(context), action, windows, summary)


def entry(result: dict, features: str, target: str) -> dict:
    return next(
        item
        for item in result["probes"]
        if (item["features"], item["target"]) == (features, target)
    )


def test_what_is_there_is_read_and_what_is_not_is_not() -> None:
    result = probe(made())
    turn = entry(result, "image context", "velocity angular.z")
    assert turn["value"] > 0.8
    assert turn["informative"]
    assert turn["control_high"] < 0.2
    for features, target in (
        ("action token", "velocity angular.z"),
        ("image context", "side"),
        ("action token", "side"),
        ("image context", "distance travelled"),
    ):
        assert not entry(result, features, target)["informative"], (features, target)
    assert entry(result, "image context", "velocity linear.x")["measured"] is False
    assert "velocity angular.z from the image context (R2" in result["conclusion"]
    assert "not shown to read" in result["conclusion"]


def test_the_side_is_not_probed_where_the_prompt_tells_it() -> None:
    told = made(instruction="go to the bottle on the left")
    side = entry(probe(told), "action token", "side")
    assert side["measured"] is False
    assert "prompt itself names the side" in side["reason"]
    with_neutral = probe(told, neutral=made())
    assert entry(with_neutral, "action token", "side")["measured"] is True


def test_few_episodes_are_said_to_be_too_few() -> None:
    result = probe(made(episodes=3))
    assert all(not item["measured"] for item in result["probes"])
    assert "at least 4" in result["probes"][0]["reason"] + result["probes"][1]["reason"]


def test_two_probings_give_the_same_numbers() -> None:
    assert probe(made(episodes=8)) == probe(made(episodes=8))


def test_kernel_ridge_equals_ridge_on_the_features() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(2, 1, (40, 5)), rng.normal(size=40)
    test = np.arange(40) >= 30
    solver = _Ridge((x - x.mean(axis=0)) @ (x - x.mean(axis=0)).T, test.astype(int))
    guess = solver._guess(y, ~test, test, [0.1])[0]
    k = x[~test] - x[~test].mean(axis=0)
    eigenvalues = np.maximum(np.linalg.eigvalsh(k @ k.T), 0)
    alpha = eigenvalues.mean() * 30 * 0.1
    expected = Ridge(alpha=alpha).fit(x[~test], y[~test]).predict(x[test])
    assert guess == pytest.approx(expected, abs=1e-8)
