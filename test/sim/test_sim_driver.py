import numpy as np
import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.driver import KEY_ANGULAR, DriverSettings, ScriptedDriver
from mobile_vla_ros.sim.expert import MAX_ANGULAR, MAX_LINEAR, FieldState, expert_chunk
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.layout import sample_layout
from mobile_vla_ros.sim.outcome import Outcome
from mobile_vla_ros.sim.scenario import SCENARIOS


def driven(name: str, seed: int, settings: DriverSettings) -> tuple[Outcome, np.ndarray]:
    sim = Field(name, seed)
    driver = ScriptedDriver(sim, settings, np.random.default_rng(seed))
    actions = []
    while not sim.outcome().decided:
        actions.append(driver.action())
        sim.step(actions[-1], 0.4)
    return sim.outcome(), np.array(actions)


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("noise", [0.0, 1.0])
def test_the_smooth_driver_gets_there_with_room_to_spare(name, noise) -> None:
    for seed in range(500, 506):
        outcome, actions = driven(name, seed, DriverSettings(noise=noise))
        assert outcome.success, (seed, outcome)
        assert set(outcome.passed) == {name.split("_")[1]}
        assert 0.3 < outcome.distance < 0.42
        assert outcome.driving_time < 25
        assert np.abs(actions[:, 0]).max() <= MAX_LINEAR
        assert np.abs(actions[:, 2]).max() <= MAX_ANGULAR
        if noise == 0:
            assert outcome.clearance > 0.1


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_keyboard_driver_gets_there_with_the_keys_velocities_alone(name) -> None:
    for seed in range(600, 605):
        outcome, actions = driven(name, seed, DriverSettings(style="keyboard", noise=0.5))
        assert outcome.success, (seed, outcome)
        assert set(np.abs(actions[:, 2])) <= {0.0, KEY_ANGULAR}
        assert set(actions[:, 0]) <= {0.0, MAX_LINEAR, MAX_LINEAR / 2}


def test_a_chunk_is_what_the_driver_then_does() -> None:
    sim = Field("1box_left", 11)
    promised = expert_chunk(sim.state, 10, 0.4)
    driver = ScriptedDriver(sim, DriverSettings(), np.random.default_rng(0))
    done = []
    for _ in range(10):
        done.append(driver.action())
        sim.step(done[-1], 0.4)
    assert promised.dtype == np.float32
    assert np.abs(promised - np.array(done)[:, [0, 2]]).max() < 0.1


def test_one_state_is_labelled_for_either_side() -> None:
    for seed in range(20):
        layout = sample_layout("1box_left_core", seed)
        state = FieldState(layout, (0.0, 0.0, 0.0))
        left = expert_chunk(state, 3)[:, 1].sum()
        right = expert_chunk(state.asked("right"), 3)[:, 1].sum()
        assert left > 0.1
        assert right < -0.1


def test_at_the_bottle_the_driver_stands_for_the_whole_chunk() -> None:
    layout = sample_layout("2box_right", 5)
    x, y = layout.bottle
    chunk = expert_chunk(FieldState(layout, (x - 0.36, y, 0.0)))
    assert not chunk.any()


@pytest.mark.parametrize("name", SCENARIOS)
def test_from_wherever_a_policy_strayed_the_driver_finds_the_way(name) -> None:
    rng = np.random.default_rng(7)
    for seed in range(700, 706):
        sim = Field(name, seed)
        driver = ScriptedDriver(sim, DriverSettings(), rng)
        strayed = rng.uniform(-0.6, 0.6)
        for _ in range(int(rng.integers(1, 5))):
            sim.step((0.25, strayed), 0.4)
        while not sim.outcome().decided:
            sim.step(driver.action(), 0.4)
        assert sim.outcome().success, (seed, sim.outcome())


@pytest.mark.parametrize(
    "bad", [{"style": "drunk"}, {"noise": -1.0}, {"noise": 9.0}, {"max_linear": 0.0}]
)
def test_settings_that_cannot_be_are_refused(bad) -> None:
    with pytest.raises(InputError, match="give"):
        DriverSettings(**bad)
