"""A folder of which some episodes are spoiled: each command names those and uses the others."""

from __future__ import annotations

import json
import os
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest

from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes.writer import EpisodeWriter

GOOD = 6


def write(path: Path, seed: int, image_format: str = "raw", rows: int = 12) -> Path:
    random = np.random.default_rng(seed)
    world = cv2.resize(
        random.integers(0, 256, (6, 24, 3), dtype=np.uint8), (512, 48), interpolation=3
    )
    with EpisodeWriter(
        path,
        scenario="1box_left",
        instruction="go left",
        image_format=image_format,
        odom=True,
        flush=False,
    ) as writer:
        for row in range(rows):
            stamp = 1_760_000_000.0 + 100 * seed + row * 0.4
            writer.append(
                image=np.ascontiguousarray(world[:, 30 * row : 30 * row + 64]),
                action=[0.2, 0.0, float(np.sin(row + seed))],
                event="start_action",
                image_stamp=stamp,
                received_stamp=stamp,
                action_stamp=stamp,
                odom=[row * 0.1, 0, 0, 0.2, 0, 0, stamp],
            )
        return writer.finish()


def nan(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["actions"][3, 0] = np.nan


def late(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["stamps/image"][5] = 0.0


def empty_axes(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["action_axes"] = "linear.x,linear.x,angular.z"


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def period(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["frame_period"] = "often"


def unreadable_frame(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        end = file["images_jpeg_end"]
        file["images_jpeg"][int(end[3]) : int(end[4])] = 0


def elsewhere(path: Path) -> None:
    path.rename(path.with_suffix(".moved"))
    path.symlink_to(path.with_name("nowhere.h5"))


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def text(path: Path) -> None:
    path.write_text("not HDF5")


def nothing(path: Path) -> None:
    path.write_bytes(b"")


SPOILED = [
    nan,
    late,
    empty_axes,
    torn,
    period,
    unreadable_frame,
    elsewhere,
    pipe,
    text,
    nothing,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = tmp_path_factory.mktemp("mixed")
    for seed in range(GOOD):
        write(data / f"episode_20250101_12000{seed}_1box_left.h5", seed)
    for number, spoil in enumerate(SPOILED):
        jpeg = "jpeg" if spoil is unreadable_frame else "raw"
        spoil(write(data / f"episode_2025020{number}_120000_1box_left.h5", 50 + number, jpeg))
    return data


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    return int(caught.value.code or 0)


def spoiled_names() -> list[str]:
    return [f"episode_2025020{number}_120000_1box_left.h5" for number in range(len(SPOILED))]


def test_check_names_each_and_passes_the_others(folder: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    assert run("episodes", "check", folder, "--json", report) == 1
    files = json.loads(report.read_text())["files"]
    bad = sorted(Path(entry["path"]).name for entry in files if not entry["ok"])
    assert bad == spoiled_names()
    assert len(files) == GOOD + len(SPOILED)


def test_list_shows_the_readable_and_names_the_others(folder: Path, capsys) -> None:
    run("episodes", "list", folder)
    printed = capsys.readouterr()
    said = printed.out + printed.err
    assert f"1box_left     {GOOD}" in said
    for name in spoiled_names():
        assert name in said, name


@pytest.mark.parametrize("command", ["merge", "export-lerobot", "export-mcap"])
def test_what_gathers_episodes_leaves_out_the_spoiled(
    folder: Path, tmp_path: Path, capsys, command: str
) -> None:
    out = tmp_path / ("out.mcap" if command == "export-mcap" else "out")
    result = tmp_path / "result.json"
    more = ["--workers", 1] if command == "export-lerobot" else []
    assert run("episodes", command, folder, "--out", out, "--json", result, *more) == 0
    said = capsys.readouterr().err
    for name in spoiled_names():
        assert name in said
    assert f"{len(SPOILED)} of {GOOD + len(SPOILED)} files left out" in said
    told = json.loads(result.read_text())
    if command == "merge":
        assert len(told["files"]) == GOOD
    if command == "export-lerobot":
        assert told["episodes"] == GOOD


def test_one_file_alone_is_an_error(folder: Path, tmp_path: Path, capsys) -> None:
    bad = folder / spoiled_names()[0]
    assert run("episodes", "merge", bad, "--out", tmp_path / "out") == 2
    assert "not a number" in capsys.readouterr().err


def test_a_name_that_is_not_utf8_is_shown_and_written(tmp_path: Path, capfd) -> None:
    odd = tmp_path / os.fsdecode(b"episode_20250101_120000_1box_left\xff.h5")
    write(tmp_path / "plain.h5", 1).rename(odd)
    report = tmp_path / "report.json"
    assert run("episodes", "check", tmp_path, "--json", report) == 0
    assert json.loads(report.read_text())["files"][0]["path"] == str(odd)
    broken = tmp_path / os.fsdecode(b"broken_\xfe.h5")
    broken.write_bytes(b"")
    assert run("episodes", "check", broken) == 1
    assert "is empty" in capfd.readouterr().out


def test_a_name_that_is_not_utf8_is_exported_and_drawn(tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"episode_20250101_120000_1box_left\xff.h5")
    write(tmp_path / "plain.h5", 1).rename(odd)
    assert run("episodes", "export-mcap", odd, "--out", tmp_path / "out.mcap") == 0
    assert run("episodes", "show", odd, "--plot", tmp_path / "out.png") == 0
    assert (tmp_path / "out.png").stat().st_size > 1000
