"""Files are there whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mobile_vla_ros import files
from mobile_vla_ros.files import once, text_of, write_json


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_appears_with_its_content_and_folder_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.json"
    files.write_json(target, {"scenario": "왼쪽"})
    assert json.loads(target.read_text(encoding="utf-8")) == {"scenario": "왼쪽"}
    assert "왼쪽" in target.read_text(encoding="utf-8")
    assert names(target.parent) == ["a.json"]
    assert target.stat().st_mode & 0o777 == 0o644


def test_a_failure_leaves_the_old_file_and_no_rubbish(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def write_half() -> None:
        with files.whole_file(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_disk_that_fails_to_keep_it_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    files.write_text(target, "old")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_content_and_name_are_on_the_disk_before_the_write_is_said_to_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.txt"
    seen: list[tuple[bool, str]] = []

    def note(handle: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{handle}"))
        seen.append((target.exists(), place.read_text() if place.is_file() else place.name))

    monkeypatch.setattr(os, "fsync", note)
    files.write_text(target, "content")
    assert seen == [(False, "content"), (True, tmp_path.name)]


def test_an_existing_file_is_not_replaced_when_it_must_not_be(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    with (
        pytest.raises(FileExistsError),
        files.whole_file(target, replace=False) as temporary,
    ):
        temporary.write_text("new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_replaced_file_keeps_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "token"
    target.write_text("old")
    target.chmod(0o600)
    files.write_text(target, "new")
    assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o600)


def test_what_a_killed_process_left_goes_an_hour_later(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    program = (
        "import os, sys; from mobile_vla_ros import files\n"
        "with files.whole_file(sys.argv[1]) as part: part.write_text('half'); os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    (left,) = names(tmp_path)
    files.write_text(target, "whole")
    assert names(tmp_path) == sorted([left, "a.txt"])  # it may be somebody at work
    old = time.time() - 4000
    os.utime(tmp_path / left, (old, old))
    files.write_text(target, "whole")
    assert names(tmp_path) == ["a.txt"]


def test_a_hash_is_that_of_all_bytes(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "a").write_bytes(content)
    assert files.sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()


def test_what_is_written_through_a_link_goes_to_the_file_it_leads_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept.json"
    kept.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(kept)
    write_json(link, {"a": 1})
    assert link.is_symlink()
    assert json.loads(kept.read_text()) == {"a": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["kept.json", "link.json"]


def test_a_link_that_leads_nowhere_yet_becomes_a_link_to_the_new_file(tmp_path: Path) -> None:
    link = tmp_path / "link.json"
    link.symlink_to("later.json")
    write_json(link, 1)
    assert link.is_symlink()
    assert (tmp_path / "later.json").read_text() == "1\n"


def test_a_pipe_is_written_to_and_stays_one(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="No such device"):
        write_json(pipe, 1)  # nobody reads
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_json(pipe, [1, 2])
    assert json.loads(os.read(reader, 100)) == [1, 2]
    os.close(reader)
    assert pipe.is_fifo()


def test_text_is_read_from_files_and_nothing_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("héllo\n", encoding="utf-8")
    assert text_of(file) == "héllo\n"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="a pipe into which nobody writes"):
        text_of(tmp_path / "pipe")
    with pytest.raises(OSError, match="socket or device"):
        text_of("/dev/zero")
    read, write = os.pipe()
    os.write(write, b"a shell's <(...)")
    os.close(write)
    assert text_of(f"/dev/fd/{read}") == "a shell's <(...)"
    os.close(read)
    with pytest.raises(IsADirectoryError):
        text_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        text_of(tmp_path / "none")


def test_a_key_stands_once_in_json() -> None:
    assert json.loads('{"a": 1, "b": {"a": 2}}', object_pairs_hook=once) == {"a": 1, "b": {"a": 2}}
    with pytest.raises(ValueError, match="the key 'a' stands twice"):
        json.loads('{"b": {"a": 1, "a": 2}}', object_pairs_hook=once)
