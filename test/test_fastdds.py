"""Images get room in Fast DDS, unless somebody has seen to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_vla_ros.fastdds import PROFILE_VARIABLES, image_room, own_profiles

SHARE = Path(__file__).parents[1]


def test_both_variables_name_the_shipped_profiles() -> None:
    room = image_room(SHARE, {})
    assert set(room) == set(PROFILE_VARIABLES)
    assert all(Path(value).is_file() for value in room.values())


@pytest.mark.parametrize("name", PROFILE_VARIABLES)
def test_profiles_of_the_user_stay(name: str) -> None:
    environment = {name: "/mine.xml"}
    assert image_room(SHARE, environment) == {}
    assert own_profiles(environment) == "/mine.xml"


def test_an_empty_variable_is_none_and_a_folder_without_profiles_gives_none(
    tmp_path: Path,
) -> None:
    assert image_room(SHARE, {PROFILE_VARIABLES[0]: ""})
    assert own_profiles({PROFILE_VARIABLES[0]: ""}) == ""
    assert image_room(tmp_path, {}) == {}
