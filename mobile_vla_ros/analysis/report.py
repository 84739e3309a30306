"""Everything measured on several runs side by side in one HTML file, and what was not."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from mobile_vla_ros import __version__
from mobile_vla_ros.analysis.pictures import frame
from mobile_vla_ros.analysis.recordings import AnalysisError
from mobile_vla_ros.plots import inside, similarity, verification
from mobile_vla_ros.plots.page import Picture, Section, Table, write_page
from mobile_vla_ros.plots.style import save_figure

# What a run can have been measured by, and the command that does it.
MEASURES = {
    "train": ("training and validation loss", "train"),
    "verify": ("velocity error on held-out episodes", "verify"),
    "context extract": ("context statistics", "context extract"),
    "context probe": ("whether features are informative", "context probe"),
    "context ablate": ("what the velocities depend on", "context ablate"),
    "context attention": ("where the policy looks", "context attention"),
    "benchmark": ("latency", "benchmark"),
    "sim evaluate": ("success in simulation", "sim evaluate"),
    "trials report": ("success in the field", "trials report"),
}
PAIRED = {"context compare": "context vectors", "latent compare": "LSTM states"}
# Results of commands that do not name themselves are told by their keys.
SIGNS = {
    "train": ("best_checkpoint", "val_loss"),
    "benchmark": ("machine", "modes"),
    "sim evaluate": ("success_rate", "by_scenario", "wilson"),
    "trials report": ("checkpoints", "comparison"),
    "inspect": ("kind", "coverage"),
    "verify": ("rmse_normalised_step0", "baselines"),
}


@dataclass
class Run:
    """The results of one checkpoint.

    Attributes:
        name: its folder's name.
        results: command -> result.
        files: command -> the JSON file it was read from.
    """

    name: str
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


def read_runs(folders: Sequence[str | Path]) -> tuple[list[Run], list[tuple[str, dict]]]:
    """Reads every result in the folders.

    Returns:
        The runs, and the comparisons of two checkpoints as (command, result).

    Raises:
        AnalysisError: a folder is missing, holds no result, or a result is not JSON.
    """
    runs: list[Run] = []
    pairs: list[tuple[str, dict]] = []
    for place in map(Path, folders):
        if not place.is_dir():
            raise AnalysisError(f"{place} is not a folder of results")
        run = Run(_unused(place.resolve().name, runs))
        found = sorted(place.glob("*.json")) + sorted(place.glob("*/context.json"))
        for path in found:
            result = _read(path)
            command = _command(result)
            if command in PAIRED:
                if not any(command == other and result == kept for other, kept in pairs):
                    pairs.append((command, result))
            elif command is not None:
                run.results[command] = result
                run.files[command] = path
        if run.results:
            runs.append(run)
        elif not any(_command(_read(path)) in PAIRED for path in found):
            raise AnalysisError(
                f"{place} holds no result; write some there with --json, for example "
                f"`mobile_vla verify ... --json {place / 'verify.json'}`"
            )
    if not runs and not pairs:
        raise AnalysisError("there is nothing to report")
    return runs, pairs


def write_report(
    folders: Sequence[str | Path], out: str | Path, figures: str | Path | None = None
) -> dict[str, Any]:
    """Writes the report, and every figure as PNG and PDF beside it.

    Args:
        folders: one per run.
        out: the HTML file.
        figures: folder of the figures; None takes ``OUT`` without suffix plus ``_figures``.

    Returns:
        A JSON-ready summary: the table, the conclusions, what was not measured, the figures.
    """
    runs, pairs = read_runs(folders)
    out = Path(out)
    gallery = _Gallery(Path(figures) if figures else out.with_name(f"{out.stem}_figures"))
    rows = summary_rows(runs)
    conclusions = [
        (run.name, command, result["conclusion"])
        for run in runs
        for command, result in run.results.items()
        if isinstance(result.get("conclusion"), str)
    ]
    conclusions += [
        (_pair_name(result, runs), command, result["conclusion"]) for command, result in pairs
    ]
    missing = not_measured(runs, pairs)
    sections = [
        Section(
            "Side by side",
            [
                Table(
                    ["measure", *(run.name for run in runs)],
                    rows,
                    "95 % intervals in brackets; an empty cell was not measured",
                )
            ]
            if rows
            else ["No run was measured by itself."],
        ),
        Section(
            "Conclusions",
            [Table(["of", "from", "says"], conclusions, "generated from the numbers")],
        ),
    ]
    for title, command, draw in _DRAWN:
        section = Section(title)
        drawn = [
            gallery.draw(run.name, draw, run.results[command])
            for run in runs
            if command in run.results
        ]
        # The same figure of every run stands side by side.
        for kind in dict.fromkeys(name for pictures in drawn for name in pictures):
            section.content += [pictures[kind] for pictures in drawn if kind in pictures]
        for run in runs:
            if command in run.results:
                section.content += _remarks(command, run)
        if section.content:
            sections.append(section)
    for command, result in pairs:
        sections.append(_pair_section(command, result, runs, gallery))
    sections.append(Section("Not measured", [Table(["run", "what", "why"], missing)]))
    sections.append(Section("Provenance", _provenance(runs, pairs)))
    lead = " ".join(f"{of}: {text}" for of, command, text in conclusions if command == "verify")
    footer = f"mobile_vla_ros {__version__}, Python {platform.python_version()}"
    write_page(out, "Evidence: " + ", ".join(r.name for r in runs), sections, lead=lead,
               footer=footer)  # fmt: skip
    return {
        "command": "report",
        "report": str(out),
        "runs": [run.name for run in runs],
        "table": [
            dict(zip(["measure", *(r.name for r in runs)], row, strict=True)) for row in rows
        ],
        "conclusions": [
            dict(zip(("of", "from", "says"), item, strict=True)) for item in conclusions
        ],
        "not_measured": [dict(zip(("run", "what", "why"), row, strict=True)) for row in missing],
        "figures": [str(path) for path in gallery.made],
    }


def summary_rows(runs: Sequence[Run]) -> list[list[str | None]]:
    """One row per measure that at least one run has, one cell per run."""
    rows = []
    for title, command, read in _ROWS:
        cells: list[str | None] = []
        for run in runs:
            result = run.results.get(command)
            try:
                cells.append(None if result is None else read(result))
            except (KeyError, TypeError, IndexError):
                # Results of other versions may lack a key; the cell stays empty.
                cells.append(None)
        if any(cell is not None for cell in cells):
            rows.append([title, *cells])
    return rows


def not_measured(
    runs: Sequence[Run], pairs: Sequence[tuple[str, dict]]
) -> list[tuple[str, str, str]]:
    """What no command was run for, and what a command had to leave out, with the reason."""
    rows = []
    for run in runs:
        for command, (what, name) in MEASURES.items():
            if command not in run.results:
                rows.append((run.name, what, f"`{name}` was not run"))
        rows += [(run.name, what, why) for what, why in _gaps(run)]
    for command, what in PAIRED.items():
        if len(runs) > 1 and not any(command == other for other, _ in pairs):
            names = " and ".join(run.name for run in runs)
            rows.append((names, f"comparison of {what}", f"`{command}` was not run"))
    return rows


def _gaps(run: Run) -> list[tuple[str, str]]:
    gaps: list[tuple[str, str]] = []
    verified = run.results.get("verify", {})
    for key, what in (
        ("instruction_swap", "instruction swap"),
        ("generalisation", "generalisation from one side to the other"),
    ):
        if verified.get(key, {}).get("measured") is False:
            gaps.append((what, verified[key]["reason"]))
    if verified and not verified.get("latency"):
        gaps.append(("effect of latency on the path", "verify ran without --latency"))
    if verified and not verified.get("held_out", {}).get("known"):
        gaps.append(("whether the episodes are held out", verified["held_out"]["note"]))
    for entry in run.results.get("context probe", {}).get("probes", ()):
        if not entry["measured"]:
            gaps.append((f"{entry['target']} from the {entry['features']}", entry["reason"]))
    for command, result in run.results.items():
        skipped = result.get("skipped") or ()
        if isinstance(skipped, list):
            gaps += [(f"{command} of {item['path']}", item["reason"]) for item in skipped]
    return gaps


def _read(path: Path) -> dict[str, Any]:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise AnalysisError(f"{path} is not a result: {error}") from error
    return result if isinstance(result, dict) else {}


def _command(result: dict[str, Any]) -> str | None:
    named = result.get("command")
    if named in MEASURES or named in PAIRED:
        return named
    for command, keys in SIGNS.items():
        if all(key in result for key in keys):
            return command
    return None


def _unused(name: str, runs: Sequence[Run]) -> str:
    taken = {run.name for run in runs}
    number, candidate = 2, name
    while candidate in taken:
        candidate, number = f"{name} ({number})", number + 1
    return candidate


def _interval(value: float, low: float | None, high: float | None, digits: int = 3) -> str:
    if low is None or high is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _per_axis(result: dict[str, Any], name: str, unit: bool = True) -> str:
    return ", ".join(
        f"{axis} {value:.3f}" + (f" {result['units'][axis]}" if unit else "")
        for axis, value in result[name].items()
        if value is not None
    )


def _against(result: dict[str, Any], name: str) -> str:
    base = result["baselines"][name]
    gain = base["policy_better_by"]
    return (
        f"{base['rmse_normalised_step0']:.3f}; policy better by "
        f"{_interval(gain['value'], gain['low'], gain['high'])}"
    )


def _latency(result: dict[str, Any]) -> str:
    # The total stands last among the stages where it has no name of its own.
    stages = result["modes"]["stream"]["stages"]
    total = stages.get("total") or stages[list(stages)[-1]]
    return f"p50 {total['p50']:g}, p99 {total['p99']:g}"


def _rate(result: dict[str, Any]) -> str:
    low, high = result["wilson"]
    return f"{result['successes']} of {result['episodes']} [{low:.2f}, {high:.2f}]"


def _last(value: Any) -> str:
    number = value[-1] if isinstance(value, list) else value
    return f"{number:.4f}"


_ROWS: list[tuple[str, str, Callable[[dict[str, Any]], str | None]]] = [
    ("training loss", "train", lambda r: _last(r["train_loss"])),
    ("validation loss", "train", lambda r: _last(r["val_loss"])),
    ("trainable parameters", "train", lambda r: f"{r['trainable_parameters']:,}"),
    ("episodes (frames) verified", "verify", lambda r: f"{r['episodes']} ({r['frames']})"),
    (
        "RMSE, normalised, first step, axes pooled",
        "verify",
        lambda r: _interval(r["rmse_normalised_step0"], *r["intervals"]["rmse_normalised_step0"]),
    ),
    (
        "threshold",
        "verify",
        lambda r: (
            None
            if r["threshold"] is None
            else f"{r['threshold']:g}: {'pass' if r['passed'] else 'fail'}"
        ),
    ),
    ("RMSE per axis", "verify", lambda r: _per_axis(r, "rmse")),
    ("MAE per axis", "verify", lambda r: _per_axis(r, "mae")),
    ("R2 per axis", "verify", lambda r: _per_axis(r, "r2", unit=False) or "constant commands"),
    ("repeat last command, RMSE", "verify", lambda r: _against(r, "repeat_last")),
    ("mean command, RMSE", "verify", lambda r: _against(r, "mean")),
    (
        "direction agreement",
        "verify",
        lambda r: _interval(
            r["direction"]["agreement"], r["direction"]["low"], r["direction"]["high"], 2
        ),
    ),
    ("instruction swap", "verify", lambda r: r["instruction_swap"].get("verdict")),
    (
        "left / right RMSE",
        "verify",
        lambda r: ", ".join(
            f"{side} {_interval(v['rmse_normalised_step0'], v['low'], v['high'])}"
            for side, v in r["by_side"].items()
        ),
    ),
    (
        "unseen side RMSE",
        "verify",
        lambda r: ", ".join(
            f"{side} {_interval(v['value'], v['low'], v['high'])}"
            for side, v in r["generalisation"]["rmse_normalised_step0"].items()
        ),
    ),
    (
        "context mean, std, norm",
        "context extract",
        lambda r: f"{r['mean']:.4f}, {r['std']:.4f}, {r['norm']:.1f}",
    ),
    ("context shape", "context extract", lambda r: " x ".join(map(str, r["shape"]))),
    ("latency of a streamed frame (ms)", "benchmark", _latency),
    ("success in simulation", "sim evaluate", _rate),
]


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


_DRAWN: list[tuple[str, str, Callable[[dict[str, Any]], dict[str, Figure]]]] = [
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


class _Gallery:
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


def _remarks(command: str, run: Run) -> list[str | Table]:
    result = run.results[command]
    remarks: list[str | Table] = []
    if command == "verify":
        if "note" in result.get("axes", {}):
            remarks.append(f"{run.name}: {result['axes']['note']}.")
        rows = [
            [name, v["episodes"], v["frames"],
             _interval(v["rmse_normalised_step0"], v["low"], v["high"])]
            for name, v in result["by_scenario"].items()
        ]  # fmt: skip
        remarks.append(
            Table(["scenario", "episodes", "frames", "RMSE (normalised)"], rows, run.name)
        )
    if command == "context attention":
        remarks.append(result["note"] + ".")
    return remarks


def _pair_name(result: dict[str, Any], runs: Sequence[Run]) -> str:
    names = {}
    for run in runs:
        for own in run.results.values():
            if own.get("checkpoint_sha256"):
                names.setdefault(own["checkpoint_sha256"], run.name)
    said = []
    for key in ("a", "b"):
        one = result[key]
        said.append(names.get(one["checkpoint_sha256"], Path(one["checkpoint"]).name))
    return f"{said[0]} (A) against {said[1]} (B)"


def _pair_section(
    command: str, result: dict[str, Any], runs: Sequence[Run], gallery: _Gallery
) -> Section:
    name = _pair_name(result, runs)
    section = Section(f"{PAIRED[command].capitalize()}: {name}")
    parts = [(result.get("of", PAIRED[command]), result)]
    if "action" in result:
        parts.append(("action token", result["action"]))
    for title, part in parts:
        rows = [
            [
                similarity.SHORT.get(metric, metric.replace("_", " ")),
                _known(value),
                _known(part["references"]["neighbour"][metric]),
                _known(part["references"]["shuffled"][metric]),
            ]
            for metric, value in part["metrics"].items()
        ]
        section.content.append(
            Table(
                ["metric", "A against B", "A, neighbouring frames", "A, shuffled frames"],
                rows,
                title,
            )
        )
        section.content.append(
            Table(
                ["threshold", "value", "verdict"],
                [
                    [f"{line['metric']} {line['rule']}", f"{line['value']:.3f}", line["verdict"]]
                    for line in part["thresholds"]
                ],
            )
        )
    if command == "context compare":
        section.content += gallery.draw(name, similarity.context_figures, result).values()
    else:
        section.content += gallery.draw(
            name, lambda shown: {"latents": inside.latents(shown)}, result
        ).values()
    return section


def _known(value: dict[str, Any]) -> str:
    if value["value"] is None or not np.isfinite(value["value"]):
        return "unknown"
    return _interval(value["value"], value["low"], value["high"])


def _provenance(runs: Sequence[Run], pairs: Sequence[tuple[str, dict]]) -> list[str | Table]:
    rows: list[list[str]] = []
    for run in runs:
        for command, result in run.results.items():
            rows.append(
                [
                    run.name,
                    command,
                    str(result.get("checkpoint") or result.get("best_checkpoint") or ""),
                    str(result.get("checkpoint_sha256") or "")[:16],
                    str(len(result["files"])) if isinstance(result.get("files"), dict) else "",
                    run.files[command].name,
                ]
            )
    content: list[str | Table] = [
        Table(["run", "command", "checkpoint", "SHA-256", "episodes", "result"], rows)
    ]
    files: dict[str, str] = {}
    for result in [r for run in runs for r in run.results.values()] + [r for _, r in pairs]:
        if isinstance(result.get("files"), dict):
            files.update(result["files"])
    if files:
        content.append(
            Table(
                ["episode", "SHA-256"],
                [[name, str(value)[:16]] for name, value in sorted(files.items())],
                "episodes used",
            )
        )
    return content
