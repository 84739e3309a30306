"""Frames in memory that two processes map: each side sees what the other has put there."""

from __future__ import annotations

import os

import numpy as np
import pytest

from mobile_vla_ros.nodes.recorder.ring import FrameRing
from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames


def test_what_one_side_fills_the_other_reads_without_a_copy() -> None:
    maker = SharedFrames(2, 1 << 20)
    maker.touch(5000)
    reader = SharedFrames(2, 1 << 20, os.dup(maker.file))
    picture = np.arange(300, dtype=np.uint8)
    assert maker.fill(1, picture) == 300
    view = reader.slot(1, 300)
    np.testing.assert_array_equal(np.frombuffer(view, np.uint8), picture)
    maker.pixels[1, 0] = 77
    assert view[0] == 77
    assert not any(reader.slot(0, 300))
    maker.close()
    reader.close()


def test_a_frame_that_is_larger_than_a_slot_is_refused() -> None:
    frames = SharedFrames(2, 100)
    with pytest.raises(ValueError, match="101 bytes is larger than a slot of 100"):
        frames.fill(0, bytes(101))
    frames.close()


def test_a_ring_grows_and_lends_each_slot_once() -> None:
    ring = FrameRing()
    assert ring.reserve() is None
    ring.resize(2, 64)
    assert {ring.reserve(), ring.reserve()} == {0, 1}
    assert ring.reserve() is None
    ring.release(1)
    assert ring.reserve() == 1
    ring.release_all()
    ring.resize(3, 128)
    assert (ring.free, ring.slots, ring.slot_bytes) == (3, 3, 128)
    ring.close()
