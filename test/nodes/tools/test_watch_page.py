"""The page of `mobile_vla watch`."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.nodes.tools.watch_page import HEIGHT, SIDE, blocks, from_above, page

NOTHING = np.zeros((0, 3))


def test_a_page_has_the_robots_picture_beside_its_path() -> None:
    picture = np.full((180, 320, 3), 90, np.uint8)
    shown = page(picture, np.array([[0, 0, 0], [1.0, 0.2, 0.1]]), "driving", 0.1, "/o")
    assert shown.shape == (HEIGHT, 640 + SIDE, 3)
    assert (shown[:, :640] == 90).all()
    old = page(picture, NOTHING, "driving", 5.0, "/o")
    assert (old[:, :640] != 90).any()


def test_without_a_picture_the_page_says_so() -> None:
    assert page(None, NOTHING, "", np.inf, "/o").shape == (HEIGHT, 640 + SIDE, 3)


def test_a_drive_to_the_left_goes_to_the_left() -> None:
    view = from_above(np.array([[0, 0, 0], [1, 0, 0], [1, 1, 1.57]], float))
    path = np.argwhere((view == (80, 230, 150)).all(axis=2))
    top = path[path[:, 0] == path[:, 0].min()]
    assert top[:, 1].min() < SIDE / 2 < path[path[:, 0] == path[:, 0].max()][:, 1].max()


def test_a_terminal_gets_two_rows_of_pixels_to_a_line() -> None:
    text = blocks(np.zeros((100, 200, 3), np.uint8), 40)
    assert text.count("\n") + 1 == 10
    assert text.count("\u2580") == 400
