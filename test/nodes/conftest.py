"""What the tests of nodes share; its folder is where they find `rig` and the doubles."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture
def hearing_hangups():
    """Processes started meanwhile hear SIGHUP, also when the tests themselves run under nohup."""
    # A handler, unlike being ignored, does not survive into a started program.
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, before)
