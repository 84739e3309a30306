"""The picture of what the robot sees and intends."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.nodes.inference import overlay

GREY = np.full((360, 640, 3), 120, np.uint8)


def drawn(instruction: str) -> np.ndarray:
    return overlay.draw_overlay(GREY, None, "driving", instruction, "linear.x +0.20 m/s")


@pytest.mark.skipif(overlay.wide_font() is None, reason="no font with Korean letters here")
def test_korean_is_drawn_as_it_is_written() -> None:
    left, right = drawn("왼쪽으로 가라"), drawn("오른쪽으로 가라")
    # question marks would make them alike
    assert (left != right).any()
    assert np.array_equal(left[80:300], right[80:300])


def test_without_a_font_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(overlay, "wide_font", lambda: None)
    monkeypatch.setattr(overlay.cv2, "putText", lambda *words: said.append(words[1]))
    drawn("왼쪽으로 가라")
    assert any("fonts-nanum" in text for text in said)
