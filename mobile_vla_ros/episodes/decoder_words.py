"""Hearing what the JPEG library says about a damaged picture while it decodes it all the same."""

from __future__ import annotations

import os
import tempfile
from types import TracebackType
from typing import IO

_DAMAGE = (b"Corrupt JPEG", b"Premature end")


class DecoderWords:
    """A context in which the process's standard error is listened to.

    libjpeg fills what is missing with grey and writes a line to standard error; nothing in the
    decoded picture tells. Lines of others are passed on when the context ends.
    """

    def __init__(self) -> None:
        self._kept = -1
        self._file: IO[bytes] | None = None
        self._read = 0
        self._others: list[bytes] = []

    def __enter__(self) -> DecoderWords:
        try:
            self._kept = os.dup(2)
        except OSError:
            return self  # there is no standard error to listen to
        self._file = tempfile.TemporaryFile()  # closed on leaving
        os.dup2(self._file.fileno(), 2)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        self.heard()
        os.dup2(self._kept, 2)
        os.close(self._kept)
        self._file.close()
        if self._others:
            os.write(2, b"".join(self._others))

    def heard(self) -> bool:
        """Whether the decoder has complained since the last call."""
        if self._file is None:
            return False
        end = os.fstat(self._file.fileno()).st_size
        if end == self._read:
            return False
        said = os.pread(self._file.fileno(), end - self._read, self._read)
        self._read = end
        lines = said.splitlines(keepends=True)
        damage = [line for line in lines if line.startswith(_DAMAGE)]
        self._others += [line for line in lines if line not in damage]
        return bool(damage)
