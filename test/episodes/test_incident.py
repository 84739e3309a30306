import subprocess
import sys

import numpy as np
import pytest

from mobile_vla_ros.episodes.incident import (
    MOST_LARGE,
    MOST_SMALL,
    IncidentError,
    IncidentRing,
    is_incident,
    read_incident,
    write_incident,
)


def filled(seconds: float = 30.0, trigger: float | None = 20.0):
    ring = IncidentRing(before=10.0, after=5.0)
    ring.axes, ring.action_period = ("linear.x", "angular.z"), 0.4
    ring.attributes = {"instruction": "왼쪽으로"}
    done = None
    for step in range(round(seconds * 10)):
        now = step / 10
        ring.add_frame(now - 0.05, now, bytes([step % 256]) * (step % 7 + 1))
        ring.add_chunk(now - 0.05, now, np.full((10, 2), now))
        ring.add_command(now, 0.1, 0.0, now)
        ring.add_odometry(now, now, 0, 0, 0.1, 0, 0)
        ring.add_feature(now - 0.05, now, np.full(8, now))
        if trigger is not None and step == round(trigger * 10):
            assert ring.trigger("stopped: camera silent", now)
        if step == 230 and trigger is not None:
            assert not ring.trigger("mark", now)
        done = done or ring.poll(now)
    return ring, done


def test_a_capsule_has_ten_seconds_before_and_five_after() -> None:
    _, incident = filled()
    assert incident is not None
    assert incident.frame_received[0] == pytest.approx(10.0)
    assert incident.frame_received[-1] == pytest.approx(25.0)
    assert len(incident.jpegs) == len(incident.chunks) == len(incident.commands) == 151
    assert incident.chunks.shape == (151, 10, 2)
    assert incident.features.shape == (151, 8)


def test_a_second_trigger_joins_the_capture_as_an_event() -> None:
    _, incident = filled()
    assert incident is not None
    assert incident.reason == "stopped: camera silent"
    assert [text for _, text in incident.events] == ["stopped: camera silent", "mark"]


def test_without_a_trigger_nothing_is_handed_out_and_memory_stays() -> None:
    ring, incident = filled(seconds=60, trigger=None)
    assert incident is None
    assert len(ring._frames) <= 101


def test_frames_are_dropped_beyond_the_memory_limit() -> None:
    ring = IncidentRing(most_bytes=1000)
    for step in range(50):
        ring.add_frame(step * 0.01, step * 0.01, b"x" * 100)
    ring.trigger("mark", 0.5)
    incident = ring.poll(1.0, finish=True)
    assert incident is not None
    assert len(incident.jpegs) == 10


def test_a_capsule_survives_its_file(tmp_path) -> None:
    _, incident = filled()
    assert incident is not None
    path = write_incident(tmp_path / "incident.h5", incident)
    again = read_incident(path)
    for name, value in vars(incident).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, getattr(again, name))
        else:
            assert value == getattr(again, name), name
    assert is_incident(path)
    assert [file.name for file in tmp_path.iterdir()] == ["incident.h5"]


def test_an_empty_ring_still_gives_a_capsule(tmp_path) -> None:
    ring = IncidentRing()
    ring.trigger("mark", 1.0)
    incident = ring.poll(1.0, finish=True)
    assert incident is not None
    again = read_incident(write_incident(tmp_path / "i.h5", incident))
    assert (again.jpegs, len(again.chunks), again.reason) == ((), 0, "mark")


def test_an_existing_file_is_never_replaced(tmp_path) -> None:
    _, incident = filled()
    assert incident is not None
    path = tmp_path / "incident.h5"
    path.write_text("precious")
    with pytest.raises(IncidentError, match="cannot write"):
        write_incident(path, incident)
    assert path.read_text() == "precious"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("content", [None, b"", b"not hdf5"])
def test_a_foreign_file_is_one_sentence(tmp_path, content) -> None:
    path = tmp_path / "x.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IncidentError, match="incident file"):
        read_incident(path)
    assert not is_incident(path)


def test_a_full_disk_leaves_nothing_half_written(tmp_path) -> None:
    program = f"""
import resource, signal, numpy as np
from mobile_vla_ros.episodes.incident import IncidentError, IncidentRing, write_incident
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
ring = IncidentRing()
ring.add_frame(0.0, 0.0, b"x" * 200000)
ring.trigger("mark", 0.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
try:
    write_incident({str(tmp_path / "i.h5")!r}, ring.poll(0.0, finish=True))
except IncidentError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("cannot write the incident"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_clock_that_is_set_back_neither_fills_the_memory_nor_holds_the_capsule() -> None:
    ring = IncidentRing(before=2.0, after=1.0)
    for step in range(100):
        ring.add_frame(1000 + step / 10, 1000 + step / 10, b"x")
    ring.trigger("mark", 1010.0)
    for step in range(100):
        ring.add_frame(step / 10, step / 10, b"y")
    incident = ring.poll(10.0)
    assert incident is not None
    assert all(jpeg == b"y" for jpeg in incident.jpegs)
    assert "the clock was set back" in " ".join(text for _, text in incident.events)
    for step in range(100, 200):
        ring.add_frame(step / 10, step / 10, b"y")
    assert ring.poll(20.0) is None
    ring.trigger("mark", 20.0)
    later = ring.poll(21.0)
    assert later is not None
    assert len(later.jpegs) <= 21


def test_a_clock_that_is_set_forward_still_gives_the_capsule() -> None:
    ring = IncidentRing(before=2.0, after=1.0)
    ring.add_frame(10.0, 10.0, b"x")
    ring.trigger("mark", 10.1)
    ring.add_frame(5000.0, 5000.0, b"x")
    incident = ring.poll(5000.0)
    assert incident is not None
    assert len(incident.jpegs) == 2


def test_a_clock_that_stands_still_does_not_make_the_ring_grow() -> None:
    ring = IncidentRing(most_bytes=1000)
    ring.trigger("mark", 0.0)
    for _ in range(60_000):
        ring.add_command(0.0, 0.1, 0.0, 0.0)
    for _ in range(6_000):
        ring.add_frame(0.0, 0.0, b"")
        ring.add_feature(0.0, 0.0, np.zeros(2))
    capsule = ring.poll(0.0, finish=True)
    assert capsule is not None
    assert len(capsule.commands) == MOST_SMALL
    assert len(capsule.jpegs) == len(capsule.features) == MOST_LARGE


def test_the_instruction_from_before_the_capsule_is_not_forgotten() -> None:
    ring = IncidentRing(before=2.0)
    ring.hear_instruction("from the launch")
    ring.add_event(0.0, "instruction: go left")
    ring.add_event(1.0, "driving")
    ring.hear_instruction("go left")
    for step in range(50):
        ring.add_command(step / 10, 0.1, 0.0, 0.0)
    ring.add_event(5.0, "instruction: go right")
    ring.trigger("mark", 5.0)
    incident = ring.poll(5.0, finish=True)
    assert incident is not None
    assert incident.attributes["instruction_before"] == "go left"


def test_pictures_as_the_policy_saw_them_are_kept_and_counted(tmp_path) -> None:
    ring = IncidentRing(most_bytes=10_000)
    for step in range(50):
        picture = np.full((16, 16, 3), step, np.uint8)
        ring.add_frame(step * 0.01, step * 0.01, b"x" * 232, picture)
    ring.trigger("mark", 0.5)
    incident = ring.poll(1.0, finish=True)
    assert incident is not None
    assert len(incident.jpegs) == 10
    again = read_incident(write_incident(tmp_path / "incident.h5", incident))
    np.testing.assert_array_equal(again.seen[:, 0, 0, 0], np.arange(40, 50))
    assert again.image(0, 16)[0, 0, 0] == 40
