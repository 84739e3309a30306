"""What comes with the package: the policies called ``demo`` and ``demo_open``, files to share."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = "mobile_vla_ros"
DEMO = "demo"
"""In place of a checkpoint: the bundled policy. A folder of that name is given as an absolute
path."""
DEMO_OPEN = "demo_open"
"""Likewise the one for the open field of the simulator."""


def demo_policy() -> Path:
    """The directory of the small policy that comes with the package."""
    return Path(__file__).with_name("data") / "demo_policy"


def open_policy() -> Path:
    """The directory of the small policy for the simulator's open field."""
    return Path(__file__).with_name("data") / "open_policy"


def for_field(checkpoint: str | Path, *, open_field: bool) -> str | Path:
    """The checkpoint; for ``demo`` the bundled policy of the simulator's field."""
    return DEMO_OPEN if open_field and str(checkpoint) == DEMO else checkpoint


def share_folder(environment: Mapping[str, str] | None = None) -> Path | None:
    """Where the package's launch files and configurations lie; None where nothing says.

    Args:
        environment: whose ``AMENT_PREFIX_PATH`` counts; by default this process's.
    """
    variables = os.environ if environment is None else environment
    prefixes = [Path(p) for p in variables.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    places = [prefix / "share" / PACKAGE for prefix in (*prefixes, Path(sys.prefix))]
    # A checkout is its own share folder.
    places.append(Path(__file__).resolve().parents[1])
    return next((place for place in places if (place / "package.xml").is_file()), None)


def find(path: str | Path) -> Path:
    """The path, or what it stands for.

    Args:
        path: ``demo`` or ``demo_open``; or a path. A relative one that does not exist is looked
            for in the package's share folder.

    Returns:
        Where it is; the path as it was given where it is nowhere.
    """
    named = {DEMO: demo_policy, DEMO_OPEN: open_policy}.get(str(path))
    if named is not None:
        return named()
    given = Path(path)
    share = share_folder() if _is_missing(given) else None
    return share / given if share and (share / given).exists() else given


def places(path: str | Path) -> str:
    """Where ``find`` has looked for something that is nowhere: ' (looked in A and in B)'."""
    given = Path(path)
    if not _is_missing(given):
        return ""
    looked = [str(Path.cwd()), *filter(None, [str(share_folder() or "")])]
    return f" (looked in {' and in '.join(dict.fromkeys(looked))})"


def _is_missing(path: Path) -> bool:
    """Whether it is a relative path to nothing; ``~`` is somebody's home."""
    try:
        return (
            not path.is_absolute()
            and path.parts[:1] != ()
            and not (path.parts[0].startswith("~") or path.exists())
        )
    except OSError:  # a name too long, say: whoever opens it tells
        return False
