"""Room for camera images in Fast DDS: the profiles that widen its shared memory, and who has any.

Without them two of three best-effort 720p frames are lost between processes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

PROFILE_VARIABLES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""Where Fast DDS looks for its profiles; the older name first, which every release reads."""


def own_profiles(environment: Mapping[str, str]) -> str:
    """The profiles that this environment names; empty without any."""
    return next((environment[n] for n in PROFILE_VARIABLES if environment.get(n)), "")


LINKS = {"wired": "fastdds.xml", "wifi": "fastdds_wifi.xml"}
"""Kinds of network between robot and station, and the profiles that suit them."""


def image_room(share: Path, environment: Mapping[str, str], link: str = "wired") -> dict[str, str]:
    """The variables to set, so that images have room, and get through.

    Args:
        share: the package's share folder, or the repository.
        environment: that of the processes to come.
        link: a name of ``LINKS``.

    Returns:
        Name -> value; empty where the user has profiles of their own, or ``share`` has none.
    """
    profiles = share / "config" / LINKS[link]
    if own_profiles(environment) or not profiles.is_file():
        return {}
    return dict.fromkeys(PROFILE_VARIABLES, str(profiles))
