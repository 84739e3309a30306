"""Where the things are that words name."""

from __future__ import annotations

import numpy as np

from mobile_vla_ros.sim.word_places import WORDS, word_places

OUT, IN_FAR, IN_NEAR = (1.4, 0.5, -0.8, 0.5), (0.2, 0.4, 0.4, 2.5), (0.6, 0.5, -0.1, 1.5)


def test_a_word_names_what_is_in_the_picture_and_of_that_the_nearest() -> None:
    things = [("red", "cone"), ("red", "ball"), ("blue", "ball")]
    places = np.float32([OUT, IN_FAR, IN_NEAR])
    boxes = np.float32([IN_FAR, OUT, IN_NEAR])
    found = dict(zip(WORDS, word_places(things, places, boxes), strict=True))
    assert np.allclose(found["red"], IN_FAR)
    assert np.allclose(found["ball"], IN_NEAR)
    assert np.allclose(found["cone"], OUT)
    assert np.isnan(found["green"]).all()
    assert np.isnan(found["person"]).all()
    rows = word_places(things, places, boxes)[WORDS.index("obstacle") :]
    assert np.allclose(rows[:2], [IN_NEAR, IN_FAR])


def test_nobody_and_nothing_leave_gaps() -> None:
    found = word_places([("grey", "bin")], np.float32([IN_FAR]), np.empty((0, 4), np.float32))
    assert np.isfinite(found).any(axis=1).sum() == 2
    person = word_places([], np.empty((0, 4), np.float32), np.float32([OUT]), np.float32(IN_NEAR))
    assert np.allclose(person[-1], IN_NEAR)
    assert np.allclose(person[WORDS.index("obstacle")], OUT)
