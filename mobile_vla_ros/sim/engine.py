"""MuJoCo, brought in with the graphics library that it renders by."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from mobile_vla_ros.errors import InputError

if "MUJOCO_GL" not in os.environ and sys.platform == "linux":
    # MuJoCo reads this once, at import. EGL renders with and without a display, and in any thread.
    os.environ["MUJOCO_GL"] = "egl"


class _Absent:
    """Says at the first use why there is no MuJoCo: a program that imports it can still speak."""

    def __init__(self, reason: Exception) -> None:
        self._reason = reason

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise InputError(
            "MuJoCo cannot start: install it (pip install mujoco) with an EGL or OSMesa library "
            f"(libegl1, libosmesa6), or set MUJOCO_GL to egl, osmesa or glfw ({self._reason})"
        ) from self._reason


if TYPE_CHECKING:
    import mujoco
else:
    try:
        import mujoco
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        # With MUJOCO_GL set, the graphics library is loaded here. PyOpenGL's complaint when there
        # is none is an AttributeError; a value that MuJoCo does not know is a RuntimeError.
        mujoco = _Absent(error)


def require_mujoco() -> None:
    """Says now what the first use would say.

    Raises:
        InputError: MuJoCo or its graphics library cannot be loaded.
    """
    _ = mujoco.MjModel


__all__ = ["mujoco", "require_mujoco"]
