"""What the node says when it has waited for a while, on an injected clock."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from mobile_vla_ros.nodes.inference.patience import Patience, missing_camera


class Graph:
    """A node's name, log and graph."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.topics = [
            ("/camera/color/image_raw", ["sensor_msgs/msg/Image"]),
            ("/mobile_vla/overlay/compressed", ["sensor_msgs/msg/CompressedImage"]),
            ("/odom", ["nav_msgs/msg/Odometry"]),
        ]

    def get_logger(self):
        return SimpleNamespace(info=self.lines.append, warning=self.lines.append)

    def get_fully_qualified_name(self) -> str:
        return "/mobile_vla"

    def get_topic_names_and_types(self):
        return self.topics

    def count_publishers(self, _topic: str) -> int:
        return 1


@pytest.fixture
def graph() -> Graph:
    return Graph()


def waits(graph: Graph, states: list[tuple[float, str]]) -> None:
    now, driver = [0.0], SimpleNamespace(view=SimpleNamespace(state=""))
    patience = Patience(graph, driver, lambda: "/camera/image_raw", lambda: now[0])
    for when, state in states:
        now[0], driver.view.state = when, state
        patience.look_around()


def test_after_three_seconds_it_names_the_topic_it_waits_for_and_the_pictures_that_exist(graph):
    waits(graph, [(when / 5, "waiting_for_camera") for when in range(60)])
    assert len(graph.lines) == 1
    assert "pictures on /camera/image_raw, where nobody publishes" in graph.lines[0]
    assert "/camera/color/image_raw (raw)" in graph.lines[0]
    assert "overlay" not in graph.lines[0]


def test_a_camera_that_comes_in_time_is_no_news(graph):
    waits(graph, [(0.0, "waiting_for_camera"), (2.9, "waiting_for_camera"), (3.1, "driving")])
    assert graph.lines == []


def test_how_to_give_an_instruction_is_told_to_whoever_gives_none(graph):
    waits(graph, [(0.0, "waiting_for_instruction"), (3.0, "driving")])
    assert graph.lines == []
    waits(graph, [(0.0, "waiting_for_instruction"), (4.1, "waiting_for_instruction")])
    assert "/mobile_vla/instruction" in graph.lines[0]


def test_where_nobody_publishes_pictures_it_says_to_start_a_camera():
    assert "camera.launch.py" in missing_camera("/image", {})
    assert "though somebody publishes there" in missing_camera("/image", {"/image": "raw"})
