import json

import numpy as np
import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import LoopSettings, drive
from mobile_vla_ros.sim.collect import CollectSettings, collect
from mobile_vla_ros.sim.driver import DriverSettings
from mobile_vla_ros.sim.evaluate import evaluate, evaluation_of
from mobile_vla_ros.sim.fields import scenario_names
from mobile_vla_ros.sim.open_field.expert import open_chunk
from mobile_vla_ros.sim.open_field.field import OpenField
from mobile_vla_ros.sim.open_field.judge import STOOD, WRONG_TARGET
from mobile_vla_ros.sim.open_field.measures import OPEN_PILOT
from mobile_vla_ros.sim.open_field.placement import sample_open_layout
from mobile_vla_ros.sim.open_field.route import passable
from mobile_vla_ros.sim.open_field.truth import _another, other_orders
from mobile_vla_ros.sim.outcome import REACHED
from mobile_vla_ros.sim.scenario import ScenarioError
from mobile_vla_ros.sim.word_places import WORDS

TINY = CameraSettings(width=32, height=24)
LOOP = LoopSettings(pilot=OPEN_PILOT)
pytestmark = pytest.mark.egl


class Omniscient:
    """Predicts what the scripted driver would do from the field's true state."""

    action_axes = ("linear.x", "angular.z")

    def __init__(self, sim: OpenField, wrong: bool = False) -> None:
        self._sim = sim
        self._wrong = wrong
        self.told: list[str] = []

    def stream(self, instruction: str) -> "Omniscient":
        self.told.append(instruction)
        return self

    def reset(self) -> None:
        pass

    def step(self, image, stamp, generation=0) -> ActionChunk:
        state = self._sim.state
        if self._wrong:
            state = state.asked(_another(state.layout))
        return ActionChunk(open_chunk(state), self.action_axes, stamp, 0.4, generation)


def driven(name: str, seed: int, wrong: bool = False):
    with OpenField(name, seed, TINY) as sim:
        policy = Omniscient(sim, wrong)
        return drive(sim, policy, LOOP), policy


@pytest.mark.parametrize("tier", ["easy", "medium", "hard"])
def test_who_knows_the_way_gets_there_and_is_measured(tier: str) -> None:
    runs = [driven(f"open_{tier}_new", seed)[0] for seed in (1, 2, 3, 4)]
    table = evaluation_of(runs).summary()
    assert table["successes"] == 4, [run.outcome.reason for run in runs]
    assert table["by_tier"][tier]["episodes"] == 4
    assert 0.7 < table["spl"] <= 1
    assert table["navigation_error"] < 0.45
    assert (table["wrong_targets"], table["false_stops"], table["collisions"]) == (0, 0, 0)
    assert sum(part["episodes"] for part in table["by_wording"].values()) == 4
    json.dumps(table)


def test_stopping_at_another_thing_is_named() -> None:
    run, _ = driven("open_easy_green_bottle", 2, wrong=True)
    assert run.outcome.reason == WRONG_TARGET
    assert evaluation_of([run]).summary()["wrong_targets"] == 1


def test_a_robot_told_to_stop_stands() -> None:
    run, policy = driven("open_hard_stop", 4)
    assert run.outcome.reason == STOOD
    assert run.outcome.success
    assert run.outcome.weighted is None
    assert len(policy.told) == 1
    roused, _ = driven("open_hard_stop", 4, wrong=True)
    assert not roused.outcome.success


def test_an_instruction_that_changes_on_the_way_is_what_counts() -> None:
    run, policy = driven("open_easy_change", 1)
    layout = sample_open_layout("open_easy_change", 1)
    assert run.outcome.reason == REACHED
    assert policy.told == [layout.order.said.text, layout.second.said.text]
    assert run.outcome.asked.changed
    assert run.outcome.asked.target == layout.things[layout.second.target].name
    assert run.outcome.driven < run.outcome.path_length


def test_a_run_repeated_gives_the_same_bits() -> None:
    with OpenField("open_hard", 8, TINY) as sim:
        first = drive(sim, Omniscient(sim), LOOP)
        frame = sim.render().copy()
        again = drive(sim, Omniscient(sim), LOOP)
        assert np.array_equal(first.path, again.path)
        assert first.outcome == again.outcome
    with OpenField("open_hard", 8, TINY) as sim:
        drive(sim, Omniscient(sim), LOOP)
        assert np.array_equal(sim.render(), frame)


def test_collected_episodes_are_the_same_with_any_number_of_workers(tmp_path) -> None:
    settings = CollectSettings(
        scenarios=("open_easy", "open_hard"),
        episodes=2,
        seed=60,
        driver=DriverSettings(noise=1.0),
        camera=TINY,
    )
    one = collect(tmp_path / "one", settings)
    collect(tmp_path / "two", settings, workers=2)
    assert all(item.success for item in one)
    for a, b in zip(find_episodes(tmp_path / "one"), find_episodes(tmp_path / "two"), strict=True):
        assert a.name == b.name
        assert a.read_bytes() == b.read_bytes()
    with open_episode(one[1].path) as episode:
        layout = sample_open_layout("open_hard", 61)
        assert episode.instruction == layout.order.said.text
        assert episode.attributes["field"] == "open"
        chunks = episode.attributes["expert_chunks"]
        commands = episode.velocities(("linear.x", "angular.z"))
        assert np.allclose(chunks[:, 0], commands, atol=1e-6)
        assert episode.attributes["bottle_places"].shape == (len(episode), 4)
        orders = other_orders(layout)
        said = json.loads(episode.attributes["asked_instructions"])
        assert said == [order.said.text for order in orders]
        asked = episode.attributes["asked_chunks"]
        assert asked.shape == (len(orders), len(episode), 10, 2)
        assert not any(asked[-1].ravel()), "the last order is to stand still"
        assert episode.attributes["asked_places"].shape == (len(orders), len(episode), 4)
        assert episode.attributes["word_places"].shape == (len(episode), len(WORDS), 4)
        target = WORDS.index(layout.target.kind)
        kinds = [thing.kind for thing in layout.things]
        if kinds.count(layout.target.kind) == 1:
            found = episode.attributes["word_places"][0, target]
            assert np.allclose(found, episode.attributes["bottle_places"][0], atol=1e-6)


def test_what_else_could_be_asked_for_is_another_thing_another_side_or_a_stop() -> None:
    several = 0
    for seed in range(30):
        layout = sample_open_layout("open_hard", seed)
        orders = other_orders(layout)
        assert orders == other_orders(layout)
        assert not any(order.said.kept for order in orders)
        wanted = [(order.target, order.side) for order in orders]
        assert len(set(wanted)) == len(wanted)
        assert (layout.order.target, layout.order.side) not in wanted
        assert ((None, None) in wanted) == (layout.order.target is not None)
        assert all(passable(layout.asked(order)) for order in orders)
        several += len(orders) > 3
    assert several > 15


def test_fields_and_their_options_do_not_mix() -> None:
    assert scenario_names("lab", ("all",)) == (
        "1box_left",
        "1box_right",
        "2box_left",
        "2box_right",
    )
    assert scenario_names("open", ("all",)) == ("open_easy", "open_medium", "open_hard")
    names = scenario_names("open", (), ("hard",), "gray basket", new=True)
    assert names == ("open_hard_grey_basket_new",)
    for arguments, words in (
        (("moon",), "no field"),
        (("lab", ("open_easy",)), "--field open"),
        (("open", ("1box_left",)), "--field lab"),
        (("open", ("nonsense",)), "no scenario of the open field"),
        (("lab", (), ("easy",)), "belong to the open field"),
        (("open", (), ("harder",)), "no tier"),
        (("open", (), (), "purple cow"), "names no thing"),
        (("open", ("open_easy",), ("hard",)), "says all by its name"),
    ):
        with pytest.raises(ScenarioError, match=words):
            scenario_names(*arguments)


def test_what_is_kept_for_testing_cannot_be_collected() -> None:
    with pytest.raises(InputError, match="kept for testing"):
        CollectSettings(scenarios=("open_easy_new",))
    with pytest.raises(InputError, match="an episode has one"):
        CollectSettings(scenarios=("open_easy_change",))


def test_one_evaluation_is_of_one_field() -> None:
    class Nobody:
        action_axes = ("linear.x", "angular.z")

        def stream(self, instruction):
            return self

    with pytest.raises(InputError, match="no other side"):
        evaluate(Nobody(), plan=[("open_easy", 1)], swap_instruction=True)


def test_the_commands_take_the_open_field(tmp_path, capsys) -> None:
    def run(*arguments: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            main(["sim", *arguments])
        return int(exit_.value.code or 0)

    from mobile_vla_ros.policy.random_policies import write_random_checkpoint

    picture = tmp_path / "fields.png"
    assert run("draw", "--tier", "hard", "-n", "2", "--out", str(picture)) == 0
    assert picture.stat().st_size > 50_000
    checkpoint = write_random_checkpoint(tmp_path / "policy")
    result, paths = tmp_path / "result.json", tmp_path / "paths.png"
    status = run(
        *("evaluate", "-c", str(checkpoint), "--field", "open", "--tier", "easy", "-n", "1"),
        *("--target", "stop", "--width", "64", "--height", "48", "--kept"),
        *("--device", "cpu", "--json", str(result), "--plot", str(paths)),
    )
    assert status == 0
    told = json.loads(result.read_text())
    assert {"spl", "navigation_error", "false_stops", "by_target", "by_tier"} <= set(told)
    assert told["runs"][0]["target"] == "stop"
    assert paths.stat().st_size > 5_000
    capsys.readouterr()
    for wrong in (
        ("--field", "moon"),
        ("--tier", "easy"),
        ("--field", "open", "--target", "purple cow"),
    ):
        assert run("evaluate", "-c", str(checkpoint), *wrong) == 2
        said = capsys.readouterr().err.strip()
        assert said
        assert "\n" not in said


def test_demo_is_the_bundled_policy_of_the_field(tmp_path) -> None:
    result = tmp_path / "result.json"
    with pytest.raises(SystemExit) as exit_:
        main(
            [
                *("sim", "evaluate", "-c", "demo", "--field", "open", "--tier", "easy", "-n", "1"),
                *(
                    "--target",
                    "stop",
                    "--seed",
                    "100000",
                    "--device",
                    "cpu",
                    "--json",
                    str(result),
                ),
            ]
        )
    told = json.loads(result.read_text())
    assert told["checkpoint"] == "demo_open"
    assert told["runs"][0]["reason"] == STOOD
    assert exit_.value.code in (0, None)
