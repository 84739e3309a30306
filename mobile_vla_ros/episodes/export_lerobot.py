"""Writes episodes as a LeRobotDataset, version 3.0: pictures in the tables, or video.

That format wants frames at an exact whole rate, and says so by its time stamps; the true ones are
kept as `observation.stamp` (from the episode's first frame on, whose own is `start_stamp` in the
table of episodes).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.episodes.editing import check_alike
from mobile_vla_ros.episodes.lerobot import layout
from mobile_vla_ros.episodes.lerobot.append import exchange, link_files, read_existing
from mobile_vla_ros.episodes.lerobot.building import (
    building,
    building_place,
    take_away_left,
)
from mobile_vla_ros.episodes.lerobot.card import CardFacts, Recorded, survey, write_card
from mobile_vla_ros.episodes.lerobot.dataset import DataSet
from mobile_vla_ros.episodes.lerobot.piece import Piece, PieceOrder, prepare
from mobile_vla_ros.episodes.lerobot.rows import FEWEST_FRAMES, choose_rate, choose_rows
from mobile_vla_ros.episodes.lerobot.video import VideoSettings, check_settings, describe_video
from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.files import sync

__all__ = ["CardFacts", "LerobotExport", "VideoSettings", "choose_rows", "export"]


@dataclass(frozen=True)
class LerobotExport:
    """What was written.

    Attributes:
        path: the data set's folder.
        episodes: episodes added to it; one with gaps became several.
        frames: frames added to it.
        fps: whole frames per second.
        tasks: the instructions, by task index.
        left_out: files, or pieces between gaps, that are too short.
        without_odometry: rows without odometry, which the statistics leave out.
        psnr: of the video in dB over the frames compared; infinite where nothing is lost.
        taken_away: hidden folders that killed exports had left beside it.
    """

    path: Path
    episodes: int
    frames: int
    fps: int
    tasks: tuple[str, ...]
    left_out: tuple[str, ...]
    without_odometry: int
    psnr: float
    taken_away: tuple[str, ...] = ()


def export(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    fps: int | None = None,
    size: tuple[int, int] | None = None,
    video: VideoSettings | None = None,
    names: str = "ros",
    append: bool = False,
    card: CardFacts | None = None,
    workers: int = 1,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> LerobotExport:
    """Writes the data set; nothing is there under ``out`` before all of it is.

    Args:
        paths: episode files of the same axes, spacing and frame size.
        out: the new folder.
        fps: whole frames per second; by default what was recorded, rounded down.
        size: (H, W) to resize frames to. JPEG frames that keep their size stay byte for byte,
            all others become PNG.
        video: write video with these settings instead of pictures.
        names: ``ros`` (linear.x, ...) or ``lekiwi`` (x.vel, ...; angles in degrees).
        append: add to the data set that ``out`` is; it stays as it was until the end.
        card: what a person knows, for ``README.md``; None writes no card.
        workers: processes that encode; the files are the same for any number.
        progress: wraps the list of episodes, e.g. in a progress bar.

    Raises:
        EpisodeError: a library is missing, ``out`` exists, the episodes differ, ``fps`` is more
            than was recorded, or nothing is long enough.
    """
    layout.require("pyarrow", "export-lerobot", "bags")
    if video is not None:
        layout.require("av", "--video", "lerobot")
        check_settings(video)
    if names not in layout.NAMES:
        raise EpisodeError(f"--names is {names!r}; it must be one of {', '.join(layout.NAMES)}")
    folder = Path(out)
    _check_target(folder, append)
    rate = choose_rate(paths, fps)
    features, odom = _describe(paths, rate, size, names, video)
    existing = read_existing(folder, features, rate) if append else None
    if existing:
        features = existing.info["features"]
    taken_away = take_away_left(folder)
    pieces = building_place(folder) / ".pieces"
    orders, left_out = _plan(paths, pieces, rate, size, odom, names, video)
    if not orders:
        raise EpisodeError(f"nothing to export: {'; '.join(left_out)}")
    try:
        with building(folder) as place:
            if append:
                link_files(folder, place)
            pieces.mkdir()
            robot = card.robot if card else "mobile_base"
            data = DataSet(place, rate, features, robot, existing)
            info = _fill(data, progress(_Prepared(orders, workers), "exporting"))
            pieces.rmdir()
            if card is not None:
                known = survey(paths, existing.episodes if existing else ())
                _write_card(place, card, info, data, known, left_out)
            if append:
                exchange(place, folder)
            else:
                os.rename(place, folder)
            sync(folder.absolute().parent)
    except OSError as error:
        raise EpisodeError(f"cannot write {folder}: {error.strerror or error}") from error
    totals = data.totals
    return LerobotExport(
        folder,
        totals.episodes,
        totals.frames,
        rate,
        tuple(data.tasks),
        tuple(left_out),
        totals.without_odometry,
        totals.psnr,
        taken_away,
    )


def _fill(data: DataSet, pieces: Iterable[Piece]) -> dict[str, Any]:
    """Adds every piece in its turn, and takes its file away; returns the ``info.json``."""
    with contextlib.closing(data):
        for piece in pieces:
            data.add(piece)
            piece.target.unlink()
        return data.finish()


def _write_card(
    place: Path,
    card: CardFacts,
    info: Mapping[str, Any],
    data: DataSet,
    known: Recorded,
    left_out: Sequence[str],
) -> None:
    totals = data.totals
    write_card(
        place / layout.CARD_PATH,
        card,
        info,
        list(data.tasks),
        known,
        psnr=totals.psnr,
        without_odometry=totals.without_odometry,
        left_out=left_out,
    )


def _check_target(folder: Path, append: bool) -> None:
    if append and not folder.is_dir():
        raise EpisodeError(f"there is no data set {folder} to add to")
    if not append and folder.exists():
        raise EpisodeError(
            f"{folder} exists already; choose a new folder (--append adds to a data set)"
        )
    if not folder.absolute().parent.is_dir():
        raise EpisodeError(f"the folder {folder.parent} does not exist")


def _describe(
    paths: Sequence[str | Path],
    fps: int,
    size: tuple[int, int] | None,
    names: str,
    video: VideoSettings | None,
) -> tuple[dict[str, Any], bool]:
    """The features of episodes that fit together, and whether all of them have odometry."""
    with open_episode(paths[0]) as first:
        shape = (*size, 3) if size else first.image_shape
        axes, odom = first.action_axes, first.odom is not None
        for path in paths[1:]:
            with open_episode(path) as other:
                check_alike([first, other])
                odom = odom and other.odom is not None
    said = describe_video(video, shape[0], shape[1], fps) if video else None
    return layout.features(shape, axes, odom, names, said), odom


def _plan(
    paths: Sequence[str | Path],
    folder: Path,
    fps: int,
    size: tuple[int, int] | None,
    odom: bool,
    names: str,
    video: VideoSettings | None,
) -> tuple[list[PieceOrder], list[str]]:
    """What is to be made ready, in order, and what is too short for it."""
    orders: list[PieceOrder] = []
    left_out: list[str] = []
    suffix = "arrow" if video is None else "mp4"
    for path in map(Path, paths):
        with open_episode(path) as episode:
            pieces = choose_rows(episode.image_stamps, fps)
        if not pieces:
            left_out.append(f"{path.name} (too short)")
        for rows in pieces:
            if len(rows) < FEWEST_FRAMES:
                left_out.append(f"{path.name} row {rows[0]} (alone between gaps)")
                continue
            target = folder / f"{len(orders)}.{suffix}"
            orders.append(PieceOrder(path, rows, target, fps, size, odom, names, video))
    return orders, left_out


class _Prepared(Sequence[Piece]):
    """The pieces in order, a few being made ready ahead of the one that is asked for."""

    def __init__(self, orders: Sequence[PieceOrder], workers: int) -> None:
        self._orders = orders
        self._workers = workers

    def __len__(self) -> int:
        return len(self._orders)

    def __getitem__(self, index: Any) -> Any:
        return prepare(self._orders[index])

    def __iter__(self) -> Iterator[Piece]:
        if self._workers <= 1 or len(self) == 1:
            yield from map(prepare, self._orders)
            return
        # A fresh interpreter each: a fork of a process that has threads may hang.
        context = multiprocessing.get_context("spawn")
        workers = min(self._workers, len(self))
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent)
        try:
            waiting: deque[Future[Piece]] = deque()
            for order in self._orders:
                waiting.append(pool.submit(prepare, order))
                if len(waiting) > self._workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise EpisodeError(
                "a worker process ended by itself (out of memory?); try fewer --workers"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)


def _end_with_parent() -> None:
    """A worker whose parent was killed would wait for orders, and its memory with it, for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
