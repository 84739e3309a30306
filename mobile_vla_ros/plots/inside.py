"""Figures of what goes on inside a policy: LSTM states, ablation, attention."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from mobile_vla_ros.plots.style import COLOURS, house_style

COLUMN = 3.5
MODELS = (("a", "A", COLOURS["blue"], "o"), ("b", "B", COLOURS["vermilion"], "^"))


def latents(result: dict[str, Any]) -> Figure:
    """Similarity by layer, activity by layer and drift over the window."""
    names = [name[: -len("_cka")] for name in result["metrics"] if name.endswith("_cka")]
    with house_style():
        figure, (first, second, third) = plt.subplots(3, 1, figsize=(COLUMN, 6.0))
        rows = np.arange(len(names))
        for suffix, label, colour, marker, offset in (
            ("cka", "debiased CKA", COLOURS["vermilion"], "o", -0.12),
            ("procrustes", "Procrustes difference", COLOURS["blue"], "s", 0.12),
        ):
            values = [result["metrics"][f"{name}_{suffix}"] for name in names]
            low = _numbers([value["low"] for value in values])
            high = _numbers([value["high"] for value in values])
            first.vlines(rows + offset, low, high, color=colour, lw=1.2)
            first.plot(
                rows + offset, _numbers([value["value"] for value in values]), marker,
                color=colour, ms=4, label=label,
            )  # fmt: skip
        labels = ["output" if name == "output" else f"cell {name[5:]}" for name in names]
        first.set_xticks(rows, labels)
        first.set_ylim(-0.08, 1.45)
        first.set_yticks([0, 0.5, 1])
        first.set_ylabel("A against B")
        first.legend(frameon=False, ncols=2, fontsize=7, loc="upper center")
        for key, label, colour, marker in MODELS:
            layers = result["activations"][key]
            second.plot(
                [layer["layer"] for layer in layers],
                [layer["mean_abs_hidden"] for layer in layers],
                marker=marker, color=colour, ms=4, label=f"{label}, hidden",
            )  # fmt: skip
            second.plot(
                [layer["layer"] for layer in layers],
                [layer["mean_abs_cell"] for layer in layers],
                marker=marker, color=colour, ms=4, ls="--", label=f"{label}, cell",
            )  # fmt: skip
            drift = result["drift"][key]
            third.plot(
                [row["step"] for row in drift], _numbers([row["change"] for row in drift]),
                marker=marker, color=colour, ms=4, label=f"{label}, per frame",
            )  # fmt: skip
            third.plot(
                [row["step"] for row in drift], _numbers([row["from_start"] for row in drift]),
                marker=marker, color=colour, ms=4, ls="--", label=f"{label}, since first",
            )  # fmt: skip
        second.set_xticks([layer["layer"] for layer in result["activations"]["a"]])
        second.set_xlabel("LSTM layer")
        second.set_ylabel("mean |activation|")
        third.set_xlabel("frame of the window")
        third.set_ylabel("change / RMS state")
        for place in (second, third):
            place.set_ylim(0, place.get_ylim()[1] * 1.45)
            place.legend(
                frameon=False, ncols=2, fontsize=6.5, loc="upper center", handlelength=3.2
            )
        return figure


def ablation(result: dict[str, Any], image: np.ndarray | None = None) -> Figure:
    """Change in velocity for what is taken away, and the tokens' importance over the image."""
    entries = [*result["groups"], *result["frames"], result["instruction"]]
    with house_style():
        figure, (left, right) = plt.subplots(
            1, 2, figsize=(2 * COLUMN, 3.3), width_ratios=[1.1, 1]
        )
        rows = np.arange(len(entries))
        value = _numbers([entry["rms_change"] for entry in entries])
        low = _numbers([entry["low"] for entry in entries])
        high = _numbers([entry["high"] for entry in entries])
        left.barh(rows, value, color=COLOURS["sky"], height=0.65)
        left.hlines(rows, low, high, color=COLOURS["black"], lw=1.2)
        length = len(result["frames"])
        left.set_yticks(rows, [_label(entry["name"], length) for entry in entries])
        left.set_ylim(len(entries) - 0.4, -0.6)
        left.set_xlim(left=0)
        left.locator_params(axis="x", nbins=5)
        left.set_xlabel("RMS change of velocity (normalised)")
        overlay(right, np.array(result["map"]), image)
        right.set_title("where the important tokens look", fontsize=9)
        return figure


def token_importance(result: dict[str, Any]) -> Figure:
    """Change in velocity for each image token alone."""
    with house_style():
        figure, place = plt.subplots(figsize=(COLUMN, 2.2))
        value = _numbers([entry["rms_change"] for entry in result["tokens"]])
        place.bar(np.arange(len(value)), value, color=COLOURS["blue"], width=0.8)
        place.set_xlabel("image token (latent query)")
        place.set_ylabel("RMS change\n(normalised)")
        return figure


def attention(result: dict[str, Any], images: list[np.ndarray]) -> Figure:
    """Frames with the action token's and the projection's attention over them."""
    frames = result["frames"][: len(images)]
    with house_style():
        figure, places = plt.subplots(
            len(frames), 3, figsize=(2 * COLUMN, 1.75 * len(frames) + 0.35), squeeze=False
        )
        for row, (frame, image) in enumerate(zip(frames, images, strict=True)):
            places[row, 0].imshow(image)
            overlay(places[row, 1], np.array(frame["action"]), image)
            overlay(places[row, 2], np.array(frame["projection"]), image)
            for place in places[row]:
                place.set_axis_off()
            name = frame["episode"].removesuffix(".h5").split("_", 3)[-1]
            places[row, 0].set_title(f"{name}, row {frame['row']}", fontsize=8)
        for place, title in zip(
            places[0, 1:], ("action token", "projection, all queries"), strict=True
        ):
            place.set_title(title, fontsize=8)
        return figure


def overlay(place: Any, weights: np.ndarray, image: np.ndarray | None) -> None:
    """Draws a 16 x 16 map, lowest to highest as transparent to bright, over an image."""
    height, width = image.shape[:2] if image is not None else (16, 16)
    if image is not None:
        grey = image.mean(axis=2)
        place.imshow(grey, cmap="gray", vmin=0, vmax=255)
    span = np.ptp(weights)
    scaled = (weights - weights.min()) / span if span > 0 else np.zeros_like(weights)
    place.imshow(
        scaled,
        cmap="inferno",
        alpha=0.55 if image is not None else 1.0,
        extent=(-0.5, width - 0.5, height - 0.5, -0.5),
        interpolation="bilinear",
        vmin=0,
        vmax=1,
    )
    place.grid(False)
    place.set_xticks([])
    place.set_yticks([])


def _label(name: str, length: int) -> str:
    if name.startswith("group "):
        name = name.removeprefix("group ")
        return name if name.startswith("all") else f"tokens looking {name}"
    if name.startswith("frame "):
        place = int(name.split()[1])
        word = {0: " (oldest)", length - 1: " (newest)"}.get(place, "")
        return f"frame {place}{word}"
    return name


def _numbers(values: list) -> np.ndarray:
    return np.array([np.nan if value is None else value for value in values], dtype=float)
