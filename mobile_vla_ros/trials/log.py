"""The trial log: one JSON line per trial, whole or not at all, whatever happens to the program."""

from __future__ import annotations

import fcntl
import json
import re
from pathlib import Path
from typing import Any

from mobile_vla_ros.files import text_of, write_bytes
from mobile_vla_ros.trials.record import (
    TrialError,
    TrialRecord,
    record_from_json,
    record_to_json,
)

_ODD = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class TrialLog:
    """Appends trials to a JSONL file and knows of the one that was running.

    A line is added by writing a new copy of the file beside it and renaming: a killed program, a
    dead battery or a full disk leaves the old file as it was. While a trial runs, its beginning
    stands in ``<log>.running``; finding that file at the next start means that the trial was cut
    short.

    Args:
        path: the log; it and its folder are made when they do not exist.

    Raises:
        TrialError: the folder cannot be written, or another program writes this log.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._running = self.path.with_name(self.path.name + ".running")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = open(  # noqa: SIM115 - held for the object's life
                self.path.with_name(f".{self.path.name}.lock"), "w", encoding="utf-8"
            )
        except OSError as error:
            raise TrialError(f"cannot write trials to {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise TrialError(f"another program is writing trials to {self.path}") from None
        except OSError:
            pass  # a file system without locks (some network shares): nobody can be asked

    def close(self) -> None:
        """Lets another program write this log."""
        self._lock.close()

    def begin(self, beginning: dict[str, Any]) -> None:
        """Notes durably that a trial has begun.

        Raises:
            TrialError: the disk is full or cannot be written; no trial should start then.
        """
        self._replace(self._running, _line(beginning))

    def broken(self) -> dict[str, Any] | None:
        """The beginning of a trial that never ended, or None."""
        try:
            values = json.loads(self._running.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except ValueError:
            return {}
        return values if isinstance(values, dict) else {}

    def append(self, record: TrialRecord) -> None:
        """Adds one trial, durably, and forgets the running one.

        Raises:
            TrialError: the disk is full or cannot be written; the log is as it was before.
        """
        line = _line(record_to_json(record))
        try:
            before = self.path.read_bytes()
        except FileNotFoundError:
            before = b""
        if before and not before.endswith(b"\n"):
            before += b"\n"
        self._replace(self.path, before + line)
        self.forget_running()

    def forget_running(self) -> None:
        """Removes the note of the running trial (its end is in the log, or nobody wants it)."""
        self._running.unlink(missing_ok=True)

    def _replace(self, target: Path, content: bytes) -> None:
        try:
            write_bytes(target, content)
        except OSError as error:
            raise TrialError(f"cannot write {target}: {error.strerror}") from error


def _line(values: dict[str, Any]) -> bytes:
    """The values as one line of JSON that every reader takes for one line.

    Line separators other than the newline, control characters and lone surrogates are escaped;
    other text stays as people read it.
    """
    text = json.dumps(values, ensure_ascii=False)
    return _ODD.sub(lambda found: f"\\u{ord(found[0]):04x}", text).encode() + b"\n"


def read_trials(path: str | Path) -> tuple[list[TrialRecord], list[str]]:
    """Reads a log without holding it.

    Returns:
        The trials in order, and one sentence for each line that could not be read.

    Raises:
        TrialError: the file does not exist or cannot be opened.
    """
    try:
        text = text_of(path, errors="replace")
    except OSError as error:
        raise TrialError(f"cannot read the trial log {path}: {error.strerror}") from error
    trials: list[TrialRecord] = []
    problems: list[str] = []
    # At newlines alone: str.splitlines also ends a line at U+2028, which JSON text may hold.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            values = json.loads(line)
            if not isinstance(values, dict):
                raise TrialError("it is not a JSON object")
            trials.append(record_from_json(values))
        except RecursionError:
            problems.append(f"{path}, line {number}: it is nested too deeply to be a trial")
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"{path}, line {number}: {error}")
    return trials, problems
