"""Data sets with video, and added to: what is written, and that it is whole or not there."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from pyarrow import parquet

from mobile_vla_ros.episodes import EpisodeError, EpisodeWriter, open_episode
from mobile_vla_ros.episodes.export_lerobot import CardFacts, VideoSettings, export
from mobile_vla_ros.episodes.import_lerobot import LerobotOptions, import_lerobot
from mobile_vla_ros.episodes.lerobot.append import link_files
from mobile_vla_ros.episodes.lerobot.building import building, take_away_left
from mobile_vla_ros.episodes.lerobot.statistics import count_levels, describe_levels
from mobile_vla_ros.episodes.lerobot.video import encode
from mobile_vla_ros.rig import Rig, rig_of

av = pytest.importorskip("av")
START = 1_700_000_000.0
KEY = "observation.images.camera"
VIDEO = f"videos/{KEY}/chunk-000/file-000.mp4"
ROWS = 23


def scene(row: int, shade: int) -> np.ndarray:
    """A picture that a camera could have taken: smooth, with something that moves."""
    y, x = np.mgrid[0:48, 0:64]
    image = np.stack([x * 3, y * 4, np.full_like(x, shade)], axis=-1).astype(np.uint8)
    cv2.circle(image, (8 + 2 * row, 24), 6, (210, 200, 190), -1)
    return image


def episode(path: Path, shade: int = 60, blind: int = 0, **options: Any) -> Path:
    given = {"scenario": "1box_left", "instruction": "왼쪽", "odom": True, **options}
    with EpisodeWriter(path, **given, flush=False) as writer:
        for row in range(ROWS):
            stamp = START + shade + row * 0.1 + (0.002 if row % 2 else 0)
            writer.append(
                image=scene(row, shade),
                action=[row / 10, 0, -row / 20],
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
                odom=None if row < blind else np.arange(7) + row,
            )
        return writer.finish(outcome="success")


@pytest.fixture
def lab(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "lab"
    folder.mkdir()
    return [episode(folder / f"{shade}.h5", shade) for shade in (60, 120, 180)]


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {
        str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_video_comes_back_with_stamps_commands_and_words(lab: list[Path], tmp_path: Path) -> None:
    result = export(lab, tmp_path / "set", video=VideoSettings())
    assert result.psnr > 36
    brought = import_lerobot(tmp_path / "set", tmp_path / "back")
    assert [path.name for path in brought.files] == [
        f"episode_{name}_1box_left.h5"
        for name in (
            time.strftime("%Y%m%d_%H%M%S", time.localtime(START + s)) for s in (60, 120, 180)
        )
    ]
    errors = []
    for before, after in zip(lab, brought.files, strict=True):
        with open_episode(before) as old, open_episode(after) as new:
            assert np.array_equal(new.image_stamps, old.image_stamps)
            assert np.array_equal(new.actions, old.actions)
            assert np.array_equal(new.odom[:, :6], old.odom[:, :6])
            assert (new.instruction, new.scenario, new.outcome) == ("왼쪽", "1box_left", "success")
            lost = new.images(slice(None)) - old.images(slice(None)).astype(float)
            errors.append(np.mean(lost**2))
    assert 10 * np.log10(255**2 / np.mean(errors)) == pytest.approx(result.psnr, abs=0.5)


def test_each_frame_is_two_steps_from_a_key_frame_and_stands_at_its_tick(
    lab: list[Path], tmp_path: Path
) -> None:
    export(lab, tmp_path / "set", video=VideoSettings())
    with av.open(str(tmp_path / "set" / VIDEO)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        frames = list(container.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx(np.arange(3 * ROWS) / 10)
    keys = [index for index, frame in enumerate(frames) if frame.key_frame]
    assert max(np.diff(keys)) <= 2
    info = json.loads((tmp_path / "set/meta/info.json").read_text())
    assert info["video_path"].startswith("videos/{video_key}/")
    assert info["features"][KEY]["dtype"] == "video"
    table = parquet.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    assert KEY not in table.column_names
    rows = parquet.read_table(
        tmp_path / "set/meta/episodes/chunk-000/file-000.parquet"
    ).to_pylist()
    starts = [row[f"videos/{KEY}/from_timestamp"] for row in rows]
    assert starts == pytest.approx([0.0, 2.3, 4.6])


def test_an_odd_size_is_encoded_too(tmp_path: Path) -> None:
    source = episode(tmp_path / "a.h5")
    export([source], tmp_path / "set", size=(25, 33), video=VideoSettings())
    with av.open(str(tmp_path / "set" / VIDEO)) as container:
        stream = container.streams.video[0]
        assert (stream.height, stream.width, stream.pix_fmt) == (25, 33, "yuv444p")


@pytest.mark.parametrize("video", [None, VideoSettings()], ids=["pictures", "video"])
def test_the_same_episodes_give_the_same_bytes_with_any_number_of_workers(
    lab: list[Path], tmp_path: Path, video: VideoSettings | None
) -> None:
    export(lab, tmp_path / "one", video=video, card=CardFacts())
    export(lab, tmp_path / "two", video=video, card=CardFacts(), workers=2)
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_the_same_pictures_give_the_same_video_every_time(tmp_path: Path) -> None:
    images = [scene(row, 60) for row in range(ROWS)]
    made = set()
    for _ in range(60):
        encode(tmp_path / "video.mp4", images, ROWS, 10, VideoSettings())
        made.add((tmp_path / "video.mp4").read_bytes())
    assert len(made) == 1


@pytest.mark.parametrize("video", [None, VideoSettings()], ids=["pictures", "video"])
def test_adding_leaves_old_files_alone_and_describes_the_whole(
    lab: list[Path], tmp_path: Path, video: VideoSettings | None
) -> None:
    export(lab, tmp_path / "whole", video=video)
    root = tmp_path / "set"
    export(lab[:2], root, video=video)
    before = digest(root)
    result = export(lab[2:], root, video=video, append=True)
    assert (result.episodes, result.frames) == (1, ROWS)
    after = digest(root)
    kept = [name for name in before if not name.endswith(".json")]
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    info, whole = (
        json.loads((tmp_path / name / "meta/info.json").read_text()) for name in ("set", "whole")
    )
    assert info == whole
    stats, wanted = (
        json.loads((tmp_path / name / "meta/stats.json").read_text()) for name in ("set", "whole")
    )
    for name, values in wanted.items():
        for what in values:
            if name != KEY or what in ("mean", "std", "min", "max", "count"):
                assert np.allclose(stats[name][what], values[what]), (name, what)
    brought = import_lerobot(root, tmp_path / "back")
    with open_episode(brought.files[2]) as new, open_episode(lab[2]) as old:
        assert np.array_equal(new.image_stamps, old.image_stamps)
        assert np.abs(new.image(5).astype(int) - old.image(5)).mean() < 3


def test_what_does_not_fit_is_not_added(lab: list[Path], tmp_path: Path) -> None:
    root = tmp_path / "set"
    export(lab[:1], root)
    before = digest(root)
    with pytest.raises(EpisodeError, match="has the dtype image, the new episodes video"):
        export(lab[1:], root, video=VideoSettings(), append=True)
    with pytest.raises(EpisodeError, match="has 10 frames/s, the new episodes 5"):
        export(lab[1:], root, fps=5, append=True)
    with pytest.raises(EpisodeError, match="no data set"):
        export(lab[1:], tmp_path / "none", append=True)
    assert digest(root) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lab", "set"]


def test_rows_without_odometry_never_reach_the_statistics(tmp_path: Path) -> None:
    sources = [episode(tmp_path / "a.h5", blind=7), episode(tmp_path / "b.h5", 90, blind=ROWS)]
    result = export(sources, tmp_path / "set", card=CardFacts("cc-by-4.0", "rover"))
    assert result.without_odometry == 7 + ROWS
    stats = json.loads((tmp_path / "set/meta/stats.json").read_text())
    assert stats["observation.state"]["count"] == [ROWS - 7]
    assert stats["observation.state"]["min"] == pytest.approx(np.arange(6) + 7)
    assert "NaN" not in (tmp_path / "set/meta/stats.json").read_text()
    table = parquet.read_table(tmp_path / "set/meta/episodes/chunk-000/file-000.parquet")
    for row in table.to_pylist():
        for name, value in row.items():
            if name.startswith("stats/"):
                assert np.isfinite(np.array(value, float)).all(), name
    card = (tmp_path / "set/README.md").read_text()
    assert 'license: "cc-by-4.0"' in card
    assert "| Robot | rover |" in card
    assert "30 rows have no odometry" in card


def test_picture_statistics_are_exact_for_the_counted_levels() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5001, 3), dtype=np.uint8)
    found = describe_levels(count_levels(pixels), 9)
    for what, value in (
        ("mean", pixels.mean(axis=0)),
        ("std", pixels.std(axis=0)),
        ("q01", np.quantile(pixels, 0.01, axis=0)),
        ("q99", np.quantile(pixels, 0.99, axis=0)),
    ):
        assert np.allclose(np.ravel(found[what]) * 255, value), what
    assert found["count"] == [9]


def turned_jpeg(image: np.ndarray) -> bytes:
    """A JPEG whose tag says that it lies on its side, as a phone writes one."""
    data = cv2.imencode(".jpg", image)[1].tobytes()
    tiff = b"II*\x00\x08\x00\x00\x00" + b"\x01\x00" + b"\x12\x01\x03\x00\x01\x00\x00\x00"
    body = b"Exif\x00\x00" + tiff + b"\x06\x00\x00\x00" + b"\x00\x00\x00\x00"
    return data[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def test_a_picture_with_an_orientation_tag_is_upright_for_every_program(tmp_path: Path) -> None:
    data = turned_jpeg(scene(3, 60))
    with EpisodeWriter(
        tmp_path / "a.h5", scenario="a", instruction="go", image_format="jpeg", flush=False
    ) as writer:
        for row in range(3):
            writer.append(
                jpeg=data,
                action=[0, 0, 0],
                image_stamp=row / 10,
                received_stamp=row / 10,
                action_stamp=row / 10,
            )
        path = writer.finish()
    export([path], tmp_path / "set")
    table = parquet.read_table(tmp_path / "set/data/chunk-000/file-000.parquet")
    stored = np.frombuffer(table[KEY][0].as_py()["bytes"], np.uint8)
    plain = cv2.imdecode(stored, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)[..., ::-1]
    with open_episode(path) as source:
        assert source.image_shape == (64, 48, 3)
        assert np.array_equal(plain, source.image(0))


def test_a_killed_export_leaves_nothing_that_looks_whole(lab: list[Path], tmp_path: Path) -> None:
    """Killed at several instants: OUT is absent or whole, and what else lies there is hidden."""
    program = (
        "import sys, pathlib\n"
        "from mobile_vla_ros.episodes.export_lerobot import export, VideoSettings\n"
        "print('go', flush=True)\n"
        "export(sorted(pathlib.Path(sys.argv[1]).glob('*.h5')) * 3, sys.argv[2],"
        " video=VideoSettings())\n"
    )
    for delay in (0.02, 0.1, 0.2):
        out = tmp_path / f"set{delay}"
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "lab"), str(out)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if out.exists():
            assert len(import_lerobot(out, tmp_path / f"back{delay}").files) == 9
        left = [path for path in tmp_path.iterdir() if path.name.startswith(f".{out.name}.")]
        assert not any((path / "meta/info.json").exists() for path in left if not out.exists())


def test_where_the_camera_stood_goes_out_with_an_episode_and_comes_back(tmp_path: Path) -> None:
    rig = Rig("cam-1", 64, 48, 0.30, 12.0, 90.0, "locked")
    first = episode(tmp_path / "a.h5", attributes={"rig": rig.to_json()})
    second = episode(tmp_path / "b.h5", 120)
    export([first], tmp_path / "set", card=CardFacts())
    export([second], tmp_path / "set", append=True, card=CardFacts())
    card = (tmp_path / "set/README.md").read_text()
    assert "- cam-1, 0.30 m, 12 degrees, 90 degrees across, 64 x 48, exposure locked: 1" in card
    rigs = []
    for path in import_lerobot(tmp_path / "set", tmp_path / "back").files:
        with open_episode(path) as file:
            rigs.append(rig_of(file.attributes))
    assert rigs == [rig, Rig("", 64, 48)]
    told = LerobotOptions(rig=Rig(mount_height=0.45))
    other = import_lerobot(tmp_path / "set", tmp_path / "told", told).files[0]
    with open_episode(other) as file:
        assert rig_of(file.attributes) == replace(rig, mount_height=0.45)


def test_what_killed_exports_left_is_taken_away_by_the_next(
    lab: list[Path], tmp_path: Path
) -> None:
    left = tmp_path / ".set.4711"
    (left / "data").mkdir(parents=True)
    alien = tmp_path / ".set.backup"
    alien.mkdir()
    with building(tmp_path / "set") as running:
        assert export(lab[:1], tmp_path / "other").taken_away == ()
        assert take_away_left(tmp_path / "set") == (".set.4711",)
        assert running.exists()
    assert alien.exists()
    assert not left.exists()


def test_a_data_set_taken_aside_by_a_killed_export_is_named_not_removed(
    lab: list[Path], tmp_path: Path
) -> None:
    aside = tmp_path / ".set.4711.old"
    aside.mkdir()
    with pytest.raises(EpisodeError, match=r"the data set as it was is .*\.set\.4711\.old"):
        export(lab[:1], tmp_path / "set")
    assert aside.exists()
    (tmp_path / "set").mkdir()
    assert take_away_left(tmp_path / "set") == (aside.name,)


def test_an_addition_that_is_under_way_is_no_data_set(lab: list[Path], tmp_path: Path) -> None:
    export(lab[:1], tmp_path / "set")
    with building(tmp_path / "set") as place:
        link_files(tmp_path / "set", place)
        assert (place / "data/chunk-000/file-000.parquet").exists()
        assert not (place / "meta/info.json").exists()


def lives(number: int) -> bool:
    """Whether a process runs; a dead one whose new parent does not ask after it does not."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_workers_end_with_an_export_that_is_killed(lab: list[Path], tmp_path: Path) -> None:
    program = (
        "import sys, pathlib, multiprocessing\n"
        "from mobile_vla_ros.episodes.export_lerobot import export, VideoSettings\n"
        "def show(items, what):\n"
        "    for item in items:\n"
        "        print(*(c.pid for c in multiprocessing.active_children()), flush=True)\n"
        "        yield item\n"
        "if __name__ == '__main__':\n"
        "    export(sorted(pathlib.Path(sys.argv[1]).glob('*.h5')) * 50, sys.argv[2],\n"
        "           video=VideoSettings(), workers=2, progress=show)\n"
    )
    (tmp_path / "program.py").write_text(program)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "program.py", tmp_path / "lab", tmp_path / "set"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    workers = [int(word) for word in process.stdout.readline().split()]
    assert len(workers) == 2
    process.kill()
    process.wait()
    end = time.monotonic() + 20
    while any(map(lives, workers)):
        assert time.monotonic() < end, "workers without a parent"
        time.sleep(0.05)
    assert len(take_away_left(tmp_path / "set")) == 1
