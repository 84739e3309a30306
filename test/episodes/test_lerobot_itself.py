"""lerobot's own loader opens what we write.

lerobot needs another Python and another torch than we do, so it has an environment of its own:
`scripts/setup_lerobot.sh` makes `.venv-lerobot`, and MOBILE_VLA_LEROBOT_PYTHON names another.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from test_lerobot_video import ROWS, episode, scene

from mobile_vla_ros.episodes.export_lerobot import VideoSettings, export

HERE = Path(__file__).parent
PYTHON = Path(
    os.environ.get("MOBILE_VLA_LEROBOT_PYTHON", HERE.parents[1] / ".venv-lerobot/bin/python")
)
pytestmark = pytest.mark.skipif(
    not PYTHON.exists(), reason="lerobot has no environment here (scripts/setup_lerobot.sh)"
)


@pytest.mark.parametrize("video", [None, VideoSettings()], ids=["pictures", "video"])
def test_lerobot_loads_every_frame_of_what_was_written_and_added(
    tmp_path: Path, video: VideoSettings | None
) -> None:
    sources = [episode(tmp_path / f"{shade}.h5", shade) for shade in (60, 180)]
    export(sources[:1], tmp_path / "set", video=video)
    export(sources[1:], tmp_path / "set", video=video, append=True)
    environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    said = subprocess.run(
        [str(PYTHON), str(HERE / "lerobot_probe.py"), str(tmp_path / "set")],
        env={**environment, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert said.returncode == 0, said.stderr[-2000:]
    found = json.loads(said.stdout.strip().splitlines()[-1])
    assert (found["episodes"], found["fps"], len(found["actions"])) == (2, 10, 2 * ROWS)
    assert found["tasks"] == ["왼쪽"] * 2 * ROWS
    rows = np.arange(ROWS)
    actions = np.stack([rows / 10, 0 * rows, -rows / 20], axis=1)
    assert np.allclose(found["actions"], np.tile(actions, (2, 1)), atol=1e-6)
    assert np.allclose(found["stamps"], np.tile(rows * 0.1 + (rows % 2) * 0.002, 2), atol=1e-5)
    wanted = [scene(row, shade).mean(axis=(0, 1)) / 255 for shade in (60, 180) for row in rows]
    assert np.allclose(found["colours"], wanted, atol=0.01 if video else 1e-3)
    assert "observation.state" in found["statistics"]
