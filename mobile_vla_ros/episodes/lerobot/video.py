"""MP4 files by PyAV: frames in, frames out, and episodes behind one another in one file.

Every second picture is a key frame and none refers to a later one, so a loader that jumps to any
frame decodes two at most, and packets of one file can be put behind another's as they are.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.processor import this_processor

KEY_FRAME_EVERY = 2
CODEC = "h264"
_ENCODER = "libx264"
_CHECKED = 8  # frames compared after encoding, spread over the video


@dataclass(frozen=True)
class VideoSettings:
    """How frames become video.

    Attributes:
        quality: H.264's constant rate factor, 0 (nothing but colours lost) to 51; 18 is hard to
            tell from the original.
    """

    quality: int = 18

    def options(self) -> dict[str, str]:
        """For the encoder: the frames it writes depend neither on the machine nor on chance.

        One thread; and with AVX-512 libx264's macroblock tree comes out otherwise now and then
        (of 200 encodings of the same pictures some 5), so such processors are used as far as AVX2.
        """
        narrow = {"x264-params": "asm=AVX2"} if "avx512f" in this_processor().flags else {}
        return {
            **narrow,
            "crf": str(self.quality),
            "g": str(KEY_FRAME_EVERY),
            "preset": "veryfast",
            "bf": "0",
            "sc_threshold": "0",
            "threads": "1",
        }


def check_settings(settings: VideoSettings) -> None:
    """Refuses what the encoder here does not take.

    Raises:
        EpisodeError: the encoder is missing, or the quality out of range.
    """
    import av

    if _ENCODER not in av.codecs_available:
        raise EpisodeError(f"this PyAV has no {_ENCODER}; install the one from PyPI")
    if not 0 <= settings.quality <= 51:
        raise EpisodeError(f"--quality is {settings.quality}; it must be 0 to 51")


def pixel_format(height: int, width: int) -> str:
    """Half the colours where the size is even, as players expect; all of them elsewhere."""
    return "yuv444p" if height % 2 or width % 2 else "yuv420p"


def describe_video(settings: VideoSettings, height: int, width: int, fps: int) -> dict[str, Any]:
    """What ``info.json`` says about a video, in lerobot's words."""
    return {
        "video.height": height,
        "video.width": width,
        "video.codec": CODEC,
        "video.pix_fmt": pixel_format(height, width),
        "video.fps": fps,
        "video.channels": 3,
        "has_audio": False,
        "video.g": KEY_FRAME_EVERY,
        "video.crf": settings.quality,
        "video.video_backend": "pyav",
        "is_depth_map": False,
    }


def encode(
    path: Path, images: Iterable[np.ndarray], count: int, fps: int, settings: VideoSettings
) -> float:
    """Writes a video at an exact rate.

    Args:
        path: the MP4 file.
        images: uint8 [H,W,3] RGB, all of one size.
        count: how many there will be.
        fps: frames per second.
        settings: codec and quality.

    Returns:
        Peak signal-to-noise ratio in dB over some frames read back; infinite if nothing is lost.
    """
    import av

    kept: dict[int, np.ndarray] = {}
    every = max(1, count // _CHECKED) | 1  # odd: key frames and those between them
    with av.open(str(path), "w", format="mp4") as container:
        stream: Any = None
        for index, image in enumerate(images):
            if stream is None:
                stream = _stream(container, image, fps, settings)
            if index % every == 0:
                kept[index] = image
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            frame.pts = index
            container.mux(stream.encode(frame))
        if stream is not None:
            container.mux(stream.encode(None))
    squares = [
        np.mean((kept[index].astype(np.float32) - image) ** 2)
        for index, image in enumerate(decode(path))
        if index in kept
    ]
    error = float(np.mean(squares))
    return math.inf if error == 0 else 10 * math.log10(255**2 / error)


def _stream(container: Any, image: np.ndarray, fps: int, settings: VideoSettings) -> Any:
    height, width = image.shape[:2]
    stream = container.add_stream(_ENCODER, rate=Fraction(fps), options=settings.options())
    stream.height, stream.width = height, width
    stream.pix_fmt = pixel_format(height, width)
    stream.time_base = Fraction(1, fps)
    stream.codec_context.time_base = Fraction(1, fps)
    return stream


def decode(path: Path, start: float = 0.0) -> Iterator[np.ndarray]:
    """The frames from ``start`` on, uint8 [H,W,3] RGB."""
    for _, image in decode_timed(path, start):
        yield image


def decode_timed(path: Path, start: float = 0.0) -> Iterator[tuple[float, np.ndarray]]:
    """(seconds, uint8 [H,W,3] RGB) of each frame from about ``start`` on.

    Raises:
        EpisodeError: the file is no video, or is damaged.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise EpisodeError(f"{path.name} holds no video")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            if start > 0 and stream.time_base:
                container.seek(
                    max(0, int(start / stream.time_base) - 1), backward=True, stream=stream
                )
            for frame in container.decode(stream):
                if frame.time is None or frame.time < start - 1.0:
                    continue
                yield frame.time, frame.to_ndarray(format="rgb24")
    except (av.FFmpegError, OSError) as error:
        said = getattr(error, "strerror", None) or str(error)
        raise EpisodeError(f"the video {path.name} cannot be read: {said}") from error


class VideoFiles:
    """Puts the videos of episodes behind one another, as they are, in files of a bounded size."""

    def __init__(self, root: Path, template: str, key: str, fps: int, first_file: int) -> None:
        self._root = root
        self._template = template
        self._key = key
        self._fps = fps
        self._file = first_file - 1
        self._frames = 0
        self._bytes = 0
        self._container: Any = None
        self._stream: Any = None

    def add(self, piece: Path, frames: int, most_bytes: int, per_chunk: int) -> dict[str, Any]:
        """Appends one episode's video.

        Returns:
            The columns that say where it is.
        """
        import av

        size = piece.stat().st_size
        if self._container is None or self._bytes + size > most_bytes:
            self._open_next(piece, per_chunk)
        with av.open(str(piece)) as source:
            stream = source.streams.video[0]
            target = self._stream
            base = stream.time_base or Fraction(1, self._fps)
            shift = round(Fraction(self._frames, self._fps) / base)
            for packet in source.demux(stream):
                if packet.dts is None or packet.pts is None:
                    continue
                packet.pts += shift
                packet.dts += shift
                packet.stream = target
                self._container.mux(packet)
        start = self._frames
        self._frames += frames
        self._bytes += size
        chunk, file = divmod(self._file, per_chunk)
        prefix = f"videos/{self._key}"
        return {
            f"{prefix}/chunk_index": chunk,
            f"{prefix}/file_index": file,
            f"{prefix}/from_timestamp": start / self._fps,
            f"{prefix}/to_timestamp": self._frames / self._fps,
        }

    def _open_next(self, piece: Path, per_chunk: int) -> None:
        import av

        self.close()
        self._file += 1
        self._frames = self._bytes = 0
        chunk, file = divmod(self._file, per_chunk)
        path = self._root / self._template.format(
            video_key=self._key, chunk_index=chunk, file_index=file
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(str(path), "w", format="mp4")
        with av.open(str(piece)) as source:
            self._stream = self._container.add_stream_from_template(source.streams.video[0])
            self._stream.time_base = source.streams.video[0].time_base

    def close(self) -> None:
        """Finishes the file that is open."""
        if self._container is not None:
            with contextlib.closing(self._container):
                self._container = self._stream = None
