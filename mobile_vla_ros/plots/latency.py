"""Figure of a latency benchmark: what each stage takes, and the tail."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from mobile_vla_ros.plots.style import COLOURS, CYCLE, house_style

STAGES = ("preprocess", "vision", "text", "head")


def draw_latency(
    samples: Mapping[str, Mapping[str, Sequence[float]]], title: str, deadline: float
) -> Figure:
    """Stages as stacked medians beside the cumulative distribution of the totals.

    Args:
        samples: mode -> stage -> seconds.
        title: model, dtype and machine.
        deadline: seconds; drawn as a line.
    """
    modes = [mode for mode in ("window", "stream") if mode in samples]
    with house_style():
        figure, (bars, tail) = plt.subplots(1, 2, figsize=(7.5, 3.0))
        for row, mode in enumerate(modes):
            left = 0.0
            for index, stage in enumerate(STAGES):
                if stage not in samples[mode]:
                    continue
                middle = 1e3 * float(np.median(samples[mode][stage]))
                bars.barh(
                    row,
                    middle,
                    left=left,
                    height=0.55,
                    color=CYCLE[index],
                    label=stage if row == len(modes) - 1 else None,
                )
                left += middle
            bars.annotate(
                f" {_milliseconds(float(np.median(samples[mode]['total'])))}",
                (left, row),
                va="center",
            )
        bars.set_yticks(range(len(modes)), modes)
        bars.margins(x=0.25)
        bars.set_xlabel("median per step (ms)")
        bars.grid(axis="y", visible=False)
        bars.legend(loc="upper center", bbox_to_anchor=(0.5, 1.22), ncols=4, frameon=False)
        for mode, colour in zip(modes, ("blue", "vermilion"), strict=False):
            ordered = 1e3 * np.sort(samples[mode]["total"])
            share = np.arange(1, len(ordered) + 1) / len(ordered)
            tail.step(ordered, share, where="post", color=COLOURS[colour], label=mode)
        tail.axvline(1e3 * deadline, color="grey", linestyle="--", linewidth=1)
        tail.annotate(
            f"limit {1e3 * deadline:.0f} ms",
            (1e3 * deadline, 0.02),
            rotation=90,
            ha="right",
            va="bottom",
            fontsize=7,
        )
        tail.set_xscale("log")
        tail.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        tail.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        tail.xaxis.set_minor_formatter(NullFormatter())
        tail.set_xlabel("total per step (ms)")
        tail.set_ylabel("share of steps")
        tail.legend(loc="best")
        figure.suptitle(title, fontsize=9)
    return figure


def _milliseconds(seconds: float) -> str:
    value = 1e3 * seconds
    return f"{value:.0f} ms" if value >= 100 else f"{value:.3g} ms"
