"""Reading a bag, whole or not: one cut off is read up to the cut, one without metadata too."""

from __future__ import annotations

import contextlib
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.torn_mcap import torn_mcap

METADATA = "metadata.yaml"
_STORAGES = (".mcap", ".db3", ".bag")
_PACKED = (".mcap.zstd", ".db3.zstd")
_ZSTD = b"\x28\xb5\x2f\xfd"


class BagMessage(NamedTuple):
    """One message: its topic and type, when it arrived (s), and its fields."""

    topic: str
    kind: str
    received: float
    content: Any


class Bag:
    """An opened bag.

    Attributes:
        path: the folder or file.
        kinds: topic -> message types on it; more than one where publishers disagree.
        cut: file -> why or where it ends too soon; complete after reading.
    """

    def __init__(self, path: Path, sources: list[_Source], notes: list[str]) -> None:
        self.path = path
        self.cut: dict[str, str] = {}
        self._notes = notes
        self._sources = sources
        self.kinds: dict[str, set[str]] = {}
        for source in sources:
            for topic, kind in source.topics():
                self.kinds.setdefault(topic, set()).add(kind)

    @property
    def notes(self) -> list[str]:
        """What had to be done without, one sentence each."""
        return [*self._notes, *self.cut.values()]

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """The messages on some topics, file by file in the order of their arrival.

        Where the content ends too soon, so do the messages; a note says where.
        """
        for source in self._sources:
            last = 0.0
            try:
                for message in source.messages(topics):
                    yield message
                    last = message.received
            except Exception as error:  # noqa: BLE001  whatever rosbags, codecs, sqlite raise
                said = f"{source.name} cannot be read: {_first_line(error)}"
                if last:
                    said = f"{source.name} is cut off or damaged; read up to {last:.3f} s"
                self.cut[source.name] = said


class _Source:
    """One bag, or one of its files, behind any reader."""

    name = ""

    def topics(self) -> set[tuple[str, str]]:
        """(topic, type) of what is in it."""
        raise NotImplementedError

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """Its messages on some topics."""
        raise NotImplementedError


@contextlib.contextmanager
def open_bag(path: Path) -> Iterator[Bag]:
    """A bag: a folder (mcap or sqlite3, packed or not, with or without metadata), or one file.

    Raises:
        EpisodeError: there is nothing, or nothing in it can be read.
    """
    if not path.exists():
        raise EpisodeError(f"{path} does not exist")
    if not path.is_dir() and not path.is_file():
        raise EpisodeError(f"{path} is not a bag: it is a pipe, socket or device")
    with contextlib.ExitStack() as stack:
        notes: list[str] = []
        try:
            sources: list[_Source] = [stack.enter_context(_whole(path))]
        except Exception as error:  # noqa: BLE001  as above
            sources = _parts(path, stack, notes, error)
        yield Bag(path, sources, notes)


class _Rosbags(_Source):
    """What the rosbags library opens."""

    def __init__(self, reader: Any, name: str) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.name = name
        self._reader = reader
        self._known = get_typestore(Stores.ROS2_JAZZY if reader.is2 else Stores.ROS1_NOETIC)

    def topics(self) -> set[tuple[str, str]]:
        return {(c.topic, c.msgtype) for c in self._reader.connections}

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        chosen = [c for c in self._reader.connections if c.topic in topics]
        if not chosen:
            return
        for connection, nanoseconds, data in self._reader.messages(chosen):
            content = self._deserialize(_plain(data), connection.msgtype)
            yield BagMessage(connection.topic, connection.msgtype, nanoseconds * 1e-9, content)

    def _deserialize(self, data: bytes, kind: str) -> Any:
        """By the definition everybody knows, which a torn bag's own may no longer be."""
        if kind not in self._known.types:
            return self._reader.deserialize(data, kind)
        if self._reader.is2:
            return self._known.deserialize_cdr(data, kind)
        return self._known.deserialize_ros1(data, kind)


@contextlib.contextmanager
def _whole(path: Path) -> Iterator[_Source]:
    from rosbags.highlevel import AnyReader
    from rosbags.typesys import Stores, get_typestore

    # Bags of older ROS versions carry no message definitions; these messages never changed.
    known = get_typestore(Stores.ROS2_JAZZY)
    with AnyReader([path], default_typestore=known) as reader:
        yield _Rosbags(reader, path.name)


def _parts(
    path: Path, stack: contextlib.ExitStack, notes: list[str], error: Exception
) -> list[_Source]:
    """The files of a bag that does not open as a whole, each as far as it goes."""
    files = _files(path)
    if not files:
        inside = "it holds no .mcap, .db3 or .bag file" if path.is_dir() else _first_line(error)
        raise EpisodeError(f"{path} is not a bag that can be read: {inside}") from error
    if path.is_dir():
        missing = not (path / METADATA).is_file()
        why = "is missing" if missing else f"does not fit ({_first_line(error)})"
        notes.append(f"{METADATA} {why}; the files themselves were read")
    sources: list[_Source] = []
    for file in files:
        plain = _unpacked(file, stack) if file.name.endswith(_PACKED) else file
        try:
            sources.append(stack.enter_context(_whole(plain)))
            continue
        except Exception as problem:  # noqa: BLE001  as above
            reason = problem
        torn = _Torn(plain, file.name)
        if torn.topics():
            sources.append(torn)
        else:
            notes.append(f"{file.name} cannot be read: {_first_line(reason)}")
    if not sources:
        raise EpisodeError(f"{path} is not a bag that can be read: {_first_line(error)}")
    return sources


def _files(path: Path) -> list[Path]:
    found = [path] if path.is_file() else list(path.iterdir())
    fitting = [f for f in found if f.is_file() and f.name.endswith((*_STORAGES, *_PACKED))]

    def by_number(file: Path) -> list[Any]:
        parts = re.split(r"(\d+)", file.name)
        return [int(part) if part.isdigit() else part for part in parts]

    return sorted(fitting, key=by_number)


def _unpacked(file: Path, stack: contextlib.ExitStack) -> Path:
    """A packed file's content beside it in a temporary folder, as far as it goes."""
    from rosbags.rosbag2.storage_mcap import zstd

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    target = Path(folder) / file.name.removesuffix(".zstd")
    with (
        contextlib.suppress(Exception),  # as above: up to the cut
        file.open("rb") as packed,
        target.open("wb") as plain,
        zstd.open(packed, "rb") as stream,
    ):
        shutil.copyfileobj(stream, plain, 1 << 20)
    return target


class _Torn(_Source):
    """A file without its end, read from its beginning."""

    def __init__(self, path: Path, name: str) -> None:
        from rosbags.typesys import Stores, get_typestore

        self.name = name
        self._path = path
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._raw = {".mcap": self._mcap, ".db3": self._sqlite}.get(path.suffix, self._nothing)

    def topics(self) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        with contextlib.suppress(Exception):  # as above: up to the cut
            for topic, kind, _, _ in self._raw():
                found.add((topic, kind))
        return found

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        for topic, kind, nanoseconds, data in self._raw():
            if topic not in topics or kind not in self._store.types:
                continue
            content = self._store.deserialize_cdr(_plain(data), kind)
            yield BagMessage(topic, kind, nanoseconds * 1e-9, content)
        raise EpisodeError("the end is missing")  # or rosbags had read it

    def _nothing(self) -> Iterator[tuple[str, str, int, bytes]]:
        return iter(())

    def _mcap(self) -> Iterator[tuple[str, str, int, bytes]]:
        with self._path.open("rb") as stream:
            yield from torn_mcap(stream)

    def _sqlite(self) -> Iterator[tuple[str, str, int, bytes]]:
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "torn.db3"
            shutil.copyfile(self._path, copy)
            _shorten_sqlite(copy)
            uri = f"{copy.as_uri()}?immutable=1"
            with contextlib.closing(sqlite3.connect(uri, uri=True)) as base:
                topics = {
                    row[0]: (str(row[1]), str(row[2]))
                    for row in base.execute("SELECT id, name, type FROM topics")
                }
                rows = base.execute("SELECT topic_id, timestamp, data FROM messages ORDER BY id")
                for topic, nanoseconds, data in rows:
                    if topic in topics:
                        yield (*topics[topic], int(nanoseconds), bytes(data))


def _shorten_sqlite(path: Path) -> None:
    """Lets the header count the pages that are there; sqlite opens nothing shorter than it."""
    with path.open("r+b") as file:
        head = file.read(32)
        if len(head) < 32:
            return
        page = int.from_bytes(head[16:18], "big")
        page = 65536 if page == 1 else page
        if page < 512:
            return
        file.truncate(path.stat().st_size // page * page)
        file.seek(28)
        file.write((path.stat().st_size // page).to_bytes(4, "big"))


def _plain(data: bytes) -> bytes:
    """A message's bytes unpacked, where each was packed by itself."""
    if bytes(data[:4]) != _ZSTD:
        return data
    from rosbags.rosbag2.storage_mcap import zstd

    return zstd.decompress(data)


def _first_line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]
