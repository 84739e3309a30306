"""The same work gives the same results in one process, in several, and on a cluster of Ray."""

import contextlib
import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.spreading import WorkerDied, spread


def squared(number: int) -> int:
    return number * number


def killed_once(folder: str, number: int) -> int:
    mark = Path(folder) / "killed"
    if number == 3 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def killed_always(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def refusing(number: int) -> int:
    raise InputError(f"{number} is not wanted")


JOBS = [(number,) for number in range(6)]


@pytest.mark.parametrize("workers", [1, 2])
def test_every_job_is_done_once(workers: int) -> None:
    found = list(spread(squared, JOBS, workers))
    assert sorted(found) == [(number, number * number) for number in range(6)]


def test_the_work_of_a_process_that_dies_is_done_again(tmp_path: Path) -> None:
    jobs = [(str(tmp_path), number) for number in range(6)]
    found = sorted(spread(killed_once, jobs, 2))
    assert (tmp_path / "killed").exists()
    assert found == [(number, number) for number in range(6)]


def test_work_that_kills_whoever_takes_it_is_given_up_with_a_sentence() -> None:
    with pytest.raises(WorkerDied, match="died 3 times at the same work"):
        list(spread(killed_always, JOBS[:2], 2))


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_job_cannot_do_is_said_as_it_says_it(workers: int) -> None:
    with pytest.raises(InputError, match="is not wanted"):
        list(spread(refusing, JOBS, workers))


def test_an_unknown_place_is_refused() -> None:
    with pytest.raises(InputError, match="'moon' is no place"):
        list(spread(squared, JOBS, on="moon"))
    with pytest.raises(InputError, match="0 workers"):
        list(spread(squared, JOBS, 0))


def test_without_ray_a_sentence_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(InputError, match="pip install"):
        list(spread(squared, JOBS, on="ray"))


@pytest.fixture(scope="module")
def two_nodes():
    """A cluster of two nodes on this machine, one processor each."""
    pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")
    from ray.cluster_utils import Cluster

    before = os.environ.get("RAY_ADDRESS")
    cluster = Cluster()
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield cluster
    finally:
        os.environ.pop("RAY_ADDRESS", None)
        if before is not None:
            os.environ["RAY_ADDRESS"] = before
        cluster.shutdown()


def test_two_nodes_take_the_work_and_do_again_what_died(two_nodes, tmp_path: Path) -> None:
    mark = tmp_path / "killed"

    def work(number: int) -> tuple[int, str]:
        import time

        import ray

        if number == 3 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.5)
        return number, ray.get_runtime_context().get_node_id()

    found = dict(spread(work, JOBS, on="ray"))
    assert mark.exists()
    assert [found[number][0] for number in range(6)] == list(range(6))
    assert len({node for _, node in found.values()}) == 2

    def refuses(number: int) -> int:
        raise InputError(f"{number} is not wanted")

    with pytest.raises(InputError, match="is not wanted"):
        list(spread(refuses, JOBS[:2], on="ray"))

    def kills(number: int) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(WorkerDied, match="died 3 times at the same work"):
        list(spread(kills, JOBS[:1], on="ray"))


@pytest.mark.egl
def test_episodes_from_two_nodes_are_those_from_here_to_the_bit(two_nodes, tmp_path: Path) -> None:
    from mobile_vla_ros.episodes import find_episodes
    from mobile_vla_ros.sim.camera import CameraSettings
    from mobile_vla_ros.sim.collect import CollectSettings, collect

    settings = CollectSettings(
        scenarios=("1box_left_close", "open_easy"),
        episodes=3,
        seed=70,
        camera=CameraSettings(width=32, height=24),
    )
    here = collect(tmp_path / "here", settings)
    there = collect(tmp_path / "there", settings, on="ray")
    assert [item.seed for item in there] == [item.seed for item in here]
    pairs = zip(find_episodes(tmp_path / "here"), find_episodes(tmp_path / "there"), strict=True)
    for one, other in pairs:
        assert one.name == other.name
        assert one.read_bytes() == other.read_bytes()


@pytest.fixture(scope="module")
def recordings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six short episodes, three per side."""
    from mobile_vla_ros.episodes import EpisodeWriter

    folder = tmp_path_factory.mktemp("recordings")
    for number in range(6):
        side = ("left", "right")[number % 2]
        rng = np.random.default_rng(number)
        writer = EpisodeWriter(
            folder / f"episode_20260101_00000{number}_1box_{side}.h5",
            scenario=f"1box_{side}",
            instruction=f"Go past the box on the {side}",
            flush=False,
        )
        with writer:
            for row in range(9):
                stamp = 100 + 0.4 * row
                writer.append(
                    image=rng.integers(0, 255, (48, 64, 3), dtype=np.uint8),
                    action=(0.3, 0.0, 0.4 if side == "left" else -0.4),
                    image_stamp=stamp,
                    received_stamp=stamp,
                    action_stamp=stamp,
                )
            writer.finish(outcome="success")
    return folder


def command(*arguments: Any) -> int:
    from mobile_vla_ros.cli.main import main

    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    code = ended.value.code
    return code if isinstance(code, int) else 0


def kill_first_of_ray(killed: list[int], ended: threading.Event) -> None:
    """Kills the first process of the cluster's that is seen at a job."""
    import psutil

    while not killed and not ended.wait(0.05):
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                if "ray::_prepared" in "".join(process.cmdline()):
                    process.kill()
                    killed.append(process.pid)
                    return


@pytest.fixture(scope="class")
def joined(two_nodes) -> Iterator[None]:
    """The commands share the processes on the two nodes, and what these have imported."""
    import ray

    ray.init(address=two_nodes.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


@pytest.fixture
def two_rows(golden: Path, tmp_path: Path) -> Path:
    """A folder with two rows that train a tiny head for a moment."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for name, rate in (("slow", 1e-3), ("fast", 1e-2)):
        said = {"id": name, "title": name, "kind": "train", "data": "six", "targets": {}}
        run = {
            "experiment": said,
            "model": "kosmos",
            "model_path": str(golden / "mobile_vla_frozen" / "pretrained"),
            "model_load_path": None,
            "norm_min": -1.15,
            "norm_max": 1.15,
            "learning_rate": rate,
            "batch_size": 4,
            "train_setup": {"freeze_backbone": True, "train_action_token": False},
            "act_head": {"type": "MobileVLALSTMDecoder", "hidden_size": 16, "num_layers": 4},
            "trainer": {"max_epochs": 2, "precision": "32-true", "accelerator": "cpu"},
            "train_dataset": {"train_split": 0.7},
        }
        (folder / f"{name}.json").write_text(json.dumps(run))
    return folder


@pytest.mark.usefixtures("joined")
class TestCommands:
    """What commands make on two nodes is what they make here."""

    @pytest.mark.egl
    def test_drives_on_two_nodes_are_those_from_here_by_relative_names_too(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        from mobile_vla_ros.policy.random_policies import write_random_checkpoint

        monkeypatch.chdir(tmp_path)
        checkpoint = write_random_checkpoint(tmp_path / "policy").relative_to(tmp_path)
        for place in ("here", "ray"):
            status = command(
                *("sim", "evaluate", "-c", checkpoint, "-n", 2, "--workers", 1, "--on", place),
                *("-s", "1box_left_close", "--width", 64, "--height", 48, "--device", "cpu"),
                *("--json", f"{place}.json"),
            )
            assert status == 0
        here, there = (json.loads(Path(f"{place}.json").read_text()) for place in ("here", "ray"))
        assert len(here["runs"]) == 2
        assert there["runs"] == here["runs"]

    def test_contexts_from_two_nodes_are_those_from_here_to_the_bit(
        self, golden: Path, recordings: Path, tmp_path: Path
    ) -> None:
        checkpoint = next((golden / "mobile_vla_frozen").glob("*.ckpt"))
        for place in ("here", "ray"):
            status = command(
                *("context", "extract", "-c", checkpoint, "-d", recordings),
                *("-o", tmp_path / place, "--windows", 2, "--device", "cpu", "--on", place),
            )
            assert status == 0
        for name in ("context.npy", "action.npy"):
            here, there = (np.load(tmp_path / place / name) for place in ("here", "ray"))
            np.testing.assert_array_equal(there, here)

    def test_rows_and_seeds_on_two_nodes_are_those_from_here_though_one_is_killed(
        self, recordings: Path, two_rows: Path, tmp_path: Path
    ) -> None:
        found, killed, ended = {}, [], threading.Event()
        for place in ("here", "ray"):
            runs = tmp_path / place
            if place == "ray":
                threading.Thread(
                    target=kill_first_of_ray, args=(killed, ended), daemon=True
                ).start()
            status = command(
                *("experiment", "run", "slow", "fast", "--configs", two_rows, "--seeds", 2),
                *("--data", recordings, "--runs", runs, "--device", "cpu", "--on", place),
                *("--json", runs.with_suffix(".json")),
            )
            assert status == 0
            results = sorted(runs.rglob("result.json"))
            assert len(results) == 4
            losses = [json.loads(file.read_text())["val_loss"] for file in results]
            found[place] = [str(file.relative_to(runs)) for file in results], losses
        ended.set()
        assert killed
        assert found["ray"] == found["here"]
        table = json.loads((tmp_path / "ray.json").read_text())
        assert [(row["id"], row["seeds"]) for row in table["rows"]] == [("slow", 2), ("fast", 2)]


def test_a_cluster_that_is_not_there_is_named(monkeypatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match="no Ray cluster at RAY_ADDRESS"):
        list(spread(squared, JOBS, on="ray"))
