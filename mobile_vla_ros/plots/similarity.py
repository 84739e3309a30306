"""Figures of two models' vectors: metrics beside their references, maps, distributions, probes."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mobile_vla_ros.plots.style import COLOURS, house_style

COLUMN = 3.5
# Left and right also differ by shape, so they can be told apart without colour.
SIDES = {
    "left": (COLOURS["blue"], "o"),
    "right": (COLOURS["orange"], "^"),
    "unknown": (COLOURS["black"], "."),
}
KINDS = (
    ("metrics", "A against B", COLOURS["vermilion"], "o"),
    ("neighbour", "A, neighbouring frames", COLOURS["blue"], "s"),
    ("shuffled", "A, shuffled frames", COLOURS["black"], "x"),
)
SHORT = {
    "cosine": "cosine",
    "cosine_centred": "centred cosine",
    "correlation": "correlation",
    "cka_debiased": "debiased CKA",
    "euclidean": "Euclidean (RMS)",
    "distance_over_std": "distance / std",
    "kl": "KL (nats)",
    "jensen_shannon": "Jensen-Shannon (bits)",
}


def context_figures(result: dict[str, Any]) -> dict[str, Figure]:
    """Every figure of ``context compare``, by name."""
    made = {"metrics": metrics(result), "distribution": distribution(result)}
    for method in ("pca", "tsne"):
        if result.get("maps", {}).get(method):
            made[method] = embedding(result, method)
    return made


def metrics(result: dict[str, Any]) -> Figure:
    """Each metric between the models beside the same model's references."""
    names = list(result["metrics"])
    similar = [name for name in SHORT if name in names][:4]
    distant = [name for name in SHORT if name in names][4:]
    with house_style():
        figure, places = plt.subplots(
            1 + len(distant),
            1,
            figsize=(COLUMN, 4.6),
            height_ratios=[len(similar)] + [1] * len(distant),
        )
        groups = [similar, *[[name] for name in distant]]
        for place, group in zip(places, groups, strict=True):
            for offset, (kind, label, colour, marker) in zip((-0.2, 0, 0.2), KINDS, strict=True):
                source = result["metrics"] if kind == "metrics" else result["references"][kind]
                rows = np.arange(len(group)) + offset
                value = _numbers([source[name]["value"] for name in group])
                low = _numbers([source[name]["low"] for name in group])
                high = _numbers([source[name]["high"] for name in group])
                place.hlines(rows, low, high, color=colour, lw=1.2)
                place.plot(value, rows, marker, color=colour, ms=4, label=label)
            place.set_yticks(range(len(group)), [SHORT[name] for name in group])
            place.set_ylim(len(group) - 0.45, -0.55)
            place.locator_params(axis="x", nbins=5)
        places[0].set_xlim(min(-0.1, places[0].get_xlim()[0]), 1.08)
        places[0].set_title("similarity (1 = alike)", fontsize=9)
        for place in places[1:]:
            right = place.get_xlim()[1]
            place.set_xlim(-0.04 * right, right if right > 0 else 1)
        places[1].set_title("difference (0 = alike)", fontsize=9)
        handles, labels = places[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", frameon=False, fontsize=7)
        return figure


def distribution(result: dict[str, Any]) -> Figure:
    """Histograms of all context values of both models, on a logarithmic scale."""
    histogram = result["histogram"]
    edges = np.array(histogram["edges"])
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 2.3))
        for key, colour, dash in (("a", COLOURS["blue"], "-"), ("b", COLOURS["vermilion"], "--")):
            counts = np.array(histogram[key], dtype=float)
            density = counts / counts.sum() / np.diff(edges)
            place.stairs(
                np.where(density > 0, density, np.nan), edges, color=colour, ls=dash,
                label=key.upper(), lw=1.2,
            )  # fmt: skip
        place.set_yscale("log")
        place.set_xlabel("context value (no unit)")
        place.set_ylabel("density")
        place.legend(frameon=False)
        return figure


def embedding(result: dict[str, Any], method: str) -> Figure:
    """PCA or t-SNE of both models' frames, coloured by side, scenario and progress."""
    maps = result["maps"]
    models = [key for key in ("a", "b") if key in maps[method]]
    name = {"pca": "PCA", "tsne": "t-SNE"}[method]
    side, scenario = np.array(maps["side"]), np.array(maps["scenario"])
    progress = np.array(maps["progress"], dtype=float)
    names = sorted(set(scenario))
    with house_style():
        figure, places = plt.subplots(
            len(models), 3, figsize=(2 * COLUMN, 2.15 * len(models) + 0.7), squeeze=False
        )
        shades = plt.get_cmap("cividis")
        markers = "osD^vP*X<>"
        for row, key in enumerate(models):
            points = np.array(maps[method][key], dtype=float)
            for word, (colour, marker) in SIDES.items():
                keep = side == word
                places[row, 0].plot(
                    *points[keep].T, marker, color=colour, ms=3.5, alpha=0.7, mew=0, ls=""
                )
            for place, word in enumerate(names):
                keep = scenario == word
                shade = shades(place / max(1, len(names) - 1))
                places[row, 1].plot(
                    *points[keep].T, markers[place % len(markers)], color=shade, ms=3.5,
                    alpha=0.7, mew=0, ls="",
                )  # fmt: skip
            drawn = places[row, 2].scatter(
                *points.T, c=progress, cmap="viridis", s=9, alpha=0.8, lw=0, vmin=0, vmax=1
            )
            for place in places[row]:
                place.set_xlabel(f"{name} 1")
                place.locator_params(nbins=4)
            places[row, 0].set_ylabel(f"model {key.upper()}\n{name} 2")
        for place, title in zip(places[0], ("side", "scenario", "progress"), strict=True):
            place.set_title(title, fontsize=9)
        figure.colorbar(drawn, ax=places[:, 2], label="share of the episode", shrink=0.8)
        present = [word for word in SIDES if word in side]
        handles = [
            Line2D([], [], color=SIDES[word][0], marker=SIDES[word][1], ls="", ms=4, label=word)
            for word in present
        ]
        handles += [
            Line2D(
                [], [], color=shades(place / max(1, len(names) - 1)),
                marker=markers[place % len(markers)], ls="", ms=4, label=word,
            )
            for place, word in enumerate(names[:8])
        ]  # fmt: skip
        figure.legend(
            handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=7
        )
        return figure


def probes(result: dict[str, Any]) -> Figure:
    """What linear probes read, beside the control with exchanged labels."""
    entries = [entry for entry in result["probes"] if entry.get("measured")]
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 0.36 * max(2, len(entries)) + 1.3))
        for row, entry in enumerate(entries):
            colour = COLOURS["blue"] if entry["features"] == "image context" else COLOURS["orange"]
            marker = "o" if entry["features"] == "image context" else "^"
            low, high = _numbers([entry["low"], entry["high"]])
            place.hlines(row, max(low, -0.5), high, color=colour, lw=1.4)
            place.plot(max(entry["value"], -0.5), row, marker, color=colour, ms=5)
            place.plot(
                max(entry["control_high"], -0.5), row, "|", color=COLOURS["black"], ms=9, mew=1.5
            )
        labels = [
            entry["target"] + (" (accuracy)" if entry["target"] == "side" else "")
            for entry in entries
        ]
        place.set_yticks(range(len(entries)), labels)
        place.set_ylim(len(entries) - 0.4, -0.6)
        place.set_xlim(-0.55, 1.05)
        place.set_xlabel("R2, or accuracy, on unseen episodes")
        handles = [
            Line2D([], [], color=COLOURS["blue"], marker="o", label="image context"),
            Line2D([], [], color=COLOURS["orange"], marker="^", label="action token"),
            Line2D(
                [], [], color=COLOURS["black"], marker="|", ls="", ms=9, mew=1.5,
                label="control, 95th percentile",
            ),
        ]  # fmt: skip
        figure.legend(
            handles=handles, loc="outside upper center", ncols=2, frameon=False, fontsize=7
        )
        return figure


def _numbers(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
