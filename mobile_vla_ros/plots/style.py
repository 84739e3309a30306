"""One look for every figure: colour-blind-safe colours, readable at a paper's column width."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from collections.abc import Iterator

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from mobile_vla_ros.errors import InputError

# Okabe and Ito's palette (2008), distinguishable with the common colour-vision deficiencies.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "vermilion": "#D55E00",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "yellow": "#F0E442",
    "black": "#000000",
}
CYCLE = list(COLOURS.values())

_SETTINGS: Any = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "legend.fontsize": 8,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "axes.prop_cycle": plt.cycler(color=CYCLE),
    "figure.dpi": 120,
    "savefig.dpi": 150,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
}


@contextmanager
def house_style() -> Iterator[None]:
    """Applies the style to the figures made inside the ``with`` block."""
    with matplotlib.rc_context(_SETTINGS):
        yield


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Saves and closes ``figure``; the suffix (.png, .pdf, .svg) decides the format.

    A missing folder is made.

    Raises:
        InputError: the file cannot be written, or the suffix is not one matplotlib writes.
    """
    target = Path(path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(target)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot write the figure {target}: {error}") from error
    finally:
        plt.close(figure)
    return target
