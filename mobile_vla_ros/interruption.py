"""Ctrl-C while Python still imports a program: an end without a traceback.

A program's package calls one of these before anything heavy is imported. Whoever only imports the
package (a test, a person's own program) is left alone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

# Signal -> what it did before `end_quietly`.
_before: dict[int, Any] = {}


def program_of(package: str, commands: Collection[str]) -> str | None:
    """Which of a package's programs this process was started as; None: another program.

    Args:
        package: full name, such as ``mobile_vla_ros.nodes``.
        commands: names of the package's programs as commands.

    Returns:
        the module below `package` (``python -m package.module``), or the command's name.
    """
    arguments = getattr(sys, "argv", [""])
    if arguments[0] == "-m":  # what Python writes there while it looks for the module
        modules = [word for word in sys.orig_argv if word.startswith(f"{package}.")]
        return modules[0].removeprefix(f"{package}.") if modules else None
    name = Path(arguments[0]).name
    return name if name in commands else None


def end_quietly(status: int, sentence: str = "") -> None:
    """SIGINT and SIGTERM end this process at once, until its program handles them itself.

    Args:
        status: the process's exit status then.
        sentence: line on standard error then; empty: none.
    """

    def end(_number: int, _frame) -> None:
        if sentence:
            os.write(2, f"{sentence}\n".encode())
        os._exit(status)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:
            _before[number] = signal.signal(number, end)


def hand_back() -> None:
    """Undoes `end_quietly`, if it was called: from here on the program itself handles signals."""
    while _before:
        signal.signal(*_before.popitem())


def leave_to_parent() -> None:
    """A child's end is its parent's to decide: what a terminal or a service sends is ignored."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
