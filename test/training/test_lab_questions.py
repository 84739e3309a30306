"""The scripts that ask the lab's questions and show the gate its candidates: their run files."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from mobile_vla_ros.training.experiments import read_experiments
from mobile_vla_ros.training.run_schema import read_training_run

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture(params=["lab_questions", "gate_decisions"])
def script(request, monkeypatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module(request.param)
    sys.modules.pop(request.param)


def test_every_run_file_can_be_trained(script, tmp_path) -> None:
    if script.__name__ == "gate_decisions":
        runs = script.candidates(tmp_path)
        assert [name for name in runs if name.startswith("seed")] == [
            f"seed {number}" for number in range(1, 6)
        ]
    else:
        script.write_rows(tmp_path)
        rows = read_experiments(tmp_path / "rows")
        assert {row.id for row in rows} == set(script.ROWS)
        asked = {name for names, _ in script.QUESTIONS.values() for name in names}
        assert asked == set(script.ROWS)
        runs = {row.id: row.run for row in rows}
        # What is compared differs in what is asked, and in nothing else.
        assert len({str(run["trainer"]) + str(run["act_head"]) for run in runs.values()}) == 1
    for name, run in runs.items():
        read_training_run(run, name)
