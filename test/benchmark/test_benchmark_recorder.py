"""The recorder's benchmark: what it concludes, and one short run with real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mobile_vla_ros.benchmark.recorder import RecorderResult, _growth, _problems

GOOD = RecorderResult(
    frames_received=100,
    frames_written=100,
    frames_dropped=0,
    frames_lost=0,
    gaps=0,
    longest_gap=0.034,
    callback_ms={"p50": 0.1, "p99": 0.6, "max": 3.0},
    callback_cpu_ms={"p50": 0.1, "p99": 0.3, "max": 1.0},
    write_ms={"p50": 3.0, "p99": 5.0, "max": 20.0},
    save_seconds=0.2,
    bytes_per_frame=3e5,
    file_bytes=30_000_000,
    longest_queue=3,
    memory_growth={"recorder": 0.01, "writer": 0.0},
)


def test_a_run_within_every_limit_has_no_problem() -> None:
    assert _problems(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "fragment"),
    [
        ({"frames_dropped": 1}, "dropped"),
        ({"frames_lost": 2}, "lost"),
        ({"callback_ms": {"p50": 0.1, "p99": 1.0, "max": 2.0}}, "p99"),
        ({"save_seconds": 2.5}, "saving took 2.5 s"),
        ({"memory_growth": {"writer": 0.5}}, "memory of the writer grew by 50%"),
    ],
)
def test_each_limit_that_is_passed_is_named(changes: dict, fragment: str) -> None:
    (problem,) = _problems(replace(GOOD, **changes))
    assert fragment in problem


def test_memory_that_rises_while_it_settles_is_not_growth() -> None:
    assert _growth([100] * 20 + [500] * 80) == 0.0
    assert _growth([100] * 60 + [100 + k for k in range(60)]) > 0.3
    assert _growth([1, 2, 3]) == 0.0


@pytest.mark.ros
def test_a_short_run_reports_every_frame(ros_domain: int, tmp_path: Path) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mobile_vla_ros.cli.main", "benchmark", "recorder"),
            *("--seconds", "2", "--width", "64", "--height", "48", "--format", "raw"),
            *("--json", str(tmp_path / "result.json"), "--plot", str(tmp_path / "memory.png")),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    # 1 when this machine is too busy for the callback's limit.
    assert result.returncode in (0, 1), result.stderr
    report = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert report["frames_written"] == report["frames_received"] >= 50
    assert report["frames_dropped"] == report["frames_lost"] == report["gaps"] == 0
    assert "frames written" in result.stdout
    assert (tmp_path / "memory.png").stat().st_size > 1000


def test_a_wrong_format_is_refused_in_one_line() -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-m", "mobile_vla_ros.cli.main", "benchmark", "recorder"),
            *("--format", "png"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "raw or jpeg" in result.stderr
