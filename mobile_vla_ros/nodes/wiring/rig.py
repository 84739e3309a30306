"""The parameters by which a node is told where its camera stands, and the record made of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobile_vla_ros.nodes.wiring.parameters import Declared
from mobile_vla_ros.rig import EXPOSURES, Rig

RIG_PARAMETERS = (
    Declared("camera_height", 0.0, "metres from the floor to the lens; 0 = not said", 0.0, 10.0),
    Declared("camera_tilt", 0.0, "degrees that the camera looks down", -90.0, 90.0),
    Declared(
        "field_of_view", 0.0, "degrees that the camera sees across; 0 = not said", 0.0, 179.0
    ),
)
EXPOSURE_MODE = Declared(
    "exposure_mode",
    "",
    "how the camera exposes, noted in the file; '' = not said",
    options=("", *EXPOSURES),
)


def rig_of_settings(
    settings: Mapping[str, Any],
    camera: str,
    width: int | None = None,
    height: int | None = None,
    exposure: str = "",
) -> Rig:
    """The rig that the parameters say; a tilt counts only where a height is said with it."""
    tall = settings["camera_height"] or None
    return Rig(
        camera=camera,
        width=width,
        height=height,
        mount_height=tall,
        tilt=settings["camera_tilt"] if tall else None,
        field_of_view=settings["field_of_view"] or None,
        exposure=exposure,
    )
