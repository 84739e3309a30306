"""What a capsule says of the camera that it was seen through."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from builtin_interfaces.msg import Time

from mobile_vla_ros.episodes.incident import Incident, read_incident
from mobile_vla_ros.nodes.trial.keeper import IncidentKeeper
from mobile_vla_ros.nodes.wiring.image_message import compressed_message
from mobile_vla_ros.pictures import encode_jpeg
from mobile_vla_ros.rig import Rig, rig_of

RIG = Rig("front", mount_height=0.3, tilt=12.0)


def capsule(folder: Path, rig: Rig | None, frames: int) -> Incident:
    said: list[tuple[str, bool]] = []
    keeper = IncidentKeeper(folder, lambda words, bad: said.append((words, bad)), 10.0, 5.0, rig)
    for row in range(frames):
        picture = compressed_message(encode_jpeg(np.zeros((24, 32, 3), np.uint8)), Time(sec=row))
        keeper.hear_frame(float(row), float(row), picture)
        keeper.describe({"trial": "t-1"})
    keeper.hear_event("mark", 3.0)
    keeper.close(3.0)
    assert [bad for _, bad in said] == [False]
    (path,) = folder.glob("*.h5")
    return read_incident(path)


def test_a_capsule_keeps_the_rig_and_how_large_its_pictures_are(tmp_path: Path) -> None:
    found = capsule(tmp_path, RIG, frames=2)
    assert rig_of(found.attributes) == Rig("front", 32, 24, 0.3, 12.0)
    assert found.attributes["trial"] == "t-1"


def test_without_pictures_and_a_known_camera_nothing_is_guessed(tmp_path: Path) -> None:
    assert rig_of(capsule(tmp_path, None, frames=0).attributes) == Rig()
