import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes.incident import IncidentRing, write_incident
from mobile_vla_ros.policy import load_policy

WORDS = "Navigate around obstacles and reach the front of the beverage bottle on the left"


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["replay-incident", *map(str, arguments)])
    return int(exit_.value.code or 0)


@pytest.fixture(scope="module")
def checkpoint(golden) -> Path:
    return next((golden / "mobile_vla_frozen").glob("*.ckpt"))


@pytest.fixture(scope="module")
def capsule(golden, checkpoint, tmp_path_factory) -> Path:
    """An incident in which that same checkpoint drove."""
    images = np.load(golden / "mobile_vla_frozen" / "inputs.npz")["images"]
    policy = load_policy(checkpoint, device="cpu", dtype="float32")
    stream = policy.stream(WORDS)
    ring = IncidentRing()
    ring.axes, ring.action_period = ("linear.x", "angular.z"), 0.4
    ring.attributes = {"instruction": WORDS, "checkpoint": "the one that drove"}
    for index, image in enumerate(images[:12]):
        stamp = 100.0 + 0.4 * index
        # PNG, so that the replay sees the very pixels that the policy saw.
        encoded = cv2.imencode(".png", image[..., ::-1])[1].tobytes()
        ring.add_frame(stamp, stamp + 0.03, encoded)
        chunk = stream.step(image, stamp)
        ring.add_chunk(stamp, stamp + 0.05, chunk.velocities)
        ring.add_command(stamp + 0.06, float(chunk.velocities[0, 0]), 0.0, 0.1)
    ring.add_event(104.0, "driving")
    ring.trigger("stopped: camera silent", 104.5)
    incident = ring.poll(105.0, finish=True)
    assert incident is not None
    return write_incident(tmp_path_factory.mktemp("incident") / "incident.h5", incident)


def test_the_checkpoint_that_drove_would_have_done_the_same(capsule, checkpoint, tmp_path) -> None:
    out, figure = tmp_path / "r.json", tmp_path / "r.png"
    options = ["--json", out, "--plot", figure, "--device", "cpu", "--dtype", "float32"]
    assert run(capsule, "-c", checkpoint, *options) == 0
    result = json.loads(out.read_text())
    assert result["full_window"] is True
    assert result["compared"] == 5
    assert result["difference"]["linear.x"]["max"] < 1e-5
    assert result["path_gap"]["max"] < 1e-5
    assert figure.stat().st_size > 10_000


def test_another_checkpoint_would_have_done_something_else(capsule, golden, tmp_path) -> None:
    other = next((golden / "mobile_vla_lora").glob("*.ckpt"))
    out = tmp_path / "r.json"
    assert run(capsule, "-c", other, "--json", out, "--device", "cpu") == 0
    assert json.loads(out.read_text())["difference"]["linear.x"]["max"] > 1e-4


def test_wrong_input_is_one_sentence(capsule, golden, checkpoint, tmp_path, capsys) -> None:
    assert run(tmp_path / "none.h5", "-c", checkpoint) == 2
    arm = golden / "robovlms_oxe_7dof" / "kosmos_ph_oxe-pretrain.pt"
    assert run(capsule, "-c", arm) == 2
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 2
    assert "there is no incident file" in errors[0]
    assert "cannot drive" in errors[1]
