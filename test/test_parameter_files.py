"""Sections of parameter files match nodes as they do in rcl, and may be nested."""

from __future__ import annotations

from pathlib import Path

import pytest

from mobile_vla_ros.parameter_files import matches, misspelt, sections


# What rcl itself did with each section, for a node in these three namespaces.
@pytest.mark.parametrize(
    ("section", "root", "one", "two"),
    [
        ("/cmd_vel_guard", True, False, False),
        ("/**", True, True, True),
        ("/**/cmd_vel_guard", True, True, True),
        ("/*/cmd_vel_guard", False, True, False),
        ("/ns/cmd_vel_guard", False, True, False),
        ("/ns/**", False, True, True),
        ("/ns/*", False, True, False),
        ("/*", True, False, False),
        ("/**/**", True, True, True),
        ("/cmd_vel_gaurd", False, False, False),
    ],
)
def test_a_section_is_for_the_nodes_that_rcl_takes_it_for(section, root, one, two) -> None:
    names = ("/cmd_vel_guard", "/ns/cmd_vel_guard", "/ns/b/cmd_vel_guard")
    assert [matches(section, name) for name in names] == [root, one, two]


def test_sections_are_found_with_and_without_slashes_and_below_namespaces(tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text(
        "camera: {ros__parameters: {rate: 1.0}}\n"
        "/**/guard: {ros__parameters: {rate: 1.0}}\n"
        "robot1: {camera: {ros__parameters: {rate: 1.0}}}\n"
        '"**": {ros__parameters: {rate: 1.0}}\n'
    )
    assert sections(path) == ["/**", "/**/guard", "/camera", "/robot1/camera"]


def test_a_file_with_comments_alone_has_no_sections(tmp_path: Path) -> None:
    path = tmp_path / "parameters.yaml"
    path.write_text("# nothing yet\n")
    assert sections(path) == []


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("/cmd_vel_gaurd", True),
        ("/robot1/cmd_vel_gard", True),
        ("/**/cmdvel_guard", True),
        ("/cmd_vel_guard_2", False),  # another node's
        ("/mobile_vla", False),
        ("/**", False),
    ],
)
def test_a_section_that_is_nearly_a_nodes_name_was_meant_for_it(section, expected) -> None:
    assert misspelt(section, "cmd_vel_guard") is expected
