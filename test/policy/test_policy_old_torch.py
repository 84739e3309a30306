"""What differs between the versions of torch that converted directories load with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from mobile_vla_ros.policy import random_policy


def test_the_lstm_runs_where_onednns_switch_knows_itself_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """torch 2.4 and 2.5 have neither ``deterministic`` nor ``allow_tf32`` there."""
    asked: list[bool] = []

    @contextmanager
    def flags(enabled: bool = False) -> Iterator[None]:
        asked.append(enabled)
        yield

    policy = random_policy("tiny", device="cpu", dtype="float32")
    features = torch.randn(1, 3, 1, policy.width, generator=torch.Generator().manual_seed(0))
    wanted = policy.decode(features)
    monkeypatch.setattr(torch.backends.mkldnn, "flags", flags)
    torch.testing.assert_close(policy.decode(features), wanted)
    assert asked == [False] or not torch.backends.mkldnn.is_available()
