"""Capsules of takeovers in the simulated field: the gate shows them to a candidate."""

import numpy as np
import pytest

from mobile_vla_ros.analysis.gate_drive import check_incident
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.episodes.incident import read_incident
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.scenario import instruction_for
from mobile_vla_ros.sim.takeover import REASON, takeover_capsules

TINY = CameraSettings(width=32, height=24)
pytestmark = pytest.mark.egl


class Steady:
    """Commands the same always, whatever it sees."""

    action_axes = ("linear.x", "angular.z")

    class config:
        image_size, window_size, frame_period = 224, 8, 0.4
        action_axes = ("linear.x", "angular.z")

    def __init__(self, vx: float, wz: float) -> None:
        self._command = vx, wz
        self.instruction = ""

    def require_driving(self) -> None:
        pass

    def stream(self, instruction: str) -> "Steady":
        self.instruction = instruction
        return self

    def reset(self) -> None:
        pass

    def step(self, image, stamp, generation=0) -> ActionChunk:
        chunk = np.tile(np.float32(self._command), (10, 1))
        return ActionChunk(chunk, self.action_axes, stamp, 0.4, generation, frames=1)


def test_a_takeover_leaves_a_capsule_that_tells_policies_apart(tmp_path) -> None:
    [path] = takeover_capsules(Steady(0.3, 0.0), tmp_path, [("1box_left_close", 11)], camera=TINY)
    incident = read_incident(path)
    assert incident.reason == REASON
    assert incident.attributes["instruction"] == instruction_for("left")
    assert len(incident.jpegs) == len(incident.chunks) > 10
    # Everything until then was the policy's, what followed the person's.
    before = incident.commands[incident.commands[:, 0] < incident.time - 0.2]
    after = incident.commands[incident.commands[:, 0] > incident.time + 0.2]
    assert np.allclose(before[before[:, 1] > 0.29, 3], 0.0)
    assert np.abs(after[:, 3]).max() > 0.1
    again = check_incident(path.name, incident, Steady(0.3, 0.0))
    assert (again.ok, again.value["now"]) == (False, "does the same")
    stops = check_incident(path.name, incident, Steady(0.0, 0.0))
    assert (stops.ok, stops.value["now"]) == (True, "stops")
    turn = float(np.sign(after[after[:, 0] <= incident.time + 3.0, 3].mean()))
    turns = check_incident(path.name, incident, Steady(0.2, 0.5 * turn))
    assert (turns.ok, turns.value["now"]) == (True, "turns the other way")
    wrongly = check_incident(path.name, incident, Steady(0.2, -0.5 * turn))
    assert not wrongly.ok
