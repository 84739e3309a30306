"""Looks at the pictures of an episode."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mobile_vla_ros.episodes.check_limits import CheckLimits, frames_are, times
from mobile_vla_ros.episodes.decoder_words import DecoderWords
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.episodes.schema import EpisodeError


def pictures(episode: Episode, limits: CheckLimits) -> Iterator[str]:
    """Frames that cannot be read, are damaged, black, frozen or the same as the one before."""
    if not limits.frames:
        return
    black: list[int] = []
    runs: list[tuple[int, int]] = []  # first row and length of each run of equal frames
    moving = (episode.actions != 0).any(axis=1)
    first, previous = 0, b""
    cut: list[int] = []
    sizes: dict[tuple[int, ...], int] = {}
    unreadable: list[int] = []
    try:
        for row, look in enumerate(looks(episode, range(len(episode)))):
            if look is None:
                unreadable.append(row)
                first, previous = row, b""
                continue
            content, brightness, size, torn = look
            sizes.setdefault(size, row)
            if torn:
                cut.append(row)
            if brightness < limits.black:
                black.append(row)
            if row and content == previous and moving[row - 1]:
                if runs and runs[-1][0] == first:
                    runs[-1] = (first, row - first + 1)
                else:
                    runs.append((first, row - first + 1))
            else:
                first = row
            previous = content
    except EpisodeError as error:
        yield str(error)
        return
    if len(sizes) > 1:
        yield f"the frames change size, first in row {list(sizes.values())[1]}"
    if unreadable:
        there = len(episode.jpeg(unreadable[0]) or b"")
        yield (
            f"{len(unreadable)} of {len(episode)} frames cannot be decoded, first row "
            f"{unreadable[0]} ({there} bytes)"
        )
    if cut:
        yield f"{frames_are(len(cut))} damaged: bytes are missing, first row {cut[0]}"
    if black:
        yield f"{frames_are(len(black))} black, first row {black[0]}"
    frozen = [run for run in runs if run[1] >= limits.frozen]
    for start, length in frozen[:1]:
        yield (
            f"the camera is frozen {times(len(frozen))} while the robot moves, first in rows "
            f"{start} to {start + length - 1}"
        )
    repeated = sum(length - 1 for start, length in runs if length < limits.frozen)
    if repeated:
        yield f"{frames_are(repeated)} the same as the one before while the robot moves"


def require_whole(episode: Episode) -> None:
    """Demands that every picture decodes, and that the decoder misses nothing in it.

    Raises:
        EpisodeError: one does not; raw pictures always do.
    """
    if episode.image_format == "raw":
        return
    for row, look in enumerate(looks(episode, range(len(episode)))):
        if look is None:
            raise EpisodeError(f"{episode.path}: the frame of row {row} cannot be decoded")
        if look[3]:
            raise EpisodeError(f"{episode.path}: bytes of the frame of row {row} are missing")


def looks(
    episode: Episode, rows: range
) -> Iterator[tuple[bytes, float, tuple[int, ...], bool] | None]:
    """Of each frame: what it is compared by, mean brightness, size, and whether bytes are gone.

    None for one that cannot be decoded.
    """
    if episode.image_format == "raw":
        for row in rows:
            image = episode.image(row)
            yield image.tobytes(), float(image[::8, ::8].mean()), image.shape, False
        return
    import cv2

    with DecoderWords() as words:
        for row in rows:
            data = episode.jpeg(row) or b""
            encoded = np.frombuffer(data, np.uint8)
            small = cv2.imdecode(encoded, cv2.IMREAD_REDUCED_GRAYSCALE_8) if data else None
            if small is None:
                yield None
                continue
            yield data, float(small.mean()), small.shape, words.heard()
