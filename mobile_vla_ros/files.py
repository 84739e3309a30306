"""Files that are there whole or not at all, on the disk when it is said, and known by a hash."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import errno
import glob
import hashlib
import json
import math
import os
import re
import select
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError

_BLOCK = 1 << 20
_MODE = 0o644
_LONE = re.compile("[\ud800-\udfff]")
_ABANDONED = 3600.0  # s without a byte written
_PIPE_PATIENCE = 5.0  # s until a pipe has said all it has to say
_LARGEST_TEXT = 64 << 20  # bytes that a pipe may say
_RENAME_NOREPLACE = 1
_AT_FDCWD = -100


@contextlib.contextmanager
def whole_file(
    path: str | Path, *, replace: bool = True, prefix: str | None = None
) -> Iterator[Path]:
    """A name to write under; it becomes ``path`` when all went well, and vanishes otherwise.

    Content and name are on the disk before the block's end is reached, so that a power failure
    leaves the old file or the new one. The new file has the old one's permissions. A link stays
    one: the file that it leads to is replaced. A pipe or device (``/dev/stdout``) is written to.

    Args:
        path: the file; a missing folder is made.
        replace: whether an existing file may be replaced.
        prefix: how the temporary name begins. What a killed process left under such a name is
            removed by the next one that writes, an hour later.

    Yields:
        An empty file in the same folder, to be written by whatever means.

    Raises:
        FileExistsError: ``path`` is there already and ``replace`` is False.
        OSError: the disk is full, or nothing can be written there.
    """
    target = Path(path)
    if replace and _is_special(target):
        with _written_through(target) as temporary:
            yield temporary
        return
    if replace and target.is_symlink():
        target = Path(os.path.realpath(target))
    prefix = f".{target.name}." if prefix is None else prefix
    target.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(target.parent, prefix)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=prefix)
    os.close(handle)
    temporary = Path(name)
    try:
        temporary.chmod(target.stat().st_mode & 0o777 if target.is_file() else _MODE)
        yield temporary
        sync(temporary)
        if replace:
            os.replace(temporary, target)
        else:
            rename_new(temporary, target)
        sync(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes a file, whole or not at all; see ``whole_file``."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 file, whole or not at all; see ``whole_file``."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: str | Path, value: Any, indent: int | None = 1) -> None:
    """Writes UTF-8 JSON, whole or not at all; see ``whole_file`` and ``plain``."""
    text = json.dumps(plain(value), indent=indent, ensure_ascii=False)
    # A file's name need not be UTF-8; JSON has an escape for what Python makes of such bytes.
    write_text(path, _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def plain(value: Any) -> Any:
    """A value as every JSON reader takes it.

    Numpy scalars and arrays, dataclasses, paths, tuples and sets are turned into plain values;
    NaN and infinity become null.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Path):
        return str(value)
    return value


def shown_name(name: str) -> str:
    """A file's name as text: a name need not be UTF-8, and no writer but the file system takes it.

    What is not UTF-8 becomes a question mark.
    """
    return name.encode("utf-8", errors="replace").decode("utf-8")


def text_of(path: str | Path, encoding: str = "utf-8", errors: str = "strict") -> str:
    """The text of a file, or of a pipe that somebody writes to; nobody is waited for.

    Raises:
        OSError: it is not there, or is no file: a folder, socket, device or silent pipe.
        UnicodeDecodeError: it is no text of that encoding.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if stat.S_ISFIFO(kind):
            return _of_pipe(handle).decode(encoding, errors)
        if not stat.S_ISREG(kind):
            raise OSError(errno.ESPIPE, "it is a socket or device, not a file", str(path))
        with open(handle, "rb", closefd=False) as file:
            return file.read().decode(encoding, errors)
    finally:
        os.close(handle)


def _of_pipe(handle: int) -> bytes:
    """What a pipe carries, opened without waiting for it (a shell's ``<(...)``)."""
    end = time.monotonic() + _PIPE_PATIENCE
    content = b""
    while len(content) < _LARGEST_TEXT and select.select([handle], [], [], _left(end))[0]:
        block = os.read(handle, _BLOCK)
        if not block and content:
            return content
        if not block:
            break
        content += block
    raise OSError(errno.ESPIPE, "it is a pipe into which nobody writes a text, not a file")


def _left(end: float) -> float:
    return max(0.0, end - time.monotonic())


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object in which no key stands twice (``object_pairs_hook`` of ``json.loads``).

    Raises:
        ValueError: one does; the sentence names it.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return values


def rename_new(source: Path, target: Path) -> None:
    """Renames without ever overwriting.

    Raises:
        FileExistsError: the name is taken; ``source`` stays.
    """
    library = ctypes.CDLL(None, use_errno=True)
    if hasattr(library, "renameat2"):
        names = os.fsencode(source), os.fsencode(target)
        if library.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_NOREPLACE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), str(source), None, str(target))
    # An old kernel or a file system without the flag: a link is refused when the name is taken.
    os.link(source, target)
    source.unlink()


def _is_special(path: Path) -> bool:
    try:
        kind = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not (stat.S_ISREG(kind) or stat.S_ISDIR(kind))


@contextlib.contextmanager
def _written_through(target: Path) -> Iterator[Path]:
    """Collects what is written, and hands it to a pipe or device at the end."""
    with tempfile.TemporaryDirectory() as folder:
        temporary = Path(folder) / "content"
        temporary.touch()
        yield temporary
        # A pipe that nobody reads is an error here; without the flag it would be waited for.
        handle = os.open(target, os.O_WRONLY | os.O_NONBLOCK)
        os.set_blocking(handle, True)
        with open(handle, "wb") as out, temporary.open("rb") as content:
            shutil.copyfileobj(content, out)


def _remove_abandoned(folder: Path, prefix: str) -> None:
    for path in folder.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def home_path(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~name`` put in full.

    Raises:
        InputError: there is no such home, as in a container whose user nobody knows.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: no home directory is known here; set HOME or give the path in full"
        ) from None


def sync(path: str | Path) -> None:
    """Makes a file's content, or the names in a folder, survive a power failure."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
