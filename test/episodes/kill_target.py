"""Records one episode until it is killed, saying each acknowledged row on standard output."""

import sys

import numpy as np

from mobile_vla_ros.episodes import EpisodeWriter


def frame(row: int, height: int, width: int) -> np.ndarray:
    """The frame of a row, different in every row and told by it."""
    return np.random.default_rng(row).integers(0, 256, (height, width, 3), dtype=np.uint8)


def blob(row: int) -> bytes:
    """Stands for a compressed frame: a JPEG's first bytes, then bytes told by the row."""
    rng = np.random.default_rng(row)
    return b"\xff\xd8" + rng.bytes(int(rng.integers(200, 60_000)))


def main(path: str, image_format: str, height: int, width: int, rows: int) -> None:
    writer = EpisodeWriter(
        path,
        scenario="1box_left",
        instruction="왼쪽으로 가",
        image_format=image_format,
        odom=True,
    )
    print("ready", flush=True)
    for row in range(rows):
        picture = (
            {"image": frame(row, height, width)} if image_format == "raw" else {"jpeg": blob(row)}
        )
        writer.append(
            **picture,
            action=[row, row + 0.5, -row],
            image_stamp=row * 0.1,
            received_stamp=row * 0.1 + 0.01,
            action_stamp=row * 0.1 - 0.01,
            odom=np.full(7, row),
        )
        sys.stdout.write(f"{row + 1}\n")
        sys.stdout.flush()
    writer.finish(outcome="success")
    print("finished", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]))
