"""The same work gives the same results in one process, in several, and on a cluster of Ray."""

import os
import signal
from pathlib import Path

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.spreading import spread


def squared(number: int) -> int:
    return number * number


def killed_once(folder: str, number: int) -> int:
    mark = Path(folder) / "killed"
    if number == 3 and not mark.exists():
        mark.touch()
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


def test_a_cluster_that_is_not_there_is_named(monkeypatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (the extra 'ray')")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(InputError, match="no Ray cluster at RAY_ADDRESS"):
        list(spread(squared, JOBS, on="ray"))
