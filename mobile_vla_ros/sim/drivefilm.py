"""A film of a drive in the field: what the robot saw, and where it was, as it happened."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.demoplot import place_in_field
from mobile_vla_ros.sim.fields import layout_of
from mobile_vla_ros.sim.layout import ROBOT_RADIUS, Layout
from mobile_vla_ros.sim.open_field.layout import OpenLayout
from mobile_vla_ros.sim.open_field.picture import PAINT

# Players open H.264 everywhere; what stands behind it is in every build of FFmpeg.
ENCODERS = ("libx264", "mpeg4")
TICKS = 1000  # of the film's clock, per second
WIDTH = 640
BAND = 56  # rows for the text
METRE = 90  # pixels of the view from above
_INK, _PATH, _BOX, _BOTTLE = (235, 235, 235), (80, 230, 150), (170, 130, 80), (40, 200, 60)


def require_encoder(path: str | Path) -> str:
    """The encoder for a film's file.

    Raises:
        InputError: it is no .mp4, PyAV is not installed, or knows no encoder for it.
    """
    if Path(path).suffix.lower() != ".mp4":
        raise InputError(f"--video {path}: give a name that ends in .mp4")
    try:
        import av
    except ImportError:
        raise InputError("a film needs PyAV: pip install av") from None
    found = next((name for name in ENCODERS if name in av.codecs_available), None)
    if found is None:
        raise InputError(f"this PyAV has none of the encoders {', '.join(ENCODERS)}")
    return found


def write_film(
    path: str | Path,
    *,
    scenario: str,
    seed: int,
    title: str,
    odometry: np.ndarray,
    commands: np.ndarray,
    frames: Iterable[tuple[float, np.ndarray]],
) -> Path:
    """Writes a film in real time.

    Args:
        path: the .mp4 file.
        scenario, seed: of the field.
        title: the instruction and how the drive ended.
        odometry: [N, 6]: time (s), x, y (m), yaw (rad), vx (m/s), wz (rad/s), counted from where
            the robot stood at first.
        commands: [M, 4]: time (s), linear.x, linear.y (m/s), angular.z (rad/s).
        frames: (s since the first, uint8 [H, W, 3] RGB) of the camera.

    Raises:
        InputError: see `require_encoder`; or the file cannot be written.
    """
    import av

    encoder = require_encoder(path)
    layout = layout_of(scenario, seed)
    places = place_in_field(odometry[:, 1:], layout.start)
    part = Path(f"{path}.part")
    try:
        with av.open(str(part), "w", format="mp4") as container:
            stream: Any = None
            for when, image in frames:
                until = int(np.searchsorted(odometry[:, 0], when, side="right"))
                nearest = commands[max(0, int(np.searchsorted(commands[:, 0], when)) - 1)]
                picture = _page(image, layout, places[:until], title, when, nearest)
                if stream is None:
                    stream = _stream(container, encoder, picture)
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = round(when * TICKS), Fraction(1, TICKS)
                container.mux(stream.encode(frame))
            if stream is not None:
                container.mux(stream.encode(None))
        part.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return Path(path)


def _stream(container: Any, encoder: str, picture: np.ndarray) -> Any:
    stream = container.add_stream(encoder, rate=30)
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.time_base = stream.codec_context.time_base = Fraction(1, TICKS)
    stream.bit_rate = 2_000_000
    return stream


def _page(
    image: np.ndarray,
    layout: Layout | OpenLayout,
    places: np.ndarray,
    title: str,
    when: float,
    command: np.ndarray,
) -> np.ndarray:
    """One picture of the film, uint8 [h, w, 3] RGB of even size: camera, view from above, text."""
    height = round(image.shape[0] * WIDTH / image.shape[1] / 2) * 2
    camera = cv2.resize(image, (WIDTH, height), interpolation=cv2.INTER_AREA)
    above = _above(layout, places, height)
    band = np.zeros((BAND, WIDTH + above.shape[1], 3), np.uint8)
    _write(band, title, 22)
    _write(band, f"{when:5.1f} s   {command[1]:.2f} m/s   {command[3]:+.2f} rad/s", 46)
    return np.ascontiguousarray(np.vstack([np.hstack([camera, above]), band]))


def _goals(layout: Layout | OpenLayout) -> list[tuple[float, float, float, tuple[int, int, int]]]:
    """x, y and radius (m) and the colour of all that can be driven to."""
    if isinstance(layout, Layout):
        return [(*layout.bottle[:2], 0.05, _BOTTLE)]
    return [(one.x, one.y, one.radius, _levels(PAINT[one.colour])) for one in layout.things]


def _levels(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue


def _above(layout: Layout | OpenLayout, places: np.ndarray, height: int) -> np.ndarray:
    """The field from above, x to the right, as high as the camera's picture."""
    goals = _goals(layout)
    things = [(box.x, box.y) for box in layout.boxes]
    things += [layout.start[:2], *(goal[:2] for goal in goals)]
    low, high = np.min(things, axis=0) - 0.8, np.max(things, axis=0) + 0.8
    scale = min(METRE, height / (high[1] - low[1]))
    picture = np.full((height, max(2, round((high[0] - low[0]) * scale / 2) * 2), 3), 40, np.uint8)

    def at(x: float, y: float) -> tuple[int, int]:
        return round((x - low[0]) * scale), round((high[1] - y) * scale)

    for box in layout.boxes:
        corners = np.array([at(x, y) for x, y in box.corners()], np.int32)
        cv2.fillConvexPoly(picture, corners, _BOX, cv2.LINE_AA)
    for stool in layout.stools if isinstance(layout, OpenLayout) else ():
        cv2.circle(picture, at(stool.x, stool.y), round(stool.radius * scale), _BOX, -1)
    for x, y, radius, colour in goals:
        cv2.circle(picture, at(x, y), max(3, round(radius * scale)), colour, -1, cv2.LINE_AA)
    if len(places):
        points = np.array([at(x, y) for x, y in places], np.int32)[:, None]
        cv2.polylines(picture, [points], False, _PATH, 2, cv2.LINE_AA)
    robot = at(*(places[-1] if len(places) else layout.start[:2]))
    cv2.circle(picture, robot, round(ROBOT_RADIUS * scale), _PATH, 2, cv2.LINE_AA)
    return picture


def _write(picture: np.ndarray, text: str, baseline: int) -> None:
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(picture, shown, (8, baseline), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
