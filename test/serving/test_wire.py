"""The wire format: what is packed comes back, and nothing else is believed."""

from __future__ import annotations

import contextlib
import math
import tracemalloc

import msgpack
import numpy as np
import pytest

from mobile_vla_ros.serving import wire
from mobile_vla_ros.serving.errors import WireError

FRAME = wire.FrameMessage(3, 1234567890.123456, 2, "가라 go", "jpeg", b"\xff\xd8", True)
CHUNK = wire.ChunkMessage(
    id=3,
    stamp=1234567890.123456,
    generation=2,
    velocities=np.arange(20, dtype=np.float32).reshape(10, 2),
    action_period=0.4,
    window_stamps=np.array([1.0, 1.4]),
    feature=np.ones((1, 8), np.float32),
)


def fields_of(packet: bytes) -> dict:
    return msgpack.unpackb(packet)


def test_a_frame_comes_back_as_it_went() -> None:
    assert wire.unpack(wire.pack(FRAME), wire.FROM_ROBOT) == FRAME


def test_a_chunk_comes_back_bit_for_bit() -> None:
    back = wire.unpack(wire.pack(CHUNK), wire.FROM_SERVER)
    assert back.velocities.dtype == np.float32
    assert back.velocities.tobytes() == CHUNK.velocities.tobytes()
    assert back.window_stamps.tolist() == [1.0, 1.4]
    assert back.feature.shape == (1, 8)
    assert math.isnan(back.feature_distance)


@pytest.mark.parametrize(
    "spoil",
    [
        {"stamp": math.nan},
        {"stamp": math.inf},
        {"stamp": "1"},
        {"id": -1},
        {"id": True},
        {"id": 2**60},
        {"generation": 1.5},
        {"instruction": 7},
        {"instruction": "x" * 2001},
        {"form": "gif"},
        {"data": "text"},
        {"data": b""},
        {"feature": 1},
        {"unknown": 1},
        {"type": "chunk"},
        {"type": None},
    ],
)
def test_a_frame_with_a_wrong_field_is_refused(spoil: dict) -> None:
    packet = msgpack.packb({**fields_of(wire.pack(FRAME)), **spoil})
    with pytest.raises(WireError):
        wire.unpack(packet, wire.FROM_ROBOT)


@pytest.mark.parametrize(
    "array",
    [
        {"dtype": "|O", "shape": [1], "data": b"12345678"},
        {"dtype": "<f8", "shape": [10, 2], "data": bytes(160)},
        {"dtype": "<f4", "shape": [10, 2], "data": bytes(79)},
        {"dtype": "<f4", "shape": [2**40, 2**40], "data": b""},
        {"dtype": "<f4", "shape": [-1, 2], "data": b""},
        {"dtype": "<f4", "shape": "ab", "data": b""},
        {"dtype": "<f4", "shape": [20], "data": bytes(80)},
        {"dtype": "<f4", "shape": [0, 2], "data": b""},
        {"dtype": ["<f4"], "shape": [10, 2], "data": bytes(80)},
    ],
)
def test_an_array_that_is_not_what_it_says_is_refused_before_it_is_made(array: dict) -> None:
    packet = msgpack.packb({**fields_of(wire.pack(CHUNK)), "velocities": array})
    tracemalloc.start()
    try:
        with pytest.raises(WireError):
            wire.unpack(packet, wire.FROM_SERVER)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_random_and_cut_bytes_are_refused() -> None:
    rng = np.random.default_rng(3)
    good = wire.pack(FRAME)
    for _ in range(3000):
        kind = rng.integers(3)
        if kind == 0:
            packet = rng.bytes(int(rng.integers(0, 200)))
        elif kind == 1:
            packet = good[: int(rng.integers(0, len(good)))]
        else:
            changed = bytearray(good)
            changed[int(rng.integers(len(good)))] ^= 1 << int(rng.integers(8))
            packet = bytes(changed)
        # Anything else that is raised fails the test; a flipped bit may leave a good frame.
        with contextlib.suppress(WireError):
            assert isinstance(wire.unpack(packet, wire.FROM_ROBOT), wire.FrameMessage)


def test_deeply_nested_messages_are_refused() -> None:
    packet = b"\x91" * 5000 + b"\x90"
    with pytest.raises(WireError):
        wire.unpack(packet, wire.FROM_ROBOT)


def test_a_message_beyond_the_limit_is_refused_unread() -> None:
    with pytest.raises(WireError, match="too large"):
        wire.unpack(bytes(wire.MAX_MESSAGE + 1), wire.FROM_ROBOT)


def test_a_robot_cannot_say_what_only_a_server_says() -> None:
    with pytest.raises(WireError):
        wire.unpack(wire.pack(CHUNK), wire.FROM_ROBOT)
