"""A scripted person who takes over before a failure, and what comes of it."""

import json

import numpy as np
import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.control.chunk import ActionChunk
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.closed_loop import drive
from mobile_vla_ros.sim.corrector import Corrector
from mobile_vla_ros.sim.evaluate import evaluate
from mobile_vla_ros.sim.fields import build_field
from mobile_vla_ros.sim.relabel import collect_driven
from mobile_vla_ros.training.corrections import collect_corrections, judge_rows

TINY = CameraSettings(width=32, height=24)
PLAN = [("1box_left_close", 11), ("open_medium", 12)]
pytestmark = pytest.mark.egl


class Straight:
    """Drives into whatever stands ahead."""

    action_axes = ("linear.x", "angular.z")

    def stream(self, instruction: str) -> "Straight":
        return self

    def reset(self) -> None:
        pass

    def step(self, image, stamp, generation=0) -> ActionChunk:
        chunk = np.tile(np.float32([0.3, 0.0]), (10, 1))
        return ActionChunk(chunk, self.action_axes, stamp, 0.4, generation)


@pytest.mark.parametrize(("scenario", "seed"), PLAN)
def test_a_policy_that_would_fail_gets_there_with_a_person_beside_it(
    scenario: str, seed: int
) -> None:
    alone = evaluate(Straight(), plan=[(scenario, seed)], camera=TINY).summary()
    assert alone["successes"] == 0
    assert "interventions" not in alone
    helped = evaluate(Straight(), plan=[(scenario, seed)], camera=TINY, person=True).summary()
    assert helped["successes"] == 1, helped["reasons"]
    assert helped["interventions"] >= 1
    metres = helped["path_length"]
    assert helped["interventions_per_100m"] == pytest.approx(
        100 * helped["interventions"] / metres
    )
    assert helped["runs"][0]["interventions"] == helped["interventions"]


def test_takeovers_are_recorded_as_training_reads_them(tmp_path) -> None:
    folder = tmp_path / "corrections"
    folder.mkdir()
    done = collect_driven(Straight(), folder, PLAN[:1], camera=TINY, corrected=True)
    assert done[0].takeovers
    found, left_out = collect_corrections(folder, tmp_path / "cache")
    assert found == [done[0].path]
    assert not left_out
    with open_episode(found[0]) as episode:
        taken = episode.taken_over
        commands = episode.velocities(("linear.x", "angular.z"))
        stamps = episode.image_stamps
        assert episode.outcome == "success"
    assert taken.any()
    assert not taken[0]
    # Until then the policy's own commands are in the rows, afterwards the person's.
    first = int(np.argmax(taken))
    assert not commands[1:first, 1].any()
    assert np.abs(commands[taken, 1]).max() > 0.2
    judged = judge_rows(stamps, taken, commands, before=1.0)
    assert judged.person[first]
    assert not judged.imitated[first - 1]


def test_a_row_carries_the_command_that_starts_with_it_as_the_scripted_drivers_rows_do() -> None:
    rows, sent = [], {}
    with build_field(*PLAN[0], TINY) as sim:
        send = sim.command

        def command(vx: float, vy: float, wz: float) -> None:
            sent[round(sim.time, 3)] = (vx, wz)
            send(vx, vy, wz)

        sim.command = command
        drive(
            sim,
            Straight(),
            on_frame=lambda _, command: rows.append((round(sim.time, 3), command)),
            person=Corrector(sim),
        )
    assert len(rows) > 30
    assert [sent.get(time) for time, _ in rows[:-1]] == [command for _, command in rows[:-1]]


def test_the_same_seed_is_corrected_in_the_same_way_twice(tmp_path) -> None:
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        done = collect_driven(Straight(), tmp_path / name, PLAN[1:], camera=TINY, corrected=True)
        paths.append(done[0].path)
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_command_says_how_often_a_person_took_over(tmp_path, capsys) -> None:
    from mobile_vla_ros.policy.random_policies import write_random_checkpoint

    checkpoint = write_random_checkpoint(tmp_path / "policy")
    out, result = tmp_path / "data", tmp_path / "result.json"

    def run(*more: str) -> int:
        with pytest.raises(SystemExit) as exit_:
            main(["sim", "correct", "-c", str(checkpoint), "--out", str(out), *more])
        return int(exit_.value.code or 0)

    assert run("--scenario", "open_easy", "-n", "1") == 2
    assert "--field open" in capsys.readouterr().err
    assert not out.exists()
    status = run("--scenario", "1box_left_close", "-n", "1", "--json", str(result))
    assert status == 0
    assert "per 100 m" in capsys.readouterr().out
    told = json.loads(result.read_text())
    assert told["episodes"] == 1
    assert told["interventions"] >= 1
    with open_episode(told["files"][0]["path"]) as episode:
        assert episode.taken_over.any()
