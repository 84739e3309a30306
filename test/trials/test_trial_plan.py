import json
from collections import Counter

import pytest

from mobile_vla_ros.trials.plan import make_plan, plan_to_json, read_plan
from mobile_vla_ros.trials.record import TrialError

SCENARIOS = {"1box_left": "go left", "1box_right": "go right", "2box_left": "go left"}
CHECKPOINTS = {"frozen": "/models/a", "lora": "/models/b"}


def test_every_checkpoint_drives_every_start_once() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=4, seed=1)
    assert len(plan.trials) == 24
    counts = Counter((trial.pair, trial.checkpoint) for trial in plan.trials)
    assert set(counts.values()) == {1}
    assert len({trial.pair for trial in plan.trials}) == 12


def test_matched_trials_follow_each_other() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=4, seed=1)
    for first, second in zip(plan.trials[::2], plan.trials[1::2], strict=True):
        assert first.pair == second.pair
        assert first.checkpoint != second.checkpoint


@pytest.mark.parametrize("seed", range(5))
def test_each_checkpoint_goes_first_equally_often(seed: int) -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=4, seed=seed)
    first = Counter(trial.checkpoint for trial in plan.trials[::2])
    assert first == {"frozen": 6, "lora": 6}


def test_the_order_is_random_and_the_seed_repeats_it() -> None:
    plans = [make_plan(SCENARIOS, CHECKPOINTS, repeats=6, seed=seed)[0] for seed in (1, 1, 2)]
    assert plans[0] == plans[1]
    assert plans[0].trials != plans[2].trials


def test_a_blind_plan_shows_codes_and_hides_paths() -> None:
    plan, key = make_plan(SCENARIOS, CHECKPOINTS, repeats=2, blind=True)
    text = json.dumps(plan_to_json(plan))
    assert set(key.values()) == set(CHECKPOINTS)
    assert "frozen" not in text
    assert "/models" not in text
    assert {trial.checkpoint for trial in plan.trials} == set(key)


def test_a_difference_to_detect_fixes_the_number_beforehand() -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, difference=(0.9, 0.5))
    assert plan.pairs_needed is not None
    assert len(plan.trials) // 2 >= plan.pairs_needed


def test_a_plan_survives_its_file(tmp_path) -> None:
    plan, _ = make_plan(SCENARIOS, CHECKPOINTS, repeats=2, difference=(0.9, 0.5))
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(plan_to_json(plan)))
    assert read_plan(path) == plan


@pytest.mark.parametrize(
    "arguments",
    [
        {"scenarios": {}, "checkpoints": CHECKPOINTS, "repeats": 1},
        {"scenarios": SCENARIOS, "checkpoints": CHECKPOINTS},
        {"scenarios": SCENARIOS, "checkpoints": CHECKPOINTS, "repeats": 0},
        {"scenarios": SCENARIOS, "checkpoints": CHECKPOINTS, "difference": (0.8, 0.8)},
    ],
)
def test_what_cannot_be_planned_is_refused(arguments) -> None:
    with pytest.raises(TrialError):
        make_plan(**arguments)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"trials": [{"number": 1}]}'])
def test_a_foreign_file_is_not_taken_for_a_plan(tmp_path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(TrialError, match="not a trial plan"):
        read_plan(path)
    with pytest.raises(TrialError, match="cannot read"):
        read_plan(tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"seed"', '"blind": true, "seed"', 1), "'blind' stands twice"),
        (lambda text: text.replace('"number": 1,', '"number": "1",', 1), "number must be a whole"),
        (lambda text: text.replace('"number": 2,', '"number": 7,', 1), "not numbered 1, 2, 3"),
        (lambda text: text.replace('"checkpoint": "a"', '"checkpoint": "z"', 1), "'z' of a trial"),
        (lambda text: text.replace('"alpha": 0.05', '"alpha": "often"', 1), "alpha must lie"),
        (lambda text: "[" * 100_000, "is not a trial plan"),
    ],
)
def test_a_plan_with_something_wrong_inside_is_refused(tmp_path, change, said: str) -> None:
    plan, _ = make_plan({"1box_left": "go"}, {"a": "x.ckpt", "b": "y.ckpt"}, repeats=2, seed=1)
    text = json.dumps(plan_to_json(plan))
    path = tmp_path / "plan.json"
    path.write_text(text)
    assert read_plan(path).trials == plan.trials
    path.write_text(change(text))
    assert path.read_text() != text
    with pytest.raises(TrialError, match=said):
        read_plan(path)
