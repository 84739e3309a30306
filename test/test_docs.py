"""The pages of docs/ say what the code says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


def test_the_site_builds_without_a_warning(tmp_path) -> None:
    pytest.importorskip("sphinx")
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "docs", tmp_path / "site"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert built.returncode == 0, built.stderr
    parameters = (tmp_path / "site" / "reference" / "parameters.html").read_text()
    assert "max_linear_accel" in parameters


def test_the_readme_is_one_or_two_screens() -> None:
    assert len((REPOSITORY / "README.md").read_text().splitlines()) <= 150
