import json
from pathlib import Path

import pytest

from mobile_vla_ros.cli.json_keys import missing
from mobile_vla_ros.cli.main import main
from mobile_vla_ros.episodes import find_episodes


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as exit_:
        main(["sim", *arguments])
    return int(exit_.value.code or 0)


@pytest.mark.egl
def test_collect_writes_episodes_a_result_and_a_picture(tmp_path: Path, capsys) -> None:
    out, result, picture = tmp_path / "data", tmp_path / "result.json", tmp_path / "frames.png"
    status = run(
        *(
            "collect",
            "--out",
            str(out),
            "-s",
            "1box_right_close",
            "--episodes",
            "1",
            "--seed",
            "5",
        ),
        *("--width", "160", "--height", "90", "--json", str(result), "--plot", str(picture)),
    )
    assert status == 0
    assert "1 episodes" in capsys.readouterr().out
    told = json.loads(result.read_text())
    assert (told["episodes"], told["successes"]) == (1, 1)
    assert [str(path) for path in find_episodes(out)] == [told["files"][0]["path"]]
    assert picture.stat().st_size > 10_000


@pytest.mark.egl
def test_evaluate_drives_a_checkpoint_and_falls_short_of_a_minimum(tmp_path: Path) -> None:
    from mobile_vla_ros.policy.random_policies import write_random_checkpoint

    checkpoint = write_random_checkpoint(tmp_path / "policy")
    result, picture = tmp_path / "result.json", tmp_path / "paths.png"
    status = run(
        *("evaluate", "-c", str(checkpoint), "-n", "1", "-s", "1box_left_close"),
        *("--width", "64", "--height", "48", "--latency", "50", "--minimum", "0.9"),
        *("--device", "cpu", "--json", str(result), "--plot", str(picture)),
    )
    assert status == 1
    told = json.loads(result.read_text())
    assert not missing("sim evaluate", told)
    keys = {"episodes", "successes", "success_rate", "wilson", "by_scenario"}
    assert keys | {"driving_time", "path_length", "collisions"} <= set(told)
    assert told["successes"] == 0
    assert told["by_scenario"]["1box_left_close"]["episodes"] == 1
    assert picture.stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["collect", "--out", "{}", "-s", "9box_left"], "'9box_left' is no scenario"),
        (["collect", "--out", "{}", "-n", "0"], "0 episodes: give 1 or more"),
        (["collect", "--out", "{}", "--workers", "0"], "0 workers"),
        (["collect", "--out", "{}", "--style", "wild"], "'wild' is no driving style"),
        (["collect", "--out", "{}", "--width", "9"], "9x360 pixels"),
        (["evaluate", "-c", "{}/none.ckpt"], "none.ckpt"),
        (["evaluate", "-c", "{}/none.ckpt", "-s", "box"], "'box' is no scenario"),
        (["evaluate", "-c", "{}/none.ckpt", "--latency", "-1"], "a latency of"),
        (["evaluate", "-c", "{}/none.ckpt", "--camera-rate", "2"], "silent camera"),
        (["evaluate", "-c", "{}/none.ckpt", "--minimum", "3"], "success rate from 0 to 1"),
    ],
)
def test_input_that_cannot_be_used_is_one_sentence(arguments, sentence, tmp_path, capsys) -> None:
    assert run(*(argument.format(tmp_path / "data") for argument in arguments)) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.egl
def test_evaluate_gives_the_same_in_one_process_and_in_two(tmp_path: Path) -> None:
    from mobile_vla_ros.policy.random_policies import write_random_checkpoint

    checkpoint = write_random_checkpoint(tmp_path / "policy")
    found = []
    for workers in ("1", "2"):
        result = tmp_path / f"{workers}.json"
        status = run(
            *("evaluate", "-c", str(checkpoint), "-n", "2", "--workers", workers),
            *("-s", "1box_left_close", "-s", "2box_right_close", "--device", "cpu"),
            *("--width", "64", "--height", "48", "--json", str(result)),
        )
        assert status == 0
        found.append(json.loads(result.read_text())["runs"])
    assert [one["seed"] for one in found[0]] == [100_000, 100_001]
    assert found[0] == found[1]


def test_collect_and_evaluate_refuse_an_unknown_place(tmp_path: Path, capsys) -> None:
    assert run("collect", "--out", str(tmp_path / "data"), "--on", "moon") == 2
    assert "'moon' is no place to work" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
