import errno
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from mobile_vla_ros.trials.log import TrialLog, read_trials
from mobile_vla_ros.trials.record import (
    TrialError,
    TrialRecord,
    record_from_json,
    record_to_json,
    thin_path,
)


def trial(number: int, **changes) -> TrialRecord:
    values = {
        "trial": f"t{number}",
        "scenario": "1box_left_close",
        "instruction": "왼쪽 병으로 가세요",
        "checkpoint": "a",
        "outcome": "success",
        "path": ((0.0, 0.0, 0.0, 0.0), (1.0, 0.5, 0.1, 0.2)),
        "number": number,
    }
    return TrialRecord(**{**values, **changes})


def test_what_is_appended_is_read_back(tmp_path) -> None:
    log = TrialLog(tmp_path / "day" / "trials.jsonl")
    records = [trial(1), trial(2, outcome="failure", cause="touched the box", pair="x#1")]
    for record in records:
        log.append(record)
    assert read_trials(log.path) == (records, [])
    assert log.path.read_text(encoding="utf-8").count("\n") == 2


def test_a_line_separator_in_the_text_does_not_tear_a_trial(tmp_path) -> None:
    log = TrialLog(tmp_path / "trials.jsonl")
    causes = ["a\u2028b", "a\u2029b", "a\x85b", "a\x0bb\x0cc\x1cd", "a\rb\nc", "왼쪽 \ud800"]
    for number, cause in enumerate(causes):
        log.append(trial(number, cause=cause))
    records, problems = read_trials(log.path)
    assert [record.cause for record in records] == causes
    assert problems == []
    # Other programs read it too, and many split at every kind of line end.
    lines = log.path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["cause"] for line in lines] == causes


def test_a_log_written_with_raw_line_separators_is_read_whole(tmp_path) -> None:
    path = tmp_path / "trials.jsonl"
    values = record_to_json(trial(1, cause="touched\u2028the box", note="\x85"))
    path.write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
    records, problems = read_trials(path)
    assert records[0].cause == "touched\u2028the box"
    assert problems == []


@pytest.mark.parametrize("reason", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_no_other_program(tmp_path, monkeypatch, reason) -> None:
    def no_locks(*_) -> None:
        raise OSError(reason, os.strerror(reason))

    monkeypatch.setattr("fcntl.flock", no_locks)
    log = TrialLog(tmp_path / "trials.jsonl")
    log.append(trial(1))
    assert read_trials(log.path) == ([trial(1)], [])


@pytest.mark.parametrize(
    "change",
    [
        {"started": "noon"},
        {"latency": 5},
        {"latency": {"p50": "fast"}},
        {"path": [[0, 1]]},
        {"path": [[0, 1, 2, 10**400]]},
        {"stops": [3]},
        {"interventions": []},
        {"cause": ["x"]},
        {"shadow": "False"},
        {"number": True},
    ],
)
def test_a_field_of_another_kind_is_named_and_the_others_are_read(tmp_path, change) -> None:
    path = tmp_path / "trials.jsonl"
    good = record_to_json(trial(1))
    path.write_text(f"{json.dumps({**good, **change})}\n{json.dumps(good)}\n")
    records, problems = read_trials(path)
    assert len(records) == 1
    assert f"line 1: {next(iter(change))} must be" in problems[0]


def test_continuing_the_next_day_adds_to_the_same_log(tmp_path) -> None:
    path = tmp_path / "trials.jsonl"
    first = TrialLog(path)
    first.append(trial(1))
    first.close()
    TrialLog(path).append(trial(2))
    assert [record.trial for record in read_trials(path)[0]] == ["t1", "t2"]


def test_two_programs_cannot_write_one_log(tmp_path) -> None:
    first = TrialLog(tmp_path / "trials.jsonl")
    with pytest.raises(TrialError, match="another program"):
        TrialLog(tmp_path / "trials.jsonl")
    first.close()


def test_a_trial_that_never_ended_is_found_at_the_next_start(tmp_path) -> None:
    path = tmp_path / "trials.jsonl"
    log = TrialLog(path)
    log.begin({"trial": "t7", "scenario": "2box_right"})
    log.close()
    again = TrialLog(path)
    assert again.broken() == {"trial": "t7", "scenario": "2box_right"}
    again.append(trial(7, outcome="interrupted"))
    assert again.broken() is None


def test_lines_of_a_foreign_file_are_reported_one_by_one(tmp_path) -> None:
    path = tmp_path / "trials.jsonl"
    good = json.dumps(record_to_json(trial(1)))
    path.write_text(f'{good}\n{{"trial": "x"\n[1]\n{{"trial": "y"}}\n', encoding="utf-8")
    records, problems = read_trials(path)
    assert [record.trial for record in records] == ["t1"]
    assert len(problems) == 3
    assert all("line" in problem for problem in problems)


def test_an_unwritable_folder_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(TrialError, match="cannot write trials"):
        TrialLog(tmp_path / "file" / "trials.jsonl")


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path) -> None:
    program = f"""
import resource, signal
from mobile_vla_ros.trials.log import TrialLog
from mobile_vla_ros.trials.record import TrialError, TrialRecord
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = TrialLog({str(tmp_path / "trials.jsonl")!r})
make = lambda n, note="": TrialRecord(trial=n, scenario="s", instruction="i", checkpoint="c",
                                      outcome="success", note=note)
log.append(make("t1"))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    log.append(make("t2", note="x" * 8192))
except TrialError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.startswith("cannot write"), done.stderr
    records, problems = read_trials(tmp_path / "trials.jsonl")
    assert ([record.trial for record in records], problems) == (["t1"], [])


def test_a_killed_program_never_tears_the_log(tmp_path) -> None:
    path = tmp_path / "trials.jsonl"
    program = f"""
from mobile_vla_ros.trials.log import TrialLog, read_trials
from mobile_vla_ros.trials.record import TrialRecord
log = TrialLog({str(path)!r})
number = len(read_trials({str(path)!r})[0]) if log.path.exists() else 0
print("ready", flush=True)
while True:
    number += 1
    log.append(TrialRecord(trial=str(number), scenario="s", instruction="i", checkpoint="c",
                           outcome="success", note="x" * 20000))
"""
    rng = np.random.default_rng(0)
    counted = 0
    for _ in range(8):
        process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(float(rng.uniform(0.01, 0.15)))
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        if path.exists():
            records, problems = read_trials(path)
            assert problems == []
            assert [record.trial for record in records] == [
                str(number + 1) for number in range(len(records))
            ]
            assert len(records) >= counted
            counted = len(records)
    assert counted > 0


def test_numbers_that_are_not_finite_become_null() -> None:
    values = record_to_json(trial(1, latency={"p50": float("nan")}))
    assert values["latency"]["p50"] is None
    assert record_from_json({**values, "added_later": 1}).trial == "t1"


def test_an_unknown_outcome_is_refused() -> None:
    with pytest.raises(TrialError, match="not one of"):
        trial(1, outcome="great")


def test_a_thinned_path_keeps_its_ends() -> None:
    path = [(i * 0.05, i * 0.01, 0.0, 0.0) for i in range(1001)]
    thin = thin_path(path, spacing=0.05, most=100)
    assert len(thin) == 100
    assert (thin[0], thin[-1]) == (path[0], (50.0, 10.0, 0.0, 0.0))
