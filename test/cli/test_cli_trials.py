import json

import numpy as np
import pytest

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.trials.log import TrialLog
from mobile_vla_ros.trials.plan import read_plan
from mobile_vla_ros.trials.record import TrialRecord, thin_path


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["trials", *map(str, arguments)])
    return int(exit_.value.code or 0)


PLAN = ["-c", "good=/models/g", "-c", "bad=/models/b", "-s", "1box_left", "-s", "2box_right"]
PLAN += ["--elsewhere"]


def drive(plan, path, count: int | None = None) -> None:
    log = TrialLog(path)
    rng = np.random.default_rng(0)
    for trial in plan.trials[:count]:
        good = trial.checkpoint in ("good", "A")
        side = 1.0 if "left" in trial.scenario else -1.0
        t = np.linspace(0, 12, 60)
        x = 0.25 * t
        y = side * 0.5 * np.sin(np.pi * t / 12) * (1 if good else 0.2) + rng.normal(0, 0.02)
        rows = [(float(a), float(b), float(c), 0.0) for a, b, c in zip(t, x, y, strict=True)]
        log.append(
            TrialRecord(
                trial=f"t{trial.number}",
                scenario=trial.scenario,
                instruction=trial.instruction,
                checkpoint=trial.checkpoint,
                outcome="success" if good else "failure",
                cause="arrived" if good else "touched the box",
                driving_time=12.0,
                path=thin_path(rows),
                path_length=3.1,
                path_source="odometry",
                pair=trial.pair,
                number=trial.number,
                lost_time={"camera": 0.4, "inference": 0.2, "limiter": 1.0, "operator": 0.0},
            )
        )
    log.close()


def test_a_plan_is_driven_and_reported(tmp_path, capsys) -> None:
    plan_file, log = tmp_path / "plan.json", tmp_path / "trials.jsonl"
    assert run("plan", plan_file, *PLAN, "--repeats", 6) == 0
    plan = read_plan(plan_file)
    assert len(plan.trials) == 24
    assert plan.trials[0].instruction.startswith("Navigate around obstacles")
    drive(plan, log)
    out, page, figure = tmp_path / "r.json", tmp_path / "r.html", tmp_path / "r.png"
    options = ["--plan", plan_file, "--json", out, "--html", page, "--plot", figure]
    assert run("report", log, *options) == 0
    result = json.loads(out.read_text())
    assert not missing("trials report", result)
    assert result["comparison"]["enough"] is True
    assert result["comparison"]["test"].startswith("exact McNemar")
    assert result["comparison"]["p"] < 0.01
    assert {(c["name"], c["trials"], c["successes"]) for c in result["checkpoints"]} == {
        ("good", 12, 12),
        ("bad", 12, 0),
    }
    assert "good is better" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "good is better" in text
    assert text.count("data:image/png;base64") == 3
    assert "http" not in text.replace("http-equiv", "")
    assert {file.name for file in tmp_path.glob("*.png")} == {
        "r.png",
        "r-paths.png",
        "r-lost-time.png",
    }


def test_a_blind_plan_is_reported_with_its_key(tmp_path, capsys) -> None:
    plan_file, log = tmp_path / "plan.json", tmp_path / "trials.jsonl"
    assert run("plan", plan_file, *PLAN, "--repeats", 6, "--blind") == 0
    assert "good" not in plan_file.read_text()
    key = json.loads((tmp_path / "plan.key.json").read_text())
    drive(read_plan(plan_file), log)
    assert run("report", log, "--plan", plan_file, "--key", tmp_path / "plan.key.json") == 0
    assert f"{key['names']['A']} is better" in capsys.readouterr().out


def test_eight_trials_say_not_enough_to_tell(tmp_path, capsys) -> None:
    plan_file, log = tmp_path / "plan.json", tmp_path / "trials.jsonl"
    run("plan", plan_file, *PLAN, "--repeats", 6)
    drive(read_plan(plan_file), log, count=8)
    assert run("report", log, "--plan", plan_file) == 0
    assert "Not enough to tell" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "missing.jsonl"], "cannot read the trial log"),
        (["plan", "p.json", "-c", "a", "-s", "1box_left", "--repeats", "2"], "NAME=PATH"),
        (
            ["plan", "p.json", "--elsewhere", "-c", "a=b", "-s", "corridor", "--repeats", "2"],
            "names no side",
        ),
        (
            ["plan", "p.json", "--elsewhere", "-c", "a=b", "-s", "1box_left", "--detect", "x"],
            "two rates",
        ),
        (["plan", "p.json", "--elsewhere", "-c", "a=b", "-s", "1box_left"], "how often"),
        (
            [
                "plan",
                "/dev/null/p.json",
                "--elsewhere",
                "-c",
                "a=b",
                "-s",
                "1box_left",
                "--repeats",
                "1",
            ],
            "cannot write",
        ),
    ],
)
def test_wrong_input_is_one_sentence_and_status_two(
    tmp_path, monkeypatch, capsys, arguments, words
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert words in error
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_that_is_not_there_and_a_plan_that_is_are_refused(tmp_path, capsys) -> None:
    plan = tmp_path / "plan.json"
    rest = ["-s", "1box_left", "--repeats", 2]
    assert run("plan", plan, "-c", "a=demo", "-c", "b=/no/such.ckpt", *rest) == 2
    assert "checkpoint b: /no/such.ckpt does not exist" in capsys.readouterr().err
    assert not plan.exists()
    assert run("plan", plan, "-c", "a=demo", *rest) == 0
    written = plan.read_bytes()
    assert run("plan", plan, "-c", "a=demo", *rest) == 2
    assert "never overwritten" in capsys.readouterr().err
    assert plan.read_bytes() == written


def test_seeds_and_blind_codes_are_drawn_where_none_is_given(tmp_path) -> None:
    seeds, keys = set(), set()
    for number in range(12):
        plan = tmp_path / f"{number}.json"
        assert run("plan", plan, *PLAN, "--repeats", 1, "--blind") == 0
        seeds.add(read_plan(plan).seed)
        keys.add((tmp_path / f"{number}.key.json").read_text())
    assert len(seeds) > 1
    assert len(keys) == 2
