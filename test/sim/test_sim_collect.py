import numpy as np
import pytest

from mobile_vla_ros.episodes import find_episodes, open_episode
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.collect import CollectSettings, collect
from mobile_vla_ros.sim.driver import DriverSettings
from mobile_vla_ros.sim.expert import expert_chunk
from mobile_vla_ros.sim.truth import recorded_states

SETTINGS = CollectSettings(
    scenarios=("1box_left_close", "2box_right_close"),
    episodes=2,
    seed=40,
    driver=DriverSettings(noise=1.0),
    camera=CameraSettings(width=160, height=90),
)


@pytest.fixture(scope="module")
def collected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("collected")
    collect(folder, SETTINGS)
    return folder


@pytest.mark.egl
def test_the_same_seed_gives_the_same_bytes_with_any_number_of_workers(
    collected, tmp_path
) -> None:
    done = collect(tmp_path / "again", SETTINGS, workers=2)
    assert [item.seed for item in done] == [40, 41]
    assert all(item.success for item in done)
    first, second = find_episodes(collected), find_episodes(tmp_path / "again")
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) == 2
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()


@pytest.mark.egl
def test_an_episode_is_a_recorders_episode_and_ends_in_two_seconds_of_standing(collected) -> None:
    for path in find_episodes(collected):
        with open_episode(path) as episode:
            assert episode.complete
            assert episode.outcome == "success"
            assert episode.instruction.endswith(f"on the {episode.side}")
            assert episode.image(0).shape == (90, 160, 3)
            assert np.allclose(np.diff(episode.image_stamps), 0.4, atol=1e-5)
            velocities = episode.velocities(("linear.x", "angular.z"))
            assert not velocities[-6:].any()
            assert velocities[:5, 0].min() > 0.05
            assert episode.odom.shape == (len(episode), 7)
            assert episode.odom[-1, 0] > 1.5


@pytest.mark.egl
def test_an_episode_can_be_labelled_anew_from_its_true_states(collected) -> None:
    path = find_episodes(collected)[0]
    with open_episode(path) as episode:
        states = recorded_states(episode.scenario, episode.attributes)
        assert len(states) == len(episode)
        stored = episode.attributes["expert_chunks"]
        again = np.stack([expert_chunk(state) for state in states])
        assert np.array_equal(stored, again)
        # Pushes are not in the commands: a row's command is its chunk's first step.
        commands = episode.velocities(("linear.x", "angular.z"))
        assert np.allclose(stored[:, 0], commands, atol=1e-6)
        other = episode.attributes["expert_chunks_other"]
        assert stored[0, 0, 1] * other[0, 0, 1] < 0
        u, v, bearing, distance = episode.attributes["bottle_places"][-1]
        assert 0.3 < u < 0.7
        assert 0 < v < 1
        assert abs(bearing) < 0.2
        assert distance < 0.42


@pytest.mark.egl
def test_nothing_is_overwritten(collected) -> None:
    before = [path.read_bytes() for path in find_episodes(collected)]
    with pytest.raises(InputError, match="is there already"):
        collect(collected, SETTINGS)
    assert [path.read_bytes() for path in find_episodes(collected)] == before


@pytest.mark.parametrize(
    "bad",
    [
        {"episodes": 0},
        {"seed": -1},
        {"scenarios": ()},
        {"scenarios": ("5box_left",)},
        {"image_format": "gif"},
        {"frame_period": 0.6},
    ],
)
def test_settings_that_cannot_be_are_refused(bad) -> None:
    with pytest.raises(InputError, match=r"give|choose"):
        CollectSettings(**bad)


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        collect(tmp_path / "file" / "data", SETTINGS)


def test_true_states_are_missing_from_a_real_episode() -> None:
    with pytest.raises(InputError, match="no true states"):
        recorded_states("1box_left", {"instruction": "go"})
