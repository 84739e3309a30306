import numpy as np
import pytest

from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.control.pilot import PilotSettings
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, Run, drive
from mobile_vla_ros.sim.evaluate import Evaluation, evaluate, evaluation_plan
from mobile_vla_ros.sim.expert import expert_chunk
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.pathplot import draw_paths
from mobile_vla_ros.sim.relabel import collect_driven

TINY = CameraSettings(width=32, height=24)
PLAN = [("1box_left_close", 900), ("2box_right_close", 901)]
pytestmark = pytest.mark.egl


class Omniscient:
    """Predicts what the scripted driver would do from the field's true state."""

    action_axes = ("linear.x", "angular.z")

    def __init__(self, sim: Field) -> None:
        self._sim = sim

    def stream(self, instruction: str) -> "Omniscient":
        self._side = "left" if instruction.endswith("left") else "right"
        return self

    def reset(self) -> None:
        pass

    def step(self, image, stamp, generation=0) -> ActionChunk:
        assert image.dtype == np.uint8
        chunk = expert_chunk(self._sim.state.asked(self._side))
        return ActionChunk(chunk, self.action_axes, stamp, 0.4, generation)


def driven(name: str, seed: int, settings: LoopSettings | None = None) -> Run:
    with Field(name, seed, TINY) as sim:
        return drive(sim, Omniscient(sim), settings)


class Constant:
    """Always wants the same velocity."""

    action_axes = ("linear.x", "angular.z")

    def __init__(self, vx: float, wz: float) -> None:
        self._velocities = np.tile(np.float32([vx, wz]), (10, 1))
        self.instructions: list[str] = []

    def stream(self, instruction: str) -> "Constant":
        self.instructions.append(instruction)
        return self

    def reset(self) -> None:
        pass

    def step(self, image, stamp, generation=0) -> ActionChunk:
        return ActionChunk(self._velocities, self.action_axes, stamp, 0.4, generation)


def test_a_policy_that_knows_the_way_succeeds_and_the_table_says_so(tmp_path) -> None:
    failure = evaluate(Constant(0.3, 0.0), ["1box_left_core_close"], [3], camera=TINY).runs
    result = Evaluation((*(driven(*pair) for pair in PLAN), *failure))
    table = result.summary()
    assert (table["episodes"], table["successes"]) == (3, 2)
    assert table["success_rate"] == pytest.approx(2 / 3)
    assert table["wilson"] == pytest.approx([0.208, 0.939], abs=0.001)
    assert set(table["by_scenario"]) == {
        "1box_left_close",
        "2box_right_close",
        "1box_left_core_close",
    }
    assert table["by_side"]["right"]["successes"] == 1
    assert 5 < table["driving_time"] < 25
    assert 2 < table["path_length"] < 5
    assert table["collisions"] == 1
    assert table["by_side"]["right"]["clearance"]["least"] > 0.05
    assert table["reasons"] == {"reached": 2, "touched a box": 1}
    assert draw_paths(result.runs, tmp_path / "paths.png").stat().st_size > 10_000


def test_told_the_other_side_it_passes_there_and_that_is_wrong_unless_asked() -> None:
    with Field("1box_left_close", 900, TINY) as sim:
        other = sim.scenario.mirrored().instruction
        run = drive(sim, Omniscient(sim), instruction=other)
    assert run.outcome.passed == ("right",)
    assert run.outcome.reason == "passed on the wrong side"


def test_with_the_instruction_swapped_the_other_side_is_asked_for_in_the_same_field() -> None:
    policy = Constant(0.0, 0.0)
    result = evaluate(policy, plan=PLAN, camera=TINY, swap_instruction=True)
    assert [run.scenario for run in result.runs] == ["1box_right_close", "2box_left_close"]
    assert [run.seed for run in result.runs] == [900, 901]
    assert [text.split()[-1] for text in policy.instructions] == ["right", "left"]


def test_driving_straight_on_is_a_collision() -> None:
    result = evaluate(Constant(0.3, 0.0), ["1box_left_core_close"], [3], camera=TINY)
    assert result.summary()["collisions"] == 1
    assert result.runs[0].outcome.collided


def test_a_policy_that_wants_to_stand_is_not_waited_for() -> None:
    [run] = evaluate(Constant(0.0, 0.0), ["1box_left"], [3], camera=TINY).runs
    assert not run.outcome.success
    assert run.state == "arrived"
    assert run.outcome.driving_time < 6


def test_the_limits_of_the_robot_hold_in_the_loop() -> None:
    with Field("1box_left_far", 3, TINY) as sim:
        run = drive(sim, Constant(2.0, 0.0))
    speeds = np.linalg.norm(np.diff(run.path[:, :2], axis=0), axis=1) * 20
    assert speeds.max() < 0.32
    # 0.5 m/s^2: 0.2 s after the first command it is still slow.
    assert speeds[4] < 0.15


def test_a_delay_that_the_chunk_covers_is_survived() -> None:
    assert driven(*PLAN[0], LoopSettings(latency=0.3)).outcome.success


def test_hardware_too_slow_for_its_chunks_never_drives() -> None:
    limits = PilotSettings(worker_timeout=5.0)
    with Field("1box_left", 3, TINY, time_limit=4.0) as sim:
        run = drive(sim, Constant(0.3, 0.0), LoopSettings(latency=0.9, pilot=limits))
    assert run.state == "stopped: model too slow"
    assert run.outcome.path_length < 0.01


def test_what_a_policy_drove_is_recorded_with_what_it_should_have_done(tmp_path) -> None:
    [item] = collect_driven(
        Constant(0.3, 0.0), tmp_path, [("1box_left_core_close", 3)], camera=TINY
    )
    assert not item.success
    with open_episode(item.path) as episode:
        assert episode.outcome == "touched a box"
        commands = episode.velocities(("linear.x", "angular.z"))
        labels = episode.attributes["expert_chunks"]
        assert labels.shape == (len(episode), 10, 2)
        assert commands[-1, 1] == 0
        assert labels[-1, 0, 1] > 0.1
        assert np.allclose(np.diff(episode.image_stamps), 0.4, atol=1e-5)


def test_scenarios_are_taken_in_turn_and_seeds_count_up() -> None:
    assert evaluation_plan(["1box_left", "1box_right"], 3, 7) == [
        ("1box_left", 7),
        ("1box_right", 8),
        ("1box_left", 9),
    ]


@pytest.mark.parametrize("bad", [([], 1, 0), (["1box_left"], 0, 0), (["1box_left"], 1, -1)])
def test_a_plan_of_nothing_is_refused(bad) -> None:
    with pytest.raises(InputError, match=r"give|choose"):
        evaluation_plan(*bad)


@pytest.mark.parametrize(
    "bad", [{"latency": -1.0}, {"camera_period": 0.01}, {"camera_period": 0.3}]
)
def test_a_loop_that_cannot_be_is_refused(bad) -> None:
    with pytest.raises(InputError, match=r"give|raise"):
        LoopSettings(**bad)
