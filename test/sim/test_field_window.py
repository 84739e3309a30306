import os
import shutil
import subprocess
import sys

import pytest

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.window import FieldWindow

LOOK = """
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.window import FieldWindow
with Field("1box_left", 1) as field:
    window = FieldWindow(field)
    for _ in range(3):
        field.step((0.3, 0.0), 0.1)
        field.render()
        window.show()
    assert window.open
    window.close()
print("shown")
"""


def test_without_a_display_it_says_so(monkeypatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with Field("1box_left", 1) as field, pytest.raises(InputError, match="no display"):
        FieldWindow(field)


@pytest.mark.egl
@pytest.mark.skipif(shutil.which("Xvfb") is None, reason="needs Xvfb for a display")
def test_the_field_is_shown_while_the_camera_renders() -> None:
    reading, writing = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24"],
        pass_fds=(writing,),
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            display = f":{told.readline().strip()}"
        done = subprocess.run(
            [sys.executable, "-c", LOOK],
            env=dict(os.environ, DISPLAY=display),
            capture_output=True,
            text=True,
            timeout=120,
        )
    finally:
        server.terminate()
        server.wait()
    assert done.stdout.strip().endswith("shown"), done.stderr
