"""Verification against numbers computed by hand, and against what driving does."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from episode_factory import write_episode

from mobile_vla_ros.analysis.held_out import TrainedOnError
from mobile_vla_ros.analysis.recordings import (
    AnalysisError,
    side_of_name,
    swap_sides,
    without_sides,
)
from mobile_vla_ros.analysis.verification import verify
from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.editing import relabel, trim
from mobile_vla_ros.episodes.identity import identify
from mobile_vla_ros.policy.config import PolicyConfig

AXES = ("linear.x", "angular.z")


@dataclass
class Copycat:
    """A policy that knows the recording: it puts out the true commands, plus an error."""

    commands: dict[str, np.ndarray]
    error: float = 0.0
    follows: bool = True
    axes: tuple[str, ...] = AXES
    confirmed: bool = True
    columns: tuple[int, ...] = (0, 2)
    training: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.config = PolicyConfig(
            head="MobileVLALSTMDecoder",
            window_size=8,
            chunk_size=10,
            dof=2,
            hidden_size=1,
            num_layers=1,
            latent=1,
            action_axes=self.axes,
            action_axes_confirmed=self.confirmed,
            frame_period=0.4,
            action_period=0.4,
            norm_min=(-1.0, -2.0),
            norm_max=(1.0, 2.0),
        )
        self.provenance = SimpleNamespace(training_files=self.training, validation_files={})

    def stream(self, instruction: str) -> SimpleNamespace:
        side = side_of_name(instruction)
        commands = self.commands[side if self.follows else "left"][:, self.columns]

        def step(image: np.ndarray, stamp: float) -> ActionChunk:
            row = round((stamp - 100.0) / 0.4)
            rows = np.minimum(np.arange(row, row + 10), len(commands) - 1)
            velocities = commands[rows] + np.float32(self.error)
            return ActionChunk(
                velocities, self.axes, stamp, 0.4, normalised=self.config.normalise(velocities)
            )

        return SimpleNamespace(step=step)


@pytest.fixture(scope="module")
def commands(recorded: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(recorded.glob("*.h5")):
        with open_episode(path) as episode:
            found[episode.side] = episode.actions
    return found


def test_a_policy_that_repeats_the_recording_has_no_error(recorded, commands) -> None:
    result = verify(Copycat(commands), [recorded])
    assert result["episodes"] == 6
    assert result["frames"] == 72
    assert result["rmse_normalised_step0"] == pytest.approx(0, abs=1e-6)
    assert all(step["rmse_normalised"] < 1e-6 for step in result["per_step"])
    assert result["direction"]["agreement"] == 1
    assert result["baselines"]["repeat_last"]["policy_better_by"]["low"] > 0


def test_a_constant_error_comes_out_in_both_units(recorded, commands) -> None:
    result = verify(Copycat(commands, error=0.1), [recorded])
    assert result["rmse"] == pytest.approx({"linear.x": 0.1, "angular.z": 0.1}, abs=1e-6)
    assert result["mae"] == pytest.approx({"linear.x": 0.1, "angular.z": 0.1}, abs=1e-6)
    # Ranges 2 and 4 make errors of 0.1 and 0.05 of the normalised unit.
    expected = np.sqrt((0.1**2 + 0.05**2) / 2)
    assert result["rmse_normalised_step0"] == pytest.approx(expected, abs=1e-6)
    assert result["units"] == {"linear.x": "m/s", "angular.z": "rad/s"}


def test_steps_past_the_end_are_left_out(recorded, commands) -> None:
    result = verify(Copycat(commands), [recorded])
    assert [step["values"] for step in result["per_step"]] == [6 * (12 - k) for k in range(10)]


def test_the_baselines_are_those_of_a_computation_by_hand(recorded, commands) -> None:
    result = verify(Copycat(commands), [recorded])
    config = Copycat(commands).config
    truth = np.concatenate(
        [config.normalise(commands[side][:, [0, 2]]) for side in ("left", "right")]
    )
    before = np.concatenate(
        [
            np.concatenate([np.zeros((1, 2)), config.normalise(commands[side][:-1][:, [0, 2]])])
            for side in ("left", "right")
        ]
    )
    last = np.sqrt(((truth - before) ** 2).mean())
    mean = np.sqrt(((truth - truth.mean(axis=0)) ** 2).mean())
    baselines = result["baselines"]
    assert baselines["repeat_last"]["rmse_normalised_step0"] == pytest.approx(last, abs=1e-6)
    assert baselines["mean"]["rmse_normalised_step0"] == pytest.approx(mean, abs=1e-6)
    # The first frame, the start and the end of the turn, in six episodes.
    assert baselines["repeat_last"]["change_points"]["frames"] == 18
    assert baselines["repeat_last"]["elsewhere"]["rmse_normalised_step0"] == 0


def test_a_policy_that_ignores_its_instruction_is_said_to(recorded, commands) -> None:
    deaf = verify(Copycat(commands, follows=False), [recorded])
    assert deaf["instruction_swap"]["ignores_instruction"] is True
    assert "ignores its instruction" in deaf["conclusion"]
    listening = verify(Copycat(commands), [recorded])["instruction_swap"]
    assert listening["ignores_instruction"] is False
    assert "follows its instruction" in listening["verdict"]
    assert listening["turn_towards_side"]["low"] > 0


def test_episodes_that_name_no_side_leave_the_swap_unmeasured(tmp_path, commands) -> None:
    write_episode(tmp_path, 1, instruction="go to the bottle")
    result = verify(Copycat(commands, follows=False), [tmp_path])
    assert result["instruction_swap"]["measured"] is False


def test_files_of_the_training_are_refused_or_left_out(recorded, commands) -> None:
    path = sorted(recorded.glob("*.h5"))[0]
    with open_episode(path) as episode:
        training = {path.name: episode.sha256()}
    policy = Copycat(commands, training=training)
    with pytest.raises(TrainedOnError, match=r"trained on .*_1box_left.h5"):
        verify(policy, [recorded])
    result = verify(policy, [recorded], skip_training_files=True)
    assert result["episodes"] == 5
    assert result["skipped"][0]["reason"] == "the checkpoint was trained on it"
    assert result["held_out"]["known"] is True


def test_a_relabelled_and_trimmed_training_file_is_no_held_out_one(
    recorded, commands, tmp_path
) -> None:
    paths = sorted(recorded.glob("*.h5"))
    with open_episode(paths[0]) as episode:
        seen = [identify(episode).at("model_load_path first.ckpt").to_plain()]
    policy = Copycat(commands)
    policy.provenance.episodes = {"training": seen}
    data = tmp_path / "data"
    data.mkdir()
    changed = trim(paths[0], data / "episode_20990101_000000_1box_left.h5", last=1)
    relabel(changed, instruction="go left, but otherwise", outcome="success")
    shutil.copy(paths[1], data)
    with pytest.raises(
        TrainedOnError,
        match=rf"trained on .*_1box_left\.h5 as {paths[0].name} in an earlier stage",
    ):
        verify(policy, [data])
    result = verify(policy, [data], skip_training_files=True)
    assert result["episodes"] == 1
    assert "none of the files was trained on" in result["held_out"]["note"]


def test_an_earlier_stage_without_a_list_leaves_held_out_unknown(recorded, commands) -> None:
    policy = Copycat(commands, training={"other.h5": "0" * 64})
    policy.provenance.episodes = {"unknown_stages": ["model_load_path old.ckpt"]}
    held_out = verify(policy, [recorded])["held_out"]
    assert held_out["known"] is False
    assert "old.ckpt keeps no list" in held_out["note"]


def test_the_name_of_a_training_file_with_other_bytes_leaves_held_out_unknown(
    recorded, commands
) -> None:
    name = sorted(recorded.glob("*.h5"))[0].name
    held_out = verify(Copycat(commands, training={name: "0" * 64}), [recorded])["held_out"]
    assert held_out["known"] is False
    assert name in held_out["note"]


def test_training_on_one_side_measures_the_other(recorded, commands) -> None:
    training = {"episode_20240101_000000_1box_left.h5": "0" * 64}
    result = verify(Copycat(commands, training=training, follows=False), [recorded])
    found = result["generalisation"]
    assert (found["seen"], found["unseen"]) == ("left", "right")
    errors = found["rmse_normalised_step0"]
    assert errors["left"]["value"] < 1e-6 < errors["right"]["value"]


def test_the_recorded_columns_that_outputs_follow_are_named(tmp_path) -> None:
    path = tmp_path / "strafing.h5"
    rng = np.random.default_rng(0)
    from mobile_vla_ros.episodes import EpisodeWriter

    actions = rng.uniform(-0.5, 0.5, (20, 3)).astype(np.float32)
    with EpisodeWriter(path, scenario="1box_left", instruction="go left", flush=False) as writer:
        for row in range(20):
            stamp = 100.0 + 0.4 * row
            writer.append(
                image=np.zeros((8, 8, 3), np.uint8),
                action=actions[row],
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
            )
        writer.finish()
    sides = {"left": actions, "right": actions}
    result = verify(Copycat(sides, confirmed=False, columns=(0, 1)), [path])
    assert result["axes"]["best_fit"] == ["linear.x", "linear.y"]
    assert "follows linear.y" in result["axes"]["note"]


def test_latency_only_costs_what_is_stale(recorded, commands) -> None:
    result = verify(Copycat(commands), [recorded], latencies=[0.05, 0.4, 0.9])
    rows = {row["latency"]: row for row in result["latency"]}
    # Chunks hold the true future, so being late costs nothing but the start; beyond 0.8 s
    # every command has run out.
    assert rows[0.0]["path_end_error"]["value"] == pytest.approx(0, abs=1e-6)
    assert 0 < rows[0.4]["path_end_error"]["value"] < 0.5
    assert rows[0.9]["share_of_time_at_zero"] == 1
    assert rows[0.9]["usable"] is False
    assert all(row["open_loop"] for row in rows.values())


def test_the_threshold_decides(recorded, commands) -> None:
    policy = Copycat(commands, error=0.1)
    assert verify(policy, [recorded], threshold=0.12)["passed"] is True
    failed = verify(policy, [recorded], threshold=0.05)
    assert failed["passed"] is False
    assert "above the threshold" in failed["conclusion"]


def test_good_files_count_beside_an_unreadable_one(tmp_path, commands) -> None:
    write_episode(tmp_path, 1)
    (tmp_path / "episode_20250101_000099_1box_left.h5").write_bytes(b"not hdf5")
    result = verify(Copycat(commands), [tmp_path])
    assert result["episodes"] == 1
    assert "not an HDF5 file" in result["skipped"][0]["reason"]
    # One episode says nothing about the next.
    assert np.isnan(result["intervals"]["rmse_normalised_step0"]).all()


def test_no_episodes_and_no_readable_one_are_one_sentence(tmp_path, commands) -> None:
    with pytest.raises(AnalysisError, match="there are no episodes"):
        verify(Copycat(commands), [tmp_path])
    (tmp_path / "episode_20250101_000099_1box_left.h5").write_bytes(b"not hdf5")
    with pytest.raises(AnalysisError, match="none of the 1 episodes can be used"):
        verify(Copycat(commands), [tmp_path])


def test_two_runs_give_the_same_numbers(recorded, commands) -> None:
    policy = Copycat(commands, error=0.1)
    first, second = verify(policy, [recorded]), verify(policy, [recorded])
    # As text, since a NaN is not equal to itself.
    assert json.dumps(first) == json.dumps(second)


def test_predictions_are_those_of_driving(golden: Path, frozen, tmp_path: Path) -> None:
    """The reference stream of the original code, frame for frame."""
    folder = golden / "mobile_vla_frozen"
    inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "expected.npz")
    write_episode(tmp_path, 1, "right", images=inputs["images"], frames=len(inputs["images"]))
    result = verify(frozen, [tmp_path], instruction=str(inputs["instruction"]), swap=False)
    predicted = frozen.config.normalise(np.array(result["traces"][0]["predicted"]))
    np.testing.assert_allclose(predicted, expected["stream_velocities"][:, 0], atol=2e-3)


def test_an_arm_policy_is_refused_with_the_reason(arm, recorded: Path) -> None:
    with pytest.raises(AnalysisError, match="no 2-DoF driving head"):
        verify(arm, [recorded])


def test_sides_are_read_swapped_and_removed() -> None:
    assert swap_sides("Left of the box, then RIGHT") == "Right of the box, then LEFT"
    assert swap_sides("go straight") is None
    assert swap_sides("컵의 왼쪽으로 가") == "컵의 오른쪽으로 가"
    assert side_of_name("컵의 오른쪽으로 가") == "right"
    assert side_of_name("episode_20250101_000000_1box_hori_left_close.h5") == "left"
    assert side_of_name("bright") is None
    text = "Navigate around the box on the left side and reach the cup"
    assert without_sides(text) == "Navigate around the box and reach the cup"
    text = "Navigate between the two boxes, passing left, and reach the cup"
    assert without_sides(text) == "Navigate between the two boxes, and reach the cup"
