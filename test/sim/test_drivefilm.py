"""The film of a drive, read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.drivefilm import require_encoder, write_film
from mobile_vla_ros.sim.outcome import REACHED, TOUCHED_BOX, Outcome

av = pytest.importorskip("av")


def test_a_film_shows_every_frame_at_its_time(tmp_path: Path) -> None:
    when = np.arange(0, 2, 0.1)
    odometry = np.stack([when, 0.3 * when, 0 * when, 0 * when, 0 * when, 0 * when], axis=1)
    commands = np.stack([when, 0 * when + 0.3, 0 * when, 0 * when], axis=1)
    pictures = [(float(t), np.full((90, 160, 3), int(100 * t), np.uint8)) for t in when]
    path = write_film(
        tmp_path / "drive.mp4",
        scenario="2box_left",
        seed=7,
        title="go left: reached",
        odometry=odometry,
        commands=commands,
        frames=iter(pictures),
    )
    with av.open(str(path)) as film:
        frames = list(film.decode(video=0))
    assert [float(frame.time) for frame in frames] == pytest.approx(when, abs=0.002)
    assert frames[-1].to_ndarray(format="rgb24")[100, 100].mean() == pytest.approx(190, abs=8)
    assert list(tmp_path.iterdir()) == [path]


def test_another_kind_of_film_is_refused() -> None:
    with pytest.raises(InputError, match=r"ends in \.mp4"):
        require_encoder("drive.gif")


def test_an_end_is_one_line_with_its_reason() -> None:
    rest = {"path_length": 3.0, "clearance": 0.2, "distance": 0.349, "bearing": 0.0, "passed": ()}
    reached = Outcome(reason=REACHED, success=True, driving_time=11.93, **rest)
    assert reached.sentence() == "reached, 0.35 m from the bottle after 11.9 s"
    touched = Outcome(reason=TOUCHED_BOX, success=False, driving_time=6.2, **rest)
    assert touched.sentence() == "touched a box after 6.2 s"
