"""A recording is recognised after everything that happens to files, and never in another one."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.episodes.editing import join, relabel, trim
from mobile_vla_ros.episodes.identity import Identity, identify
from mobile_vla_ros.episodes.known_episodes import KnownEpisodes, read_seen
from mobile_vla_ros.episodes.writer import EpisodeWriter

START = 1_760_000_000.0


def drive(
    seed: int, rows: int = 40, size: tuple[int, int] = (96, 128)
) -> tuple[np.ndarray, np.ndarray]:
    """Frames and commands of a drive past blocks of colour, each seed another."""
    random = np.random.default_rng(seed)
    height, width = size
    world = cv2.resize(
        random.integers(0, 256, (6, 24, 3), dtype=np.uint8),
        (width * 4, height),
        interpolation=cv2.INTER_CUBIC,
    )
    places = np.linspace(0, width * 3 - 1, rows).astype(int)
    frames = np.stack([world[:, at : at + width] for at in places])
    commands = np.column_stack(
        [np.full(rows, 0.3), np.zeros(rows), np.sin(np.arange(rows) / 5 + random.uniform(0, 6))]
    )
    return frames, commands.astype(np.float32)


def write(
    path: Path,
    frames: np.ndarray,
    commands: np.ndarray,
    start: float = START,
    step: float = 0.1,
    encode: Callable[[np.ndarray], bytes] | None = None,
    **attributes: object,
) -> Path:
    with EpisodeWriter(
        path,
        scenario="1box_left",
        instruction="go left",
        image_format="jpeg" if encode else "raw",
        attributes=attributes,
        flush=False,
    ) as writer:
        for row, (frame, command) in enumerate(zip(frames, commands, strict=True)):
            stamp = start + row * step
            writer.append(
                image=None if encode else frame,
                jpeg=encode(frame) if encode else None,
                action=command,
                event="start_action",
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
            )
        return writer.finish()


def jpeg(frame: np.ndarray) -> bytes:
    return cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


def mirror(commands: np.ndarray) -> np.ndarray:
    return commands * np.array([1, -1, -1], np.float32)


@pytest.fixture
def known(tmp_path: Path) -> KnownEpisodes:
    """What a checkpoint that was trained on the drives 0 to 4 would know."""
    identities = []
    for seed in range(5):
        path = write(tmp_path / f"trained_{seed}.h5", *drive(seed), start=START + 100 * seed)
        with open_episode(path) as episode:
            stored = identify(episode).to_plain()
        identities.append(Identity.from_plain(stored))
    return KnownEpisodes(identities)


def found(known: KnownEpisodes, path: Path) -> str | None:
    with open_episode(path) as episode:
        seen = known.find(episode)
    return seen.name if seen else None


def test_a_relabelled_file_is_the_recording(known: KnownEpisodes, tmp_path: Path) -> None:
    path = relabel(tmp_path / "trained_2.h5", instruction="other words", outcome="success")
    assert found(known, path) == "trained_2.h5"


@pytest.mark.parametrize(("first", "last"), [(0, 1), (1, 0), (5, 20), (38, 0)])
def test_a_trimmed_file_is_the_recording(
    known: KnownEpisodes, tmp_path: Path, first: int, last: int
) -> None:
    path = trim(tmp_path / "trained_1.h5", tmp_path / "cut.h5", first=first, last=last)
    assert found(known, path) == "trained_1.h5"
    assert found(known, trim(path, tmp_path / "again.h5", last=1)) == "trained_1.h5"


def test_a_part_cut_out_by_another_program_is_the_recording(
    known: KnownEpisodes, tmp_path: Path
) -> None:
    frames, commands = drive(3)
    for name, rows, start in (
        ("with its stamps", slice(9, 33), START + 300.9),
        ("counted from zero", slice(9, 33), 0.0),
        ("its second half", slice(20, 40), 0.0),
    ):
        path = write(tmp_path / f"{name}.h5", frames[rows], commands[rows], start=start)
        assert found(known, path) == "trained_3.h5", name


def test_a_mirrored_copy_is_the_recording(known: KnownEpisodes, tmp_path: Path) -> None:
    frames, commands = drive(4)
    mirrored = np.ascontiguousarray(frames[:, :, ::-1])
    path = write(tmp_path / "m.h5", mirrored, mirror(commands), start=START + 400)
    assert found(known, path) == "trained_4.h5"
    path = write(tmp_path / "z.h5", mirrored, mirror(commands), start=0.0)
    assert found(known, path) == "trained_4.h5"


def test_a_copy_that_went_through_another_format_is_the_recording(
    known: KnownEpisodes, tmp_path: Path
) -> None:
    frames, commands = drive(0)
    for name, start, size in (
        ("compressed", START, (128, 96)),
        ("counted from zero", 0.0, (128, 96)),
        ("another size", 0.0, (80, 60)),
    ):
        resized = np.stack([cv2.resize(f, size, interpolation=cv2.INTER_AREA) for f in frames])
        path = write(tmp_path / f"{name}.h5", resized, commands, start=start, encode=jpeg)
        assert found(known, path) == "trained_0.h5", name
    thinned = write(tmp_path / "5hz.h5", frames[::2], commands[::2], start=0.0, step=0.2)
    assert found(known, thinned) == "trained_0.h5"


def test_a_joined_file_is_each_of_its_recordings(known: KnownEpisodes, tmp_path: Path) -> None:
    other = write(tmp_path / "other.h5", *drive(77), start=START + 1000)
    assert found(known, other) is None
    path = join([tmp_path / "trained_2.h5", other], tmp_path / "joined.h5")
    assert found(known, path) == "trained_2.h5"
    # Joined by another program: only the content tells.
    both = [np.concatenate(part) for part in zip(drive(77), drive(2), strict=True)]
    assert found(known, write(tmp_path / "foreign.h5", *both, start=5.0)) == "trained_2.h5"


def test_another_drive_is_another_recording(known: KnownEpisodes, tmp_path: Path) -> None:
    for seed in range(100, 130):
        for start in (0.0, START, START + 100, START + 5000):
            path = tmp_path / "other.h5"
            path.unlink(missing_ok=True)
            assert found(known, write(path, *drive(seed), start=start)) is None


def test_the_same_place_on_another_day_is_another_recording(
    known: KnownEpisodes, tmp_path: Path
) -> None:
    frames, commands = drive(1)
    nearly = np.clip(frames.astype(int) + 2, 0, 255).astype(np.uint8)
    path = write(tmp_path / "next_day.h5", nearly, commands, start=START + 86_400)
    assert found(known, path) is None


def test_pictures_that_say_nothing_prove_nothing(tmp_path: Path) -> None:
    grey = np.full((20, 48, 64, 3), 90, np.uint8)
    still = np.tile([0.3, 0.0, 0.0], (20, 1)).astype(np.float32)
    with open_episode(write(tmp_path / "a.h5", grey, still, start=0.0)) as episode:
        known = KnownEpisodes([identify(episode)])
    assert found(known, write(tmp_path / "b.h5", grey, still, start=1000.0)) is None


def test_an_older_list_knows_the_bytes_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", *drive(0))
    with open_episode(path) as episode:
        training, validation = read_seen({}, {"a.h5": episode.sha256()}, None)
    assert validation == []
    assert found(KnownEpisodes(training), path) == "a.h5"
    assert found(KnownEpisodes(training), relabel(path, outcome="success")) is None
    assert not training[0].known_by_content


def test_entries_of_another_making_are_left_aside() -> None:
    odd = [None, 3, {}, {"name": "x", "times": [1], "commands": [[1]], "looks": "??"}]
    assert read_seen({"training": odd, "validation": "none"}, {}, {}) == ([], [])
