import json

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.trials.book import TrialBook
from mobile_vla_ros.trials.log import read_trials
from mobile_vla_ros.trials.plan import PlannedTrial, TrialPlan, make_plan
from mobile_vla_ros.trials.record import TrialError, TrialRecord


def plan(*, blind: bool = False) -> TrialPlan:
    trials = tuple(
        PlannedTrial(
            number=number,
            pair=f"1box_left#{(number + 1) // 2}",
            scenario="1box_left",
            instruction="go left",
            checkpoint="A" if number % 2 else "B",
            start=(number - 1) // 2,
        )
        for number in range(1, 5)
    )
    paths = {} if blind else {"A": "/models/a", "B": "/models/b"}
    return TrialPlan(trials=trials, checkpoints=paths, seed=0, blind=blind)


def driven(number: int | None, outcome: str = "success", **more) -> TrialRecord:
    return TrialRecord(
        trial=f"t{number}",
        scenario="1box_left",
        instruction="go left",
        checkpoint="A",
        outcome=outcome,
        number=number,
        **more,
    )


def test_it_works_through_the_plan_and_drives_again_what_does_not_count(tmp_path) -> None:
    book = TrialBook(tmp_path / "trials.jsonl", plan())
    assert (book.done, book.planned, book.next().number) == (0, 4, 1)
    assert book.checkpoint(book.next()) == "/models/a"
    book.append(driven(1))
    book.append(driven(2, "abort"))
    assert (book.done, book.next().number) == (1, 2)
    book.append(driven(2, "failure"))
    book.append(driven(3, "interrupted"))
    book.append(driven(None))
    assert (book.done, book.next().number) == (2, 3)
    book.append(driven(3))
    book.append(driven(4, "failure", shadow=True))
    assert book.next() is None


def test_it_goes_on_the_next_day_and_never_names_two_trials_alike(tmp_path) -> None:
    book = TrialBook(tmp_path / "trials.jsonl", plan())
    first = book.new_name()
    book.append(driven(1))
    assert book.new_name() != first
    book.close()
    book = TrialBook(tmp_path / "trials.jsonl", plan())
    assert book.next().number == 2
    assert book.new_name().endswith("_002")


def test_a_trial_that_was_cut_short_is_closed_by_a_verdict_or_driven_again(tmp_path) -> None:
    beginning = {
        "trial": "x",
        "scenario": "1box_left",
        "instruction": "go left",
        "checkpoint": "A",
        "number": 1,
    }
    for outcome, written, number in (("abort", "interrupted", 1), ("failure", "failure", 2)):
        book = TrialBook(tmp_path / outcome / "trials.jsonl", plan())
        book.begin(beginning)
        book.close()
        book = TrialBook(tmp_path / outcome / "trials.jsonl", plan())
        assert book.broken["trial"] == "x"
        assert book.close_broken(outcome).outcome == written
        assert book.broken is None
        assert book.next().number == number
        book.close()
        assert TrialBook(tmp_path / outcome / "trials.jsonl", plan()).broken is None
        assert len(read_trials(tmp_path / outcome / "trials.jsonl")[0]) == 1


def test_the_note_of_a_trial_that_is_written_already_is_forgotten(tmp_path) -> None:
    book = TrialBook(tmp_path / "trials.jsonl")
    book.append(driven(1))
    book.begin({"trial": "t1"})
    book.close()
    assert TrialBook(tmp_path / "trials.jsonl").broken is None


def test_nothing_was_cut_short_is_said(tmp_path) -> None:
    with pytest.raises(TrialError, match="no trial was cut short"):
        TrialBook(tmp_path / "trials.jsonl").close_broken("success")


def test_a_blind_plan_needs_its_key_and_reads_only_that(tmp_path) -> None:
    log = tmp_path / "trials.jsonl"
    with pytest.raises(TrialError, match="the plan is blind"):
        TrialBook(log, plan(blind=True))
    with pytest.raises(TrialError, match="cannot read the key"):
        TrialBook(log, plan(blind=True), str(tmp_path / "none.json"))
    key = tmp_path / "plan.key.json"
    key.write_text('{"names": {}}')
    with pytest.raises(TrialError, match="not the key of a blind plan"):
        TrialBook(log, plan(blind=True), str(key))
    key.write_text(json.dumps({"paths": {"A": "/a", "B": "/b"}}))
    book = TrialBook(log, plan(blind=True), str(key))
    assert book.checkpoint(book.next()) == "/a"


def test_a_key_in_a_home_that_nobody_knows_is_said(tmp_path, monkeypatch) -> None:
    plan, _ = make_plan({"1box_left": "go"}, {"a": "x", "b": "y"}, repeats=2, blind=True)
    monkeypatch.delenv("HOME", raising=False)

    def unknown(_: int):
        raise KeyError("uid not found")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(InputError, match="no home directory is known"):
        TrialBook(tmp_path / "trials.jsonl", plan, "~/plan.key.json")
