"""What a person says of a recording's camera, where the recording does not: options of imports."""

from __future__ import annotations

import typer

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import EXPOSURES, Rig

HEIGHT = typer.Option(
    None, "--camera-height", help="Metres from the floor to the lens, if known.", min=0.0, max=10.0
)
TILT = typer.Option(
    None, "--camera-tilt", help="Degrees that the camera looks down, if known.", min=-90, max=90
)
VIEW = typer.Option(
    None, "--field-of-view", help="Degrees that the camera sees across, if known.", min=0, max=179
)
EXPOSURE = typer.Option(
    "", "--exposure-mode", help=f"{', '.join(EXPOSURES)}; by default not said."
)


def told_rig(
    height: float | None, tilt: float | None, view: float | None, exposure: str = ""
) -> Rig:
    """The rig as far as a person says it.

    Raises:
        InputError: there is no such way to expose.
    """
    if exposure and exposure not in EXPOSURES:
        raise InputError(f"--exposure-mode is {exposure!r}; it must be {' or '.join(EXPOSURES)}")
    return Rig(
        mount_height=height or None, tilt=tilt, field_of_view=view or None, exposure=exposure
    )
