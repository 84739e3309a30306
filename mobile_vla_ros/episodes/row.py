"""One row of an episode as it is stored: what may go in, and as which bytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mobile_vla_ros.episodes import schema
from mobile_vla_ros.episodes.layout import EpisodeLayout
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.pictures import ImageError, decode_compressed, encode_jpeg


class RowEncoder:
    """Turns frames, commands and odometry into what the datasets hold.

    Args:
        name: of the episode's file, for errors.
        layout: what the episode is made of.
        quality: of JPEG, for frames that come uncompressed.
        shape: (H, W, 3) of all frames; None takes the first one's.

    Raises:
        EpisodeError: the quality is none.
    """

    def __init__(
        self, name: str, layout: EpisodeLayout, quality: int, shape: tuple[int, ...] | None
    ) -> None:
        if not 1 <= quality <= 100:
            raise EpisodeError(f"{name}: jpeg_quality must be 1 to 100, not {quality}")
        self.name = name
        self.layout = layout
        self.quality = quality
        self.shape = shape

    def values(
        self,
        action: Sequence[float] | np.ndarray,
        event: str,
        odom: Sequence[float] | np.ndarray | None,
    ) -> dict[str, np.ndarray]:
        """The row's command, event and odometry as they are stored.

        Raises:
            EpisodeError: one of them does not fit the episode.
        """
        name, axes = self.name, self.layout.axes
        action = np.asarray(action, schema.ACTION_TYPE)
        if action.shape != (len(axes),):
            raise EpisodeError(
                f"{name}: an action has {len(axes)} values ({', '.join(axes)}), "
                f"not shape {action.shape}"
            )
        if event not in schema.EVENT_TYPES:
            raise EpisodeError(
                f"{name}: the event {event!r} is none of {', '.join(schema.EVENT_TYPES)}"
            )
        values = {schema.ACTIONS: action, schema.EVENTS: np.array(event.encode(), "S16")}
        if self.layout.odom:
            row = np.full(7, np.nan) if odom is None else np.asarray(odom, np.float64)
            if row.shape != (7,):
                raise EpisodeError(
                    f"{name}: odom has 7 values ({', '.join(schema.ODOM_COLUMNS)}), "
                    f"not shape {row.shape}"
                )
            values[schema.ODOM] = row.astype(schema.STAMP_TYPE)
        return values

    def payload(self, image: np.ndarray | None, jpeg: bytes | None) -> memoryview:
        """The bytes to store for a frame.

        Raises:
            EpisodeError: it is no frame, or of another size than those before.
        """
        if (image is None) == (jpeg is None):
            raise EpisodeError(f"{self.name}: give a frame as image or as jpeg, not both")
        if self.layout.image_format == "raw":
            if image is None:
                image = decode_jpeg(bytes(jpeg or b""), self.name)
            self._check_image(image)
            return np.ascontiguousarray(image).data.cast("B")
        if image is not None:
            self._check_image(image)
            try:
                jpeg = encode_jpeg(image, self.quality)
            except ImageError as error:
                raise EpisodeError(f"{self.name}: {error}") from None
        if not jpeg:
            raise EpisodeError(f"{self.name}: a compressed frame is empty")
        return memoryview(bytes(jpeg))

    def _check_image(self, image: np.ndarray) -> None:
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise EpisodeError(
                f"{self.name}: a frame is uint8 [H,W,3], not {image.dtype} {list(image.shape)}"
            )
        if self.shape is None:
            self.shape = image.shape
        if tuple(image.shape) != self.shape:
            raise EpisodeError(
                f"{self.name}: the frame size changed from {list(self.shape)} to "
                f"{list(image.shape)}; start a new episode"
            )


def decode_jpeg(data: bytes, name: str) -> np.ndarray:
    """uint8 [H,W,3] RGB from JPEG (or PNG) bytes.

    Raises:
        EpisodeError: they are no image; ``name`` stands in the sentence.
    """
    try:
        return decode_compressed(data)
    except ImageError:
        raise EpisodeError(
            f"{name}: a compressed frame of {len(data)} bytes cannot be decoded"
        ) from None
