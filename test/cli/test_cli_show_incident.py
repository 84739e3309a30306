import json

import numpy as np
from typer.testing import CliRunner

from mobile_vla_ros.cli.episodes import app
from mobile_vla_ros.episodes.incident import IncidentRing, write_incident


def capsule(tmp_path, frames: int):
    import cv2

    ring = IncidentRing(before=5.0, after=1.0)
    ring.axes, ring.action_period = ("linear.x", "angular.z"), 0.4
    ring.attributes = {"scenario": "1box_left", "checkpoint": "a"}
    picture = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    for step in range(frames):
        now = 100 + step / 10
        ring.add_frame(now, now, picture)
        ring.add_chunk(now, now, np.full((10, 2), 0.1, np.float32))
        ring.add_command(now, 0.1, 0.0, 0.1)
        ring.add_odometry(now, 0.01 * step, 0.0, 0.0, 0.1, 0.0, 0.0)
    ring.trigger("takeover", 103.0)
    incident = ring.poll(110.0)
    assert incident is not None
    return write_incident(tmp_path / "incident.h5", incident)


def test_show_draws_a_capsule_and_says_what_is_in_it(tmp_path) -> None:
    path = capsule(tmp_path, 40)
    plot, facts = tmp_path / "incident.png", tmp_path / "facts.json"
    done = CliRunner().invoke(app, ["show", str(path), "--plot", str(plot), "--json", str(facts)])
    assert done.exit_code == 0, done.output
    told = json.loads(facts.read_text())
    assert (told["reason"], told["frames"], told["chunks"]) == ("takeover", 40, 40)
    assert plot.stat().st_size > 10_000


def test_a_capsule_without_frames_or_plans_is_drawn_too(tmp_path) -> None:
    path = capsule(tmp_path, 0)
    plot = tmp_path / "empty.png"
    done = CliRunner().invoke(app, ["show", str(path), "--plot", str(plot)])
    assert done.exit_code == 0, done.output
    assert plot.exists()
