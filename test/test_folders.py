"""Folders are there whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mobile_vla_ros import folders


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "set"
    with folders.whole_folder(target, {"a"}) as folder:
        (folder / "a").write_text("1")
        assert not target.exists()
    assert names(target) == ["a"]
    assert target.stat().st_mode & 0o777 == 0o755

    def write_half() -> None:
        with folders.whole_folder(tmp_path / "other", {"a"}) as folder:
            (folder / "a").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert names(tmp_path) == ["deep"]


def test_what_a_killed_process_left_of_a_folder_goes_and_nothing_else(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, signal, sys\n"
        "from mobile_vla_ros import folders\n"
        "with folders.whole_folder(sys.argv[1], {'a'}) as folder:\n"
        "    (folder / 'a').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "set"
    subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    (left,) = names(tmp_path)
    foreign = tmp_path / ".set.notes123"
    foreign.mkdir()
    (foreign / "mine.txt").write_text("kept")
    with folders.whole_folder(target, {"a"}) as busy:
        (busy / "a").write_text("1")
        with folders.whole_folder(
            tmp_path / "set", {"a"}, put=lambda new, _: new.rename(busy / "b")
        ):
            assert busy.is_dir(), "another process's folder was taken away"
    assert left not in names(tmp_path)
    assert names(tmp_path) == [".set.notes123", "set"]
