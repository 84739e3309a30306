"""Turns what an interrupted recording left behind into an episode marked incomplete."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.finishing import finish_part
from mobile_vla_ros.episodes.schema import PART_SUFFIX, EpisodeError
from mobile_vla_ros.episodes.structure import write_at
from mobile_vla_ros.episodes.writer import TEMPORARY_PREFIX
from mobile_vla_ros.files import sync

_LOOK = 64  # bytes: a compressed frame does not begin with so many zeros, a hole in a file does


@dataclass(frozen=True)
class Recovery:
    """What became of one interrupted file.

    Attributes:
        part: the interrupted file.
        path: the episode it became; None when there was nothing in it or it is unreadable.
        frames: frames recovered.
        lost: acknowledged frames that are gone (only after a power failure).
        note: one sentence for the user.
    """

    part: Path
    path: Path | None
    frames: int
    lost: int
    note: str


def find_interrupted(directory: str | Path) -> list[Path]:
    """The ``.h5.part`` files in a folder that no living process is recording."""
    return [
        path
        for path in sorted(Path(directory).glob(f"*.h5{PART_SUFFIX}"))
        if path.is_file() and not being_recorded(path)
    ]


def being_recorded(path: Path) -> bool:
    """Whether a process holds the file for recording."""
    try:
        with _locked(path):
            return False
    except EpisodeError:
        return True
    except OSError:
        return False


def recover_folder(directory: str | Path) -> list[Recovery]:
    """Recovers every interrupted file in a folder; an unreadable one is kept and said.

    Raises:
        EpisodeError: the folder does not exist.
    """
    folder = Path(directory)
    if not folder.is_dir():
        raise EpisodeError(f"{folder} is not a folder")
    _remove_unused(folder)
    found = []
    for part in find_interrupted(folder):
        try:
            found.append(recover(part))
        except EpisodeError as error:
            found.append(Recovery(part, None, 0, 0, str(error)))
    return found


def recover(path: str | Path) -> Recovery:
    """Finishes an interrupted ``.h5.part`` file with ``complete`` false.

    It gets its own name without ``.part`` (with a counter if that is taken). A file without a
    single frame is deleted.

    Raises:
        EpisodeError: it is no interrupted episode, is being recorded now, is damaged, or the
            disk failed. The file is left as it is then.
    """
    part = Path(path)
    if not part.name.endswith(f".h5{PART_SUFFIX}"):
        raise EpisodeError(f"{part} is no interrupted recording (their names end in .h5.part)")
    final = part.with_name(part.name.removesuffix(PART_SUFFIX))
    try:
        with _locked(part) as descriptor:
            if final.exists() and final.samefile(part):
                part.unlink()  # the last step, taking the old name away, had not come about
                sync(part.parent)
                return _finished_before(part, final)
            return _finish(descriptor, part, final)
    except FileNotFoundError:
        raise EpisodeError(f"{part} does not exist") from None
    except OSError as error:
        raise EpisodeError(f"cannot recover {part}: {error.strerror or error}") from error


def _finish(descriptor: int, part: Path, final: Path) -> Recovery:
    try:
        with h5py.File(part, "r", locking=False) as file:
            committed = int(file[schema.COMMITTED][()])
            count_at = file[schema.COMMITTED].id.get_offset()
            dropped, lost = (int(value) for value in file[schema.COUNTS][()])
            rows = _rows_on_disk(file, committed)
    except (OSError, KeyError, RuntimeError, ValueError) as error:
        reason = str(error).strip().split("\n")[0]
        raise EpisodeError(f"{part} is damaged and was left as it is: {reason}") from error
    if committed == 0:
        part.unlink()
        sync(part.parent)
        return Recovery(part, None, 0, 0, f"{part.name} held no frame and was deleted")
    if rows == 0:
        raise EpisodeError(
            f"{part} counts {committed} frames but none has reached the disk; it was left as it is"
        )
    gone = committed - rows
    attributes = {
        "complete": False,
        "frames_received": committed + dropped,
        "frames_written": rows,
        "frames_dropped": dropped + gone,
        "frames_lost": lost,
    }
    if gone:
        write_at(descriptor, np.array(rows, schema.COUNT_TYPE).tobytes(), count_at)
    target = finish_part(descriptor, part, final, rows, attributes)
    what = f"{gone} more had not reached the disk" if gone else "at most the one in flight is lost"
    note = f"{target.name}: {rows} frames recovered, {what}; marked incomplete"
    return Recovery(part, target, rows, gone, note)


def _finished_before(part: Path, final: Path) -> Recovery:
    with h5py.File(final, "r", locking=False) as file:
        rows = int(file[schema.COMMITTED][()])
    return Recovery(part, final, rows, 0, f"{final.name} was finished already; nothing is lost")


def _rows_on_disk(file: h5py.File, committed: int) -> int:
    """Committed rows whose data is there: after a power failure the last may be holes."""
    rows = min(committed, len(file[schema.ACTIONS]), len(file[schema.EVENTS]))
    if schema.IMAGES in file:
        rows = min(rows, len(file[schema.IMAGES]))
    while rows and not _is_there(file, rows - 1):
        rows -= 1
    return rows


def _is_there(file: h5py.File, row: int) -> bool:
    if not bytes(file[schema.EVENTS][row]):
        return False
    if schema.JPEG not in file:
        return True
    start = int(file[schema.JPEG_END][row - 1]) if row else 0
    end = int(file[schema.JPEG_END][row])
    if not start < end <= len(file[schema.JPEG]):
        return False
    return bool(np.any(file[schema.JPEG][start : min(end, start + _LOOK)]))


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDWR)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EpisodeError(f"{path} is being recorded by another process") from None
        except OSError:
            pass  # a file system without locks: nothing to ask
        yield descriptor
    finally:
        os.close(descriptor)


def _remove_unused(folder: Path) -> None:
    """Deletes files that were being laid out when their process was killed: never a frame."""
    for path in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if path.is_file() and not being_recorded(path):
            path.unlink(missing_ok=True)
