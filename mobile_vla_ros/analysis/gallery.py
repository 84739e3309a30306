"""The figures of a report: which result is drawn how, and where the files lie."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from mobile_vla_ros.analysis.pictures import frame
from mobile_vla_ros.plots import inside, similarity, verification
from mobile_vla_ros.plots.page import Picture
from mobile_vla_ros.plots.style import save_figure


def _verify_figures(result: dict[str, Any]) -> dict[str, Figure]:
    return verification.figures(result)


def _ablation_figures(result: dict[str, Any]) -> dict[str, Figure]:
    return {
        "ablation": inside.ablation(result, frame(result["example"])),
        "tokens": inside.token_importance(result),
    }


def _attention_figures(result: dict[str, Any]) -> dict[str, Figure]:
    found = [(item, frame(item)) for item in result["frames"][:4]]
    shown = [(item, image) for item, image in found if image is not None]
    if not shown:
        return {}
    kept = {**result, "frames": [item for item, _ in shown]}
    return {"attention": inside.attention(kept, [image for _, image in shown])}


def _probe_figures(result: dict[str, Any]) -> dict[str, Figure]:
    measured = any(entry["measured"] for entry in result["probes"])
    return {"probes": similarity.probes(result)} if measured else {}


DRAWN: list[tuple[str, str, Callable[[dict[str, Any]], dict[str, Figure]]]] = [
    ("Predicted against recorded velocities", "verify", _verify_figures),
    ("Are the features informative?", "context probe", _probe_figures),
    ("What the velocities depend on", "context ablate", _ablation_figures),
    ("Where the policy looks", "context attention", _attention_figures),
]

CAPTIONS = {
    "traces": "velocity over time, recorded and predicted (first chunk step)",
    "per_step": "error against chunk step, with two simple guesses; band: 95 %",
    "scatter": "predicted against recorded, every frame",
    "direction": "directions, number of frames",
    "latency": "open loop: where the commanded path ends, by latency; band: 95 %",
    "probes": "linear probes on unseen episodes; bars: 95 %, control: exchanged labels",
    "ablation": "change of the first velocity step, and where important tokens look",
    "tokens": "change for each image token alone",
    "attention": "attention over the newest frame; brighter is more, each map on its own scale",
    "metrics": "A against B beside the references; bars: 95 %",
    "distribution": "all values of the image context",
    "pca": "frames in the plane, PCA",
    "tsne": "frames in the plane, t-SNE (distances between clusters mean nothing)",
    "latents": "LSTM states by layer and over the window; bars: 95 %",
}


# Two figures narrower than this (inches) share a row of the page.
WIDE, HALF = 6.0, "28.5rem"


class Gallery:
    """Saves figures as PNG and PDF and hands them to the page."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.made: list[Path] = []

    def draw(self, name: str, draw: Callable, result: dict[str, Any]) -> dict[str, Picture]:
        """All figures of one result, by kind."""
        pictures = {}
        for kind, figure in draw(result).items():
            self.directory.mkdir(parents=True, exist_ok=True)
            safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
            png = self.directory / f"{safe}-{kind}.png"
            width = HALF if figure.get_figwidth() < WIDE else ""
            figure.savefig(png.with_suffix(".pdf"))
            # The layout is found; finding it again for the PNG would take as long.
            figure.set_layout_engine("none")
            save_figure(figure, png)
            self.made += [png, png.with_suffix(".pdf")]
            pictures[kind] = Picture(png, f"{name}: {CAPTIONS[kind]}", width)
        return pictures
