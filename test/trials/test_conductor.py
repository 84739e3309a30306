"""Trials from the plan's line to the log's, with programs that only note what they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.trials.book import TrialBook
from mobile_vla_ros.trials.conductor import Clocks, TrialConductor, TrialRequest, TrialSettings
from mobile_vla_ros.trials.course import TrialCourse
from mobile_vla_ros.trials.heartbeat import Heartbeat
from mobile_vla_ros.trials.log import read_trials
from mobile_vla_ros.trials.plan import PlannedTrial, TrialPlan
from mobile_vla_ros.trials.record import TrialError

BOX_LEFT = TrialRequest("1box_left", "go left", "", "sunny")


class Refused(InputError):
    pass


class NotedStage:
    """Notes every order; ``refuses`` names one that fails."""

    policy_name = "mobile_vla"

    def __init__(self) -> None:
        self.orders: list[str] = []
        self.refuses = ""
        self.listens = True

    def _order(self, name: str, *words: object) -> None:
        if name == self.refuses:
            raise Refused(f"{name} is refused")
        self.orders.append(" ".join(map(str, (name, *words))))

    def checkpoint(self) -> str:
        return "/models/present"

    def load(self, path: str, say: Callable[[], None]) -> None:
        self._order("load", path)

    def sha256(self, path: str) -> str:
        return f"hash of {path}"

    def run_file(self) -> dict[str, str]:
        return {"run.json": "hash of the run file"}

    def set_up_field(self, scenario: str, seed: int) -> None:
        self._order("field", scenario, seed)

    def start_recording(self, scenario: str, instruction: str) -> None:
        self._order("record", scenario, instruction)

    def save_recording(self, outcome: str, patience: float) -> tuple[str, str] | None:
        self._order("save", outcome)
        return "episode.h5", "hash of the episode"

    def discard_recording(self) -> None:
        self._order("discard")

    def tell(self, instruction: str) -> None:
        self._order("tell", instruction)

    def drive(self) -> None:
        self._order("drive")

    def stand(self) -> None:
        self._order("stand")

    def policy_listens(self) -> bool:
        return self.listens

    def order_to_stand(self) -> None:
        self._order("order to stand")


class Hall:
    """A conductor with everything it needs, at a time that stands still until it is moved."""

    def __init__(
        self,
        folder,
        plan: TrialPlan | None = None,
        request: TrialRequest = BOX_LEFT,
        **settings,
    ) -> None:
        self.log = folder / "trials.jsonl"
        self.now = 100.0
        self.said: list[str] = []
        self.stage = NotedStage()
        self.closing = threading.Event()
        self.course = TrialCourse(
            recorded=False, shadow=settings.get("shadow", False), judged=False
        )
        self.heartbeat = Heartbeat(
            self.stage,
            needed=False,
            closing=self.closing,
            warn=self.said.append,
            real=lambda: self.now,
        )
        self.heartbeat.settle()
        self.book = TrialBook(self.log, plan)
        self.conductor = TrialConductor(
            self.book,
            self.course,
            self.stage,
            self.heartbeat,
            TrialSettings(**settings),
            closing=self.closing,
            request=lambda: request,
            say=self.said.append,
            clocks=Clocks(lambda: self.now, lambda: self.now, lambda: 1e9 + self.now),
        )

    def end_trial(self, outcome: str) -> None:
        self.conductor.decide(outcome)
        over = self.course.tick(self.now, self.now).over
        assert over is not None
        self.conductor.finish(over)

    def records(self):
        return read_trials(self.log)[0]


def planned(*checkpoints: str) -> TrialPlan:
    trials = tuple(
        PlannedTrial(number, "1box_left#1", "1box_left", "go left", 7, checkpoint)
        for number, checkpoint in enumerate(checkpoints, 1)
    )
    return TrialPlan(trials, {name: f"/models/{name}" for name in checkpoints}, seed=0)


def test_a_trial_is_prepared_driven_judged_and_written_down_in_this_order(tmp_path) -> None:
    hall = Hall(tmp_path)
    assert "(1box_left, present): go left" in hall.conductor.start()
    hall.now = 112.0
    hall.end_trial("success")
    assert hall.stage.orders == [
        "load /models/present",
        "record 1box_left go left",
        "tell go left",
        "drive",
        "stand",
        "save success",
    ]
    (record,) = hall.records()
    assert (record.outcome, record.checkpoint, record.note) == ("success", "present", "sunny")
    assert record.checkpoint_sha256 == "hash of /models/present"
    assert record.files == {
        "run.json": "hash of the run file",
        "episode.h5": "hash of the episode",
    }
    assert (record.started, record.ended) == (1e9 + 100.0, 1e9 + 112.0)
    assert hall.course.idle


def test_a_plan_names_scenario_seed_and_checkpoint_until_it_is_done(tmp_path) -> None:
    hall = Hall(tmp_path, planned("a", "b"), field=True, field_seed=1000)
    hall.conductor.start()
    assert hall.stage.orders[:3] == ["load /models/a", "stand", "field 1box_left 1007"]
    with pytest.raises(TrialError, match="a trial is running"):
        hall.conductor.start()
    hall.end_trial("failure")
    assert hall.conductor.status()["next"]["checkpoint"] == "b"
    hall.conductor.start()
    hall.end_trial("success")
    assert [(r.checkpoint, r.number) for r in hall.records()] == [("a", 1), ("b", 2)]
    with pytest.raises(TrialError, match="every trial of the plan"):
        hall.conductor.start()


@pytest.mark.parametrize("refuses", ["tell", "drive"])
def test_a_trial_that_cannot_begin_leaves_nothing_behind_and_the_robot_stands(
    tmp_path, refuses: str
) -> None:
    hall = Hall(tmp_path)
    hall.stage.refuses = refuses
    with pytest.raises(Refused):
        hall.conductor.start()
    assert hall.stage.orders[-2:] == ["stand", "discard"]
    assert hall.course.idle
    hall.conductor.close()
    assert TrialBook(hall.log).broken is None


def test_a_recorder_that_refuses_keeps_the_trial_from_beginning(tmp_path) -> None:
    hall = Hall(tmp_path)
    hall.stage.refuses = "record"
    with pytest.raises(Refused):
        hall.conductor.start()
    assert hall.course.idle
    assert "drive" not in hall.stage.orders


def test_an_episode_that_cannot_be_saved_does_not_cost_the_trial(tmp_path) -> None:
    hall = Hall(tmp_path)
    hall.conductor.start()
    hall.stage.refuses = "save"
    hall.end_trial("success")
    (record,) = hall.records()
    assert (record.outcome, record.episode) == ("success", None)
    assert "the trial's episode is not complete: save is refused" in hall.said


def test_in_shadow_mode_the_policy_is_neither_let_go_nor_stopped(tmp_path) -> None:
    hall = Hall(tmp_path, shadow=True)
    hall.conductor.start()
    hall.end_trial("success")
    assert not {"drive", "stand"} & set(hall.stage.orders)
    assert hall.records()[0].agreement == {"frames": 0}


def test_an_end_in_mid_trial_stops_the_robot_and_writes_the_trial_as_interrupted(tmp_path) -> None:
    hall = Hall(tmp_path)
    hall.conductor.start()
    hall.closing.set()
    hall.conductor.close()
    assert hall.stage.orders[-2:] == ["stand", "save interrupted"]
    assert hall.records()[0].outcome == "interrupted"


def test_a_trial_that_was_cut_short_takes_a_verdict_or_is_left_by_the_next_one(tmp_path) -> None:
    for outcome in ("failure", "interrupted"):
        hall = Hall(tmp_path)
        hall.conductor.start()
        hall.book.close()  # as when the program is killed
        hall = Hall(tmp_path)
        assert hall.conductor.status()["broken"]["scenario"] == "1box_left"
        if outcome == "failure":
            assert hall.conductor.decide(outcome).endswith("failure (cut short)")
        else:
            hall.conductor.start()
        assert hall.records()[-1].outcome == outcome
        hall.book.close()


def test_without_a_trial_there_is_nothing_to_judge_and_without_words_nothing_to_start(
    tmp_path,
) -> None:
    hall = Hall(tmp_path, request=TrialRequest())
    with pytest.raises(TrialError, match="no trial is running"):
        hall.conductor.decide("success")
    with pytest.raises(TrialError, match="set the parameters scenario and instruction"):
        hall.conductor.start()


def test_unattended_it_goes_on_after_a_refusal_until_the_plan_is_done(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr("mobile_vla_ros.trials.conductor.UNATTENDED_PAUSE", 0.0)
    monkeypatch.setattr("mobile_vla_ros.trials.conductor.REFUSED_PAUSE", 0.0)
    hall = Hall(tmp_path, planned("a", "b"))
    hall.stage.refuses = "load"
    load = hall.stage.load
    driving = threading.Thread(target=hall.conductor.drive_unattended, daemon=True)

    def load_at_last(path: str, say: Callable[[], None]) -> None:
        try:
            load(path, say)
        finally:
            hall.stage.refuses = ""

    hall.stage.load = load_at_last
    driving.start()
    for _ in range(2):
        while hall.course.idle and driving.is_alive():
            pass
        hall.end_trial("success")
    driving.join(10.0)
    assert not driving.is_alive()
    assert [record.outcome for record in hall.records()] == ["success", "success"]
    assert "load is refused" in hall.said
    assert hall.said[-1] == "every trial of the plan has been driven"
