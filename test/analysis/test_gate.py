"""The gate holds every planted fault, with the reason, and promotes what is good."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from episode_factory import write_episode

from mobile_vla_ros.analysis.gate import GateSettings, decide
from mobile_vla_ros.analysis.recordings import AnalysisError, side_of_name
from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.incident import IncidentRing, write_incident
from mobile_vla_ros.policy.config import PolicyConfig
from mobile_vla_ros.rig import Rig

AXES = ("linear.x", "angular.z")
COLUMNS = {"linear.x": 0, "linear.y": 1, "angular.z": 2}
CONFIG = PolicyConfig(
    head="MobileVLALSTMDecoder",
    window_size=8,
    chunk_size=10,
    dof=2,
    hidden_size=1,
    num_layers=1,
    latent=1,
    action_axes=AXES,
    action_axes_confirmed=True,
    frame_period=0.4,
    action_period=0.4,
    norm_min=(-0.5, -1.0),
    norm_max=(0.5, 1.0),
)


UNKNOWN = Rig()


@dataclass
class Student:
    """A policy that learned the recording, as well as it did, and puts it out as it is told to."""

    commands: dict[str, np.ndarray]
    seed: int = 0
    noise: float = 0.05
    config: PolicyConfig = CONFIG
    knows: tuple[str, ...] = ("left", "right")
    trained: PolicyConfig = CONFIG
    broken: bool = False
    trained_on: tuple[str, ...] = ("another.h5",)
    rig: Rig = UNKNOWN

    @property
    def provenance(self) -> SimpleNamespace:
        training = dict.fromkeys(self.trained_on, "0" * 64)
        return SimpleNamespace(training_files=training, validation_files={}, rig=self.rig)

    def require_driving(self) -> None:
        pass

    def stream(self, instruction: str) -> SimpleNamespace:
        side = side_of_name(instruction)
        commands = self.commands[side if side in self.knows else self.knows[0]]
        places = [COLUMNS[axis] for axis in self.trained.action_axes]
        rng = np.random.default_rng([self.seed, side == "left"])

        def step(image: np.ndarray, stamp: float) -> ActionChunk:
            start = (stamp - 100.0) / 0.4
            steps = start + np.arange(10) * self.trained.action_period / 0.4
            rows = np.clip(np.floor(steps + 0.25), 0, len(commands) - 1).astype(int)
            said = self.trained.normalise(commands[rows][:, places])
            said = said + rng.normal(0, self.noise, said.shape).astype(np.float32)
            if self.broken and start > 5:
                said[0, 0] = np.nan
            velocities = self.config.unnormalise(said)
            return ActionChunk(
                velocities, self.config.action_axes, stamp, self.config.action_period,
                frames=self.config.window_size, normalised=said,
            )  # fmt: skip

        return SimpleNamespace(step=step)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six episodes, three to each side, with a turn in each."""
    folder = tmp_path_factory.mktemp("held_out")
    for number in range(6):
        write_episode(folder, number, ("left", "right")[number % 2], frames=24)
    return folder


@pytest.fixture(scope="module")
def commands(held_out: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted(held_out.glob("*.h5")):
        with open_episode(path) as episode:
            found[episode.side] = episode.actions
    return found


def ticking(step: float):
    """A clock that goes on by `step` seconds at every look."""
    times = iter(range(10_000))
    return lambda: next(times) * step


def ask(candidate, current, data, **options):
    options.setdefault("clock", ticking(0.01))
    settings = options.pop("settings", GateSettings())
    return decide(candidate, current, [data], settings, **options)


def held_for(result) -> set[str]:
    return {check["name"] for check in result["checks"] if not check["ok"]}


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_good_policy_of_any_seed_is_promoted(held_out, commands, seed) -> None:
    drives = lambda policy: [True] * 8  # noqa: E731
    result = ask(Student(commands, seed), Student(commands), held_out, drives=drives)
    assert result["reasons"] == []
    assert result["decision"] == "promote"
    assert {"axes", "against_current_left", "closed_loop"} <= {
        check["name"] for check in result["checks"]
    }


def swapped(commands) -> Student:
    config = replace(CONFIG, action_axes=AXES[::-1])
    return Student(commands, config=config, trained=CONFIG)


FAULTS = {
    "swapped axes": (swapped, "axes"),
    "an axis that runs backwards": (
        lambda c: Student({side: rows * [1, 1, -1] for side, rows in c.items()}),
        "axes",
    ),
    "a window of another period": (
        lambda c: Student(c, config=replace(CONFIG, frame_period=0.2)),
        "frame_period",
    ),
    "chunks of another period": (
        lambda c: Student(c, config=replace(CONFIG, action_period=0.2)),
        "action_period",
    ),
    "a wider normalisation than in training": (
        lambda c: Student(c, config=replace(CONFIG, norm_min=(-1.0, -2.0), norm_max=(1.0, 2.0))),
        "scale",
    ),
    "a shifted normalisation": (
        lambda c: Student(c, config=replace(CONFIG, norm_min=(-0.2, -1.0), norm_max=(0.8, 1.0))),
        "scale",
    ),
    "a normalisation that cuts the data off": (
        lambda c: Student(
            c,
            config=replace(CONFIG, norm_max=(0.2, 1.0)),
            trained=replace(CONFIG, norm_max=(0.2, 1.0)),
        ),
        "range",
    ),
    "one that ignores words": (lambda c: Student(c, knows=("left",)), "instruction"),
    "one side only": (lambda c: Student(c, knows=("left",)), "against_current_right"),
    "one that has hardly learned": (lambda c: Student(c, noise=0.2), "against_current"),
    "NaN at some frames": (lambda c: Student(c, broken=True), "finite_outputs"),
    "a camera that stood elsewhere": (
        lambda c: Student(c, rig=Rig(mount_height=0.3, tilt=10.0)),
        "rig",
    ),
    "no word of what it was trained on": (lambda c: Student(c, trained_on=()), "held_out"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_held_with_its_reason(held_out, commands, fault, tmp_path) -> None:
    make, name = FAULTS[fault]
    data = held_out
    if name == "rig":
        data = tmp_path
        for number in range(4):
            path = write_episode(data, number, ("left", "right")[number % 2], frames=24)
            say_rig(path, Rig(mount_height=0.5, tilt=10.0))
    result = ask(make(commands), Student(commands), data)
    assert result["decision"] == "hold"
    assert name in held_for(result)
    assert any(reason.startswith(f"{name}: ") for reason in result["reasons"])


def say_rig(path: Path, rig: Rig) -> None:
    import h5py

    with h5py.File(path, "r+") as file:
        file.attrs["rig"] = rig.to_json()


def test_a_policy_too_slow_for_this_machine_is_held(held_out, commands) -> None:
    result = ask(Student(commands), Student(commands), held_out, clock=ticking(0.3))
    assert held_for(result) == {"latency"}


def test_one_that_arrives_less_often_in_the_same_fields_is_held(held_out, commands) -> None:
    candidate, current = Student(commands, 1), Student(commands)
    worse = ask(
        candidate, current, held_out,
        drives=lambda policy: [policy is current or n < 5 for n in range(8)],
    )  # fmt: skip
    assert held_for(worse) == {"closed_loop"}
    alike = ask(
        candidate, current, held_out,
        drives=lambda policy: [policy is current or n < 7 for n in range(8)],
    )  # fmt: skip
    assert alike["decision"] == "promote"


def capsule(folder: Path, reason: str, turn: float, then: float) -> Path:
    """What a policy that turned by `turn` did, and how the person turned then."""
    ring = IncidentRing()
    ring.axes, ring.action_period = AXES, 0.4
    ring.attributes = {"instruction": "go round the box on the left"}
    picture = jpeg()
    for row in range(8):
        stamp = 100.0 + 0.4 * row
        ring.add_frame(stamp, stamp, picture)
        ring.add_chunk(stamp, stamp, np.tile(np.float32([0.3, turn]), (10, 1)))
        ring.add_command(stamp, 0.3, 0.0, turn)
    ring.trigger(reason, 103.0)
    for row in range(6):
        ring.add_command(103.1 + 0.4 * row, 0.2, 0.0, then)
    incident = ring.poll(106.0, finish=True)
    assert incident is not None
    return write_incident(folder / f"incident_{reason.replace(': ', '_')}.h5", incident)


def jpeg() -> bytes:
    import cv2

    return cv2.imencode(".jpg", np.zeros((24, 32, 3), np.uint8))[1].tobytes()


def test_a_takeover_must_not_happen_again(held_out, commands, tmp_path) -> None:
    # At those frames the recording turns left by 0.4.
    again = capsule(tmp_path, "takeover", 0.4, -0.4)
    result = ask(Student(commands), Student(commands), held_out, incidents=[again])
    assert held_for(result) == {f"incident {again.name}"}
    assert "does the same" in result["reasons"][0]
    (tmp_path / "other").mkdir()
    mended = capsule(tmp_path / "other", "takeover", -0.4, 0.4)
    result = ask(Student(commands), Student(commands), held_out, incidents=[mended])
    assert result["decision"] == "promote"
    assert result["incidents"][mended.name]


def test_a_capsule_of_another_kind_is_reported_and_held_against_nobody(
    held_out, commands, tmp_path
) -> None:
    mark = capsule(tmp_path, "mark", 0.4, 0.4)
    result = ask(Student(commands), Student(commands), held_out, incidents=[mark])
    assert result["decision"] == "promote"
    assert result["checks"][-1]["value"]["now"] == "does the same"


def test_data_of_one_side_does_not_suffice(commands, tmp_path) -> None:
    for number in range(4):
        write_episode(tmp_path, number, "left", frames=24)
    result = ask(Student(commands), Student(commands), tmp_path)
    assert held_for(result) == {"against_current_right"}
    assert "not enough to tell" in result["reasons"][0]


def test_what_either_was_trained_on_is_left_out(held_out, commands) -> None:
    paths = sorted(held_out.glob("*.h5"))
    with open_episode(paths[0]) as episode:
        known = {paths[0].name: episode.sha256()}
    current = Student(commands)
    seen = SimpleNamespace(training_files=known, validation_files={}, rig=Rig())

    class Trained(Student):
        provenance = seen

    result = ask(Trained(commands), current, held_out)
    assert result["episodes"] == 5
    assert "the candidate was trained on it" in result["skipped"][0]["reason"]
    with pytest.raises(AnalysisError, match="none of the 1 episodes can be used"):
        ask(Trained(commands), current, paths[0])


def test_a_candidate_without_a_driving_head_is_held(held_out, commands) -> None:
    arm = Student(commands, config=replace(CONFIG, head="LSTMDecoder"))
    assert held_for(ask(arm, Student(commands), held_out)) == {"drives"}
    with pytest.raises(AnalysisError, match="given by --against"):
        ask(Student(commands), arm, held_out)
