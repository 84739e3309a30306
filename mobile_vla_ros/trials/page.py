"""The trial report as figures and as one HTML file."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mobile_vla_ros.plots.page import Picture, Section, Table, write_page
from mobile_vla_ros.plots.style import save_figure
from mobile_vla_ros.plots.trials import RateBar, draw_lost_time, draw_paths, draw_rates
from mobile_vla_ros.trials.record import TrialRecord
from mobile_vla_ros.trials.report import Rate, TrialReport


def write_trial_figures(
    report: TrialReport,
    trials: Sequence[tuple[TrialRecord, str]],
    path: str | Path,
    target: float | None = None,
) -> list[Path]:
    """Draws the report's figures.

    Args:
        report: from ``report_trials``.
        trials: every record with its checkpoint's name (codes of a blind plan resolved).
        path: the PNG of the success rates; ``-paths`` and ``-lost-time`` are added to its name
            for the other two, which are drawn when there is something to draw.
        target: success rate to be reached.

    Returns:
        The files written, success rates first.
    """
    first = Path(path)
    bars = [_bar(rate) for rate in report.checkpoints + report.by_scenario if rate.trials]
    written = [save_figure(draw_rates(bars, target), first)] if bars else []
    paths: dict[str, list[tuple[np.ndarray, str, bool]]] = {}
    for record, name in trials:
        if record.counts and len(record.path) > 1:
            paths.setdefault(record.scenario, []).append(
                (np.array(record.path), name, record.success)
            )
    if paths:
        written.append(
            save_figure(
                draw_paths(paths, order=[rate.name for rate in report.checkpoints]),
                first.with_name(f"{first.stem}-paths{first.suffix}"),
            )
        )
    if any(value for times in report.lost_time.values() for value in times.values()):
        written.append(
            save_figure(
                draw_lost_time(report.lost_time),
                first.with_name(f"{first.stem}-lost-time{first.suffix}"),
            )
        )
    return written


def write_trial_page(
    report: TrialReport,
    trials: Sequence[tuple[TrialRecord, str]],
    path: str | Path,
    target: float | None = None,
    source: str = "",
) -> Path:
    """Writes the whole report as one self-contained HTML file (see ``write_trial_figures``)."""
    captions = {
        "": "Success rates with Wilson 95 % intervals",
        "-paths": "Paths from above; the robot starts at (0, 0) facing up",
        "-lost-time": "Time without motion, by who caused it",
    }
    with tempfile.TemporaryDirectory() as folder:
        figures = write_trial_figures(report, trials, Path(folder) / "rates.png", target)
        pictures = [
            Picture(figure, captions[figure.stem.removeprefix("rates")]) for figure in figures
        ]
        causes = [
            (name, cause, count)
            for name, counts in report.failures.items()
            for cause, count in counts.items()
        ]
        sections = [
            Section(
                "Success",
                [_rates_table(report.checkpoints), *pictures[:1]],
            ),
            Section("By scenario", [_rates_table(report.by_scenario)]),
            Section(
                "Comparison of checkpoints",
                [comparison.sentence for comparison in report.comparisons]
                or [report.comparison.sentence],
            ),
            Section(
                "Failures by cause",
                [Table(("checkpoint", "cause", "trials"), causes)] if causes else ["None."],
            ),
            Section(
                "Lost time",
                [
                    Table(
                        ("checkpoint", *next(iter(report.lost_time.values()), {})),
                        [
                            (name, *(f"{seconds:.1f}" for seconds in times.values()))
                            for name, times in report.lost_time.items()
                        ],
                        "seconds without motion, all trials together",
                    ),
                    *[p for p in pictures if p.path.stem.endswith("lost-time")],
                ],
            ),
            Section("Paths", [p for p in pictures if p.path.stem.endswith("paths")]),
            _shadow_section(report),
            Section("Every trial", [_trials_table(trials)]),
        ]
        if report.not_counted:
            words = ", ".join(f"{count} {kind}" for kind, count in report.not_counted.items())
            sections[0].content.append(f"Not counted: {words}.")
        return write_page(
            path,
            "Field trial report",
            [section for section in sections if section.content],
            lead=report.comparison.sentence,
            footer=f"From {source}, {time.strftime('%Y-%m-%d %H:%M')}",
        )


def _bar(rate: Rate) -> RateBar:
    label = rate.name if rate.scenario is None else f"{rate.scenario}, {rate.name}"
    return RateBar(
        label, rate.success_rate or 0.0, *rate.wilson, rate.successes, rate.trials, rate.name
    )


def _rates_table(rates: Sequence[Rate]) -> Table:
    return Table(
        (
            "scenario",
            "checkpoint",
            "trials",
            "successes",
            "rate",
            "95 % interval",
            "driving time (s)",
            "path (m)",
            "takeovers",
        ),
        [
            (
                rate.scenario or "all",
                rate.name,
                rate.trials,
                rate.successes,
                None if rate.success_rate is None else f"{rate.success_rate:.0%}",
                f"{rate.wilson[0]:.0%} to {rate.wilson[1]:.0%}",
                None if rate.driving_time is None else f"{rate.driving_time:.1f}",
                None if rate.path_length is None else f"{rate.path_length:.2f}",
                rate.interventions,
            )
            for rate in rates
        ],
        "driving time and path: means over successful trials",
    )


def _shadow_section(report: TrialReport) -> Section:
    if not report.shadow:
        return Section("Shadow driving")
    columns = list(dict.fromkeys(key for row in report.shadow for key in row))
    return Section(
        "Shadow driving",
        [
            "A person drove and the policy only watched; shares of frames in which both agreed.",
            Table(columns, [[_cell(row.get(key)) for key in columns] for row in report.shadow]),
        ],
    )


def _cell(value: object) -> object:
    return f"{value:.2f}" if isinstance(value, float) else value


def _trials_table(trials: Sequence[tuple[TrialRecord, str]]) -> Table:
    return Table(
        ("trial", "scenario", "checkpoint", "outcome", "cause", "time (s)", "path (m)", "note"),
        [
            (
                record.trial,
                record.scenario,
                name,
                record.outcome + (" (shadow)" if record.shadow else ""),
                record.cause,
                f"{record.driving_time:.1f}",
                f"{record.path_length:.2f} ({record.path_source})",
                record.note,
            )
            for record, name in trials
        ],
    )
