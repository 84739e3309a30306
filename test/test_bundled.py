"""The name of the bundled policy, and paths of the package's share folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_vla_ros import bundled
from mobile_vla_ros.cli import demo
from mobile_vla_ros.hub import DATASET, cached, resolve


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package's share folder, and an empty folder to work in."""
    place = tmp_path / "prefix" / "share" / "mobile_vla_ros"
    (place / "config").mkdir(parents=True)
    (place / "package.xml").touch()
    (place / "config" / "run.json").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/nowhere:{tmp_path / 'prefix'}")
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return place


@pytest.mark.parametrize("name", ["demo", Path("demo"), "demo_open"])
def test_demo_is_the_bundled_policy_for_whoever_asks_for_a_model(name: str | Path) -> None:
    for found in (bundled.find(name), resolve(name), cached(name)):
        assert (found / "model.safetensors").is_file()
    assert resolve(name, DATASET) == Path(name)


def test_each_field_has_a_bundled_policy_of_its_own() -> None:
    assert bundled.find("demo") != bundled.find("demo_open")
    assert demo._of_its_field("demo", "1box_left") == "demo"
    assert demo._of_its_field("demo", "open_easy_change") == "demo_open"
    assert demo._of_its_field("runs/demo", "open_easy_change") == "runs/demo"
    own = Path("best.ckpt")
    assert bundled.for_field(own, open_field=True) == own


def test_a_relative_path_that_does_not_exist_is_looked_for_in_the_share_folder(share: Path):
    assert bundled.find("config/run.json") == share / "config" / "run.json"
    own = Path("config/run.json")
    own.parent.mkdir()
    own.touch()
    assert bundled.find("config/run.json") == own


def test_both_places_are_named_where_a_path_is_nowhere(share: Path):
    assert bundled.find("none.ckpt") == Path("none.ckpt")
    assert bundled.places("none.ckpt") == f" (looked in {Path.cwd()} and in {share})"
    assert bundled.places("/none.ckpt") == ""
    assert bundled.places("~/none.ckpt") == ""


def test_a_path_too_long_for_the_file_system_is_left_to_whoever_opens_it():
    name = "x" * 5000
    assert bundled.find(name) == Path(name)
    assert bundled.places(name) == ""
