"""A window on the field, where there is a display: the room seen from outside."""

from __future__ import annotations

import os

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.sim.arena import Arena


class FieldWindow:
    """MuJoCo's own viewer on a field that somebody else advances.

    Args:
        field: what to show.

    Raises:
        InputError: there is no display.
    """

    def __init__(self, field: Arena) -> None:
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise InputError(
                "there is no display for a window: set DISPLAY, or leave the window out"
            )
        import mujoco.viewer

        model, data = field.physics
        try:
            self._viewer = mujoco.viewer.launch_passive(
                model, data, show_left_ui=False, show_right_ui=False
            )
        except (RuntimeError, mujoco.FatalError) as error:
            raise InputError(f"the window cannot be opened: {error}") from error
        with self._viewer.lock():
            self._viewer.cam.lookat[:] = (2.0, 0.0, 0.0)
            self._viewer.cam.distance = 5.0
            self._viewer.cam.azimuth = 0.0
            self._viewer.cam.elevation = -35.0

    @property
    def open(self) -> bool:
        """False once the person has closed it."""
        return self._viewer.is_running()

    def show(self) -> None:
        """Draws the field as it is now; cheap, and nothing once the window is closed."""
        if self.open:
            self._viewer.sync()

    def close(self) -> None:
        """Closes the window."""
        self._viewer.close()
