"""The collection plan: what is wanted, what is done, what comes next."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_vla_ros.episodes.plan import (
    PlanError,
    count_by_name,
    level_name,
    plan_from,
    read_plan,
    scenario_of,
)

SHIPPED = Path(__file__).parents[2] / "config" / "collection.yaml"


def test_the_shipped_plan_wants_a_thousand_episodes_half_of_them_left() -> None:
    plan = read_plan(SHIPPED)
    assert sum(entry.target for entry in plan.scenarios) == 1000
    left = [entry for entry in plan.scenarios if entry.name.endswith("_left")]
    assert sum(entry.target for entry in left) == 500
    assert all(entry.instruction for entry in plan.scenarios)


def test_a_level_stands_before_the_side() -> None:
    assert level_name("1box_left", "close") == "1box_close_left"
    assert level_name("doorway", "hard") == "doorway_hard"


def test_the_plan_proposes_what_is_furthest_behind() -> None:
    plan = plan_from({"scenarios": {"a_left": 10, "a_right": {"target": 4}}})
    assert plan.propose({}).name == "a_left"
    assert plan.propose({"a_left": 3}).name == "a_right"
    assert plan.propose({"a_left": 3, "a_right": 2}).name == "a_left"
    assert plan.propose({"a_left": 10, "a_right": 5}) is None


def test_progress_keeps_scenarios_that_the_plan_does_not_know() -> None:
    plan = plan_from({"scenarios": {"a_left": 2}})
    rows = [(p.name, p.done, p.target, p.missing) for p in plan.progress({"a_left": 3, "zoo": 1})]
    assert rows == [("a_left", 3, 2, 0), ("zoo", 1, 0, 0)]


def test_files_are_counted_by_the_scenario_in_their_names() -> None:
    names = [
        "episode_20250808_123136_1box_vert_left.h5",
        "episode_20250808_123136_1box_vert_left-2.h5",
        "episode_20250808_123140_2box_right.h5",
        "notes.h5",
    ]
    assert count_by_name(names) == {"1box_vert_left": 2, "2box_right": 1}
    assert scenario_of("episode_20250808_123140_2box_right.h5") == "2box_right"


@pytest.mark.parametrize(
    ("content", "fragment"),
    [
        (None, "scenarios"),
        ({"scenarios": {"a b": 1}}, "letters, digits"),
        ({"scenarios": {"a/../b": 1}}, "letters, digits"),
        ({"scenarios": {"a": -1}}, "whole number"),
        ({"scenarios": {"a": True}}, "target"),
        ({"scenarios": {"a": {"target": 3, "levels": {"x": 1}}}}, "add up to 1"),
        ({"scenarios": {"a": {"targt": 3}}}, "targt"),
        ({"scenarios": {"a": {"target": 3, "instruction": 4}}}, "text"),
        ({"scenarios": {"a_x_left": 1, "a_left": {"levels": {"x": 1}}}}, "twice"),
    ],
)
def test_a_wrong_plan_is_refused_with_a_sentence(content: object, fragment: str) -> None:
    with pytest.raises(PlanError, match=fragment):
        plan_from(content, "plan.yaml")


def test_a_missing_or_broken_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match=r"nowhere\.yaml"):
        read_plan(tmp_path / "nowhere.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("scenarios: [", encoding="utf-8")
    with pytest.raises(PlanError, match="not YAML"):
        read_plan(broken)


def test_a_korean_instruction_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "plan.yaml"
    file.write_text("scenarios:\n  a: {target: 1, instruction: 컵으로 가세요}\n", encoding="utf-8")
    assert read_plan(file).instruction("a") == "컵으로 가세요"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "scenarios:\n  1box_left: 3\n  2box_left: 1\n  1box_left: 5\n",
            "'1box_left' stands twice",
        ),
        ("scenarios: {a: 1}\nscenarios: {b: 2}\n", "'scenarios' stands twice"),
        ("scenarios:\n  1box_left: {target: 3, target: 4}\n", "'target' stands twice"),
        ("scenarios:\n  1box_left: 1:30\n", "must hold a target"),
        ("scenarios:\n  1box_left: {target: 1:30}\n", "not '1:30'"),
        ("scenarios: [\n", "is not YAML"),
    ],
)
def test_what_yaml_would_pass_over_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(PlanError, match=said) as caught:
        read_plan(tmp_path / "plan.yaml")
    assert "plan.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
