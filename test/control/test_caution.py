import math

import pytest

from mobile_vla_ros.control.caution import (
    WarningLevels,
    blind_factor,
    disagreement_factor,
    early_warnings,
)
from mobile_vla_ros.errors import InputError

CALM = {
    "blind_distance": 0.2,
    "window_spacing": 0.02,
    "disagreement": 0.05,
    "feature_distance": 1.1,
}


def test_an_ordinary_drive_gives_no_warning() -> None:
    assert early_warnings(CALM, 0.4, WarningLevels()) == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("blind_distance", 0.7, "drives 0.70 m on one frame"),
        ("window_spacing", 0.15, "0.15 s off the trained spacing of 0.4 s"),
        ("disagreement", 0.5, "consecutive plans differ by 0.50"),
        ("feature_distance", 4.0, "4.0 spreads from those of training"),
    ],
)
def test_each_reading_beyond_its_level_is_one_sentence(name, value, words) -> None:
    (sentence,) = early_warnings({**CALM, name: value}, 0.4, WarningLevels())
    assert words in sentence
    assert early_warnings({**CALM, name: value}, 0.4, WarningLevels(**{name: 0.0})) == ()


def test_what_is_not_known_gives_no_warning() -> None:
    unknown = dict.fromkeys(CALM, math.nan)
    assert early_warnings(unknown, 0.4, WarningLevels()) == ()
    assert early_warnings({}, 0.4, WarningLevels()) == ()


def test_the_window_is_judged_by_the_trained_spacing() -> None:
    readings = {"window_spacing": 0.08}
    assert early_warnings(readings, 0.4, WarningLevels()) == ()
    assert early_warnings(readings, 0.2, WarningLevels()) != ()


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_level_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(InputError, match="warn_disagreement"):
        WarningLevels(disagreement=value)


def test_the_speed_falls_so_that_the_blind_distance_holds() -> None:
    assert blind_factor(0.3, 1.0, 0.0) == 1.0
    assert blind_factor(0.3, 1.0, 0.3) == 1.0
    factor = blind_factor(0.3, 1.0, 0.15)
    assert 0.3 * factor * 1.0 == pytest.approx(0.15)


def test_the_speed_falls_with_the_disagreement() -> None:
    assert disagreement_factor(5.0, 0.0) == 1.0
    assert disagreement_factor(0.1, 0.2) == 1.0
    assert disagreement_factor(0.4, 0.2) == pytest.approx(0.5)
