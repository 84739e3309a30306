"""The page's address as a QR code for a phone's camera, in characters of a terminal."""

from __future__ import annotations

import segno

# The quiet zone that a camera needs around it.
BORDER = 2


def address_code(url: str) -> str:
    """A QR code of half-block characters, light on dark as terminals are."""
    rows = [
        bytes(row) for row in segno.make(url, error="l", micro=False).matrix_iter(border=BORDER)
    ]
    if len(rows) % 2:
        rows.append(bytes(len(rows[0])))
    lines = []
    for upper, lower in zip(rows[::2], rows[1::2], strict=True):
        # A dark module is the terminal's own ground, a light one is drawn.
        pairs = zip(upper, lower, strict=True)
        lines.append("".join(" ▄▀█"[(not above) * 2 + (not below)] for above, below in pairs))
    return "\n".join(lines)
