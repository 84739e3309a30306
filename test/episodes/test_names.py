from datetime import datetime
from pathlib import Path

import pytest

from mobile_vla_ros.episodes import EpisodeError, episode_name, find_episodes, unique_path
from mobile_vla_ros.episodes.names import parse_scenario, scenario_of

WHEN = datetime(2025, 9, 17, 10, 30, 5)


def test_a_name_holds_time_and_scenario() -> None:
    assert episode_name(WHEN, "1box_left") == "episode_20250917_103005_1box_left.h5"


@pytest.mark.parametrize("scenario", ["", "a b", "../x", "a__b", "왼쪽"])
def test_a_scenario_that_cannot_stand_in_a_name_is_refused(scenario: str) -> None:
    with pytest.raises(EpisodeError, match="letters, digits"):
        episode_name(WHEN, scenario)


def test_two_in_one_second_get_a_counter_even_while_one_is_recorded(tmp_path: Path) -> None:
    first = unique_path(tmp_path, WHEN, "1box_left")
    first.with_name(first.name + ".part").write_text("")
    second = unique_path(tmp_path, WHEN, "1box_left")
    assert second.name == "episode_20250917_103005_1box_left-2.h5"
    second.write_text("")
    third = unique_path(tmp_path, WHEN, "1box_left")
    assert third.name == "episode_20250917_103005_1box_left-3.h5"
    assert scenario_of(third.name) == "1box_left"


@pytest.mark.parametrize(
    ("name", "boxes", "side", "levels", "base"),
    [
        ("1box_left", 1, "left", (), "1box_left"),
        ("2box_right", 2, "right", (), "2box_right"),
        ("1box_hori_left", 1, "left", ("hori",), "1box_left"),
        ("2box_vert_close_right", 2, "right", ("vert", "close"), "2box_right"),
        ("1box_vert_left_variant_far", 1, "left", ("vert", "variant", "far"), "1box_left"),
        ("corridor", None, None, ("corridor",), ""),
        ("", None, None, (), ""),
    ],
)
def test_a_scenario_is_taken_apart(
    name: str, boxes: int | None, side: str | None, levels: tuple[str, ...], base: str
) -> None:
    scenario = parse_scenario(name)
    assert (scenario.boxes, scenario.side, scenario.levels) == (boxes, side, levels)
    assert scenario.base == base
    assert bool(scenario.instruction) == (boxes is not None)
    if side:
        assert side in scenario.instruction


def test_only_finished_episodes_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.h5", "a.h5", "c.h5.part", ".hidden.h5", "notes.txt"):
        (tmp_path / name).write_text("")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "d.h5").write_text("")
    assert [path.name for path in find_episodes(tmp_path)] == ["a.h5", "b.h5"]
    assert len(find_episodes(tmp_path, "**/*.h5")) == 3
    with pytest.raises(EpisodeError, match="is not a folder"):
        find_episodes(tmp_path / "no")
