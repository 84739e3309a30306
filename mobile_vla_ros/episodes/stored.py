"""Opening an HDF5 file, and saying why what it promises cannot be read from it."""

from __future__ import annotations

import contextlib
import math
import os
import resource
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
from h5py import h5z

from mobile_vla_ros.episodes.attributes import READ_ERRORS
from mobile_vla_ros.episodes.heaps import is_cut_off, sound_heaps
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.pictures import LARGEST

# Registered filters that people meet; the numbers are HDF5's own register.
_FILTERS = {
    305: "LZO",
    307: "bzip2",
    32000: "LZF",
    32001: "Blosc",
    32004: "LZ4",
    32008: "bitshuffle",
    32013: "ZFP",
    32015: "Zstandard",
    32017: "SZ",
    32026: "Blosc2",
}
_MEMORY = threading.RLock()
LARGEST_FRAME = LARGEST  # bytes of one picture
LARGEST_CHUNK = 512 << 20  # bytes that reading one row may bring into memory
LARGEST_TABLE = 128 << 20  # bytes of commands, stamps or events: days at 10 Hz


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """A stretch in which the process may grow by 512 MiB and no more.

    The HDF5 library allocates what a file's own lengths say: four bytes changed in a text's
    length take 4 GB before the reading fails. Here the allocation fails, as an error to catch.
    """
    with _MEMORY:  # the limit is the process's: one at a time sets it and takes it back
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
        limit = pages * resource.getpagesize() + LARGEST_CHUNK
        soft, hard = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY and soft <= limit:
            yield
            return
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


TRUNCATED = "{} is truncated; copy it again or delete it"


def open_file(path: Path) -> h5py.File:
    """The file, open for reading.

    Raises:
        EpisodeError: it is not there, no file, no HDF5, or truncated.
    """
    try:
        kind = path.stat().st_mode
    except FileNotFoundError:
        raise EpisodeError(missing(path)) from None
    except OSError as error:
        raise EpisodeError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise EpisodeError(f"cannot read {str(path)!r}: {error}") from error
    if stat.S_ISDIR(kind):
        raise EpisodeError(f"{path} is a folder, not an episode file")
    if not stat.S_ISREG(kind):  # opening a pipe would wait for whoever writes to it
        raise EpisodeError(f"{path} is a pipe, socket or device, not an episode file")
    try:
        with path.open("rb") as stream:
            empty = not stream.read(1)
    except OSError as error:
        raise EpisodeError(f"cannot read {path}: {error.strerror}") from error
    if empty:
        raise EpisodeError(f"{path} is empty (0 bytes)")
    if not h5py.is_hdf5(os.fsencode(path)):
        raise EpisodeError(f"{path} is not an HDF5 file")
    if not sound_heaps(path):
        if is_cut_off(path):
            raise EpisodeError(TRUNCATED.format(path))
        raise EpisodeError(f"{path} is damaged: its table of texts does not add up")
    try:
        with little_memory():
            return h5py.File(path, "r", locking=False)
    except READ_ERRORS as error:
        if "truncated" in str(error):
            raise EpisodeError(TRUNCATED.format(path)) from error
        raise EpisodeError(f"{path} cannot be opened: {first_line(error)}") from error


def missing(path: Path) -> str:
    """The sentence for a file that is not there, or whose link leads nowhere."""
    if path.is_symlink():
        return f"{path} is a link to {os.readlink(path)}, which is not there"
    return f"{path} does not exist"


def check_dataset(path: Path, file: h5py.File, name: str) -> h5py.Dataset | None:
    """The data set of that name, if it is one that can be read here; None when there is none.

    Raises:
        EpisodeError: its content lies in a file that is not there, is packed by a filter that is
            not installed, or is larger than a row may be.
    """
    data = file.get(name)
    if data is None:
        link = file.get(name, getlink=True) if _has_link(file, name) else None
        if isinstance(link, h5py.ExternalLink):
            raise EpisodeError(
                f"{path}: {name} is kept in {link.filename}, which is not there; copy that file "
                "beside it"
            )
        if isinstance(link, h5py.SoftLink):
            raise EpisodeError(f"{path}: {name} is a link to {link.path}, which is not there")
        return None
    if not isinstance(data, h5py.Dataset):
        return None
    _check_sources(path, name, data)
    _check_filters(path, name, data)
    _check_size(path, name, data)
    return data


def first_line(error: BaseException) -> str:
    """What the error says, in one line."""
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def _has_link(file: h5py.File, name: str) -> bool:
    try:
        return file.get(name, getlink=True) is not None
    except READ_ERRORS:
        return False


def _check_sources(path: Path, name: str, data: h5py.Dataset) -> None:
    """A virtual data set reads as zeros where its sources are gone: as black frames, standing."""
    outside: list[tuple[str, str]] = []
    if data.is_virtual:
        outside = [(str(part.file_name), str(part.dset_name)) for part in data.virtual_sources()]
    elif data.external:
        outside = [(str(part[0]), "") for part in data.external]
    for source, inside in dict.fromkeys(outside):
        place = path if source == "." else path.parent / source
        found = place.is_file()
        if found and inside:
            try:
                with h5py.File(place, "r", locking=False) as other:
                    found = isinstance(other.get(inside), h5py.Dataset)
            except READ_ERRORS:
                found = False
        if not found:
            raise EpisodeError(
                f"{path}: {name} is kept in {source}, which is not there or does not hold it; "
                "copy that file beside it"
            )


def _check_filters(path: Path, name: str, data: h5py.Dataset) -> None:
    plist = data.id.get_create_plist()
    for place in range(plist.get_nfilters()):
        number = plist.get_filter(place)[0]
        if h5z.filter_avail(number):
            continue
        with contextlib.suppress(ImportError):
            import hdf5plugin  # noqa: F401 - registers the filters that people use

            if h5z.filter_avail(number):
                continue
        called = f"{_FILTERS[number]} (HDF5 filter {number})" if number in _FILTERS else ""
        raise EpisodeError(
            f"{path}: {name} is packed by {called or f'HDF5 filter {number}'}, which is not "
            "installed; `pip install hdf5plugin` brings the usual ones, or pack the file anew "
            "with `h5repack -f GZIP=4`"
        )


def _check_size(path: Path, name: str, data: h5py.Dataset) -> None:
    """Nothing is allocated on a damaged file's word."""
    shape = data.shape or ()
    row = math.prod(shape[1:]) * data.dtype.itemsize
    chunk = math.prod(data.chunks) * data.dtype.itemsize if data.chunks else 0
    if row > LARGEST_FRAME or chunk > LARGEST_CHUNK:
        raise EpisodeError(
            f"{path} is damaged: {name} claims {max(row, chunk) >> 20} MiB for a row"
        )
    stands_alone = not data.is_virtual and not data.external
    if stands_alone and data.size and not data.id.get_storage_size():
        raise EpisodeError(f"{path}: {name} was laid out, but never written")


def read_rows(path: Path, data: h5py.Dataset, rows: int | None = None) -> np.ndarray:
    """The first ``rows`` rows (all of them by default) of a data set that is small by nature.

    Raises:
        EpisodeError: it claims to be larger than any recording.
    """
    shape = data.shape or ()
    count = shape[0] if shape and rows is None else min(rows or 1, *shape[:1] or (1,))
    if count * math.prod(shape[1:]) * data.dtype.itemsize > LARGEST_TABLE:
        name = data.name.strip("/")
        raise EpisodeError(
            f"{path} is damaged: {name} claims {' x '.join(map(str, shape))} values"
        )
    return data[:count] if shape else data[()]
