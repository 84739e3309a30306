"""A short round of the fuzz campaign, and every case that failed once; scripts/fuzz.py runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.mark.parametrize("kind", ["hdf5", "bag", "run_file", "plan", "trial_log", "checkpoint"])
def test_no_mutated_file_ends_in_anything_but_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import fuzz

    cases = 6 if kind == "checkpoint" else 50
    tally = fuzz.campaign(cases, fuzz.SEED, [kind], tmp_path, fuzz.known_cases())[kind]
    assert tally.faults == []
    assert tally.cases >= cases
    assert tally.refused < tally.cases


def test_a_case_is_the_same_file_every_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    import fuzz

    files = fuzz.make_files(tmp_path / "whole")["plan"]
    made = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        made.append(fuzz.make_case("plan", 7, 1, files, tmp_path / name).read_bytes())
    assert made[0] == made[1]
    assert made[0] != files[7 % len(files)].read_bytes()
