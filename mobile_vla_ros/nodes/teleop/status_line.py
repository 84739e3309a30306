"""The one line at the bottom of the terminal: how it drives, what the recorder does."""

from __future__ import annotations

from typing import Any


def status_line(driving: str, recorder: dict[str, Any], message: str) -> str:
    """The line.

    Args:
        driving: key and speeds.
        recorder: what the recorder says of itself; empty when there is none.
        message: what came of the last order; first, since a narrow terminal cuts the end.
    """
    if not recorder:
        return " | ".join(filter(None, (message, driving, "no recorder")))
    length = recorder["episode_length"]
    frames = f"{recorder['frames']}/{length}" if length else f"{recorder['frames']}"
    said = recorder["error"] or message
    parts = (
        said,
        driving,
        f"{recorder['state']} {recorder['scenario'] or '(no scenario)'}",
        f"{frames} frames {recorder['frames_dropped']} dropped {recorder['frames_lost']} lost",
        " ".join(_side(recorder, side) for side in ("left", "right")),
        "" if said else recorder["instruction"],
    )
    return " | ".join(filter(None, parts))


def _side(recorder: dict[str, Any], side: str) -> str:
    """Episodes done of one side, and how many the plan wants."""
    wanted = sum(e["target"] for e in recorder["progress"] if e["name"].endswith(side))
    return f"{side} {recorder[side]}" + (f"/{wanted}" if wanted else "")
