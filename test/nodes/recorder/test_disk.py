from __future__ import annotations

import resource

import pytest

from mobile_vla_ros.episodes.recording import RecordingError
from mobile_vla_ros.nodes.recorder.disk import Disk


@pytest.fixture
def disk():
    disk = Disk(lambda episode, label: None, queue_frames=10)
    yield disk
    assert disk.close()


def test_a_queue_for_which_there_is_no_memory_is_refused_and_a_smaller_one_is_made(disk) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(RecordingError, match="lower the parameter queue_frames"):
            disk.make_room(200_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    disk.make_room(100_000)
    assert disk.slot_bytes == 100_000
    disk.make_room(200_000)
    assert disk.slot_bytes == 200_000
