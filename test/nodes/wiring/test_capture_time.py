"""When a frame was captured."""

from __future__ import annotations

import pytest

pytest.importorskip("builtin_interfaces")

from builtin_interfaces.msg import Time

from mobile_vla_ros.nodes.wiring.capture_time import CaptureTime

HEADER, RECEIVED = Time(sec=1_900_000_000, nanosec=123_456_789), 1_900_000_001_000_000_000


def test_the_header_counts_to_the_nanosecond_with_its_offset() -> None:
    assert CaptureTime().nanoseconds(HEADER, RECEIVED) == 1_900_000_000_123_456_789
    later = CaptureTime("header", -2.5).nanoseconds(HEADER, RECEIVED)
    assert later == 1_899_999_997_623_456_789


def test_by_receipt_neither_header_nor_offset_counts() -> None:
    assert CaptureTime("receipt", 3.0).nanoseconds(HEADER, RECEIVED) == RECEIVED
