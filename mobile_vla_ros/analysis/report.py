"""Everything measured on several runs side by side in one HTML file, and what was not."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobile_vla_ros import __version__
from mobile_vla_ros.analysis.gallery import DRAWN, Gallery
from mobile_vla_ros.analysis.results import PAIRED, Run, not_measured, read_runs
from mobile_vla_ros.analysis.summary import interval, known, summary_rows
from mobile_vla_ros.plots import inside, similarity
from mobile_vla_ros.plots.page import Picture, Section, Table, write_page


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
    gallery = Gallery(Path(figures) if figures else out.with_name(f"{out.stem}_figures"))
    rows = summary_rows(runs)
    conclusions = _conclusions(runs, pairs)
    missing = not_measured(runs, pairs)
    names = [run.name for run in runs]
    sections = [
        _side_by_side(names, rows),
        Section(
            "Conclusions",
            [Table(["of", "from", "says"], conclusions, "generated from the numbers")],
        ),
        *_drawn_sections(runs, gallery),
        *(_pair_section(command, result, runs, gallery) for command, result in pairs),
        Section("Not measured", [Table(["run", "what", "why"], missing)]),
        Section("Provenance", _provenance(runs, pairs)),
    ]
    lead = " ".join(f"{of}: {text}" for of, command, text in conclusions if command == "verify")
    footer = f"mobile_vla_ros {__version__}, Python {platform.python_version()}"
    write_page(out, "Evidence: " + ", ".join(names), sections, lead=lead, footer=footer)
    return {
        "command": "report",
        "report": str(out),
        "runs": names,
        "table": [dict(zip(["measure", *names], row, strict=True)) for row in rows],
        "conclusions": [
            dict(zip(("of", "from", "says"), item, strict=True)) for item in conclusions
        ],
        "not_measured": [dict(zip(("run", "what", "why"), row, strict=True)) for row in missing],
        "figures": [str(path) for path in gallery.made],
    }


def _conclusions(
    runs: Sequence[Run], pairs: Sequence[tuple[str, dict]]
) -> list[tuple[str, str, str]]:
    """Of whom, from which command, what it says."""
    found = [
        (run.name, command, result["conclusion"])
        for run in runs
        for command, result in run.results.items()
        if isinstance(result.get("conclusion"), str)
    ]
    return found + [
        (_pair_name(result, runs), command, result["conclusion"]) for command, result in pairs
    ]


def _side_by_side(names: Sequence[str], rows: list[list[str | None]]) -> Section:
    if not rows:
        return Section("Side by side", ["No run was measured by itself."])
    said = "95 % intervals in brackets; an empty cell was not measured"
    return Section("Side by side", [Table(["measure", *names], rows, said)])


def _drawn_sections(runs: Sequence[Run], gallery: Gallery) -> list[Section]:
    """One section per kind of result that some run has."""
    sections = []
    for title, command, draw in DRAWN:
        section = Section(title)
        measured = [run for run in runs if command in run.results]
        drawn = [gallery.draw(run.name, draw, run.results[command]) for run in measured]
        # The same figure of every run stands side by side.
        for kind in dict.fromkeys(name for pictures in drawn for name in pictures):
            section.content += [pictures[kind] for pictures in drawn if kind in pictures]
        for run in measured:
            section.content += _remarks(command, run)
        if section.content:
            sections.append(section)
    return sections


def _remarks(command: str, run: Run) -> list[str | Table]:
    result = run.results[command]
    remarks: list[str | Table] = []
    if command == "verify":
        if "note" in result.get("axes", {}):
            remarks.append(f"{run.name}: {result['axes']['note']}.")
        rows = [
            [name, v["episodes"], v["frames"],
             interval(v["rmse_normalised_step0"], v["low"], v["high"])]
            for name, v in result["by_scenario"].items()
        ]  # fmt: skip
        remarks.append(
            Table(["scenario", "episodes", "frames", "RMSE (normalised)"], rows, run.name)
        )
    if command == "context attention":
        remarks.append(result["note"] + ".")
    return remarks


def _pair_name(result: dict[str, Any], runs: Sequence[Run]) -> str:
    names: dict[str, str] = {}
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
    command: str, result: dict[str, Any], runs: Sequence[Run], gallery: Gallery
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
                known(value),
                known(part["references"]["neighbour"][metric]),
                known(part["references"]["shuffled"][metric]),
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


def _provenance(
    runs: Sequence[Run], pairs: Sequence[tuple[str, dict]]
) -> list[str | Table | Picture]:
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
    content: list[str | Table | Picture] = [
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
