"""The table and the figure of `measure_corrections.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

ARMS = {"corrections": "blue", "demonstrations": "vermilion"}

Found = Sequence[dict[str, Any]]


def summary(found: Found) -> list[dict[str, Any]]:
    """Round by round what the arms came to, and whether that can be told apart.

    Means over training seeds come with 95 % intervals of Student's t; round 0 is one policy. Of
    matched drives (same seed, same field) count those that only one arm did well, by McNemar's
    exact test. Drives of several seeds in one field are no independent pairs, so the sign test
    over fields stands beside it: a field counts for the arm that did it with more seeds, or
    with fewer interventions.
    """
    rounds = sorted({one["round"] for one in found})
    return [_of_round([one for one in found if one["round"] == number]) for number in rounds]


def _of_round(found: Found) -> dict[str, Any]:
    row: dict[str, Any] = {"round": found[0]["round"]}
    for arm in dict.fromkeys((*ARMS, *(one["arm"] for one in found))):
        mine = [one for one in found if one["arm"] == arm]
        row[arm] = {
            "frames": [one.get("frames") for one in mine],
            "success": _mean([success_rate(one) for one in mine]),
            "interventions_per_100m": _mean([interventions(one) for one in mine]),
        }
    if row["round"]:
        row["paired"] = _paired(found)
    return row


def success_rate(one: dict[str, Any]) -> float:
    """The share of the drives alone that reached the bottle."""
    return sum(run["success"] for run in one["alone"]) / len(one["alone"])


def interventions(one: dict[str, Any]) -> float:
    """Takeovers per 100 m of the drives with the person beside."""
    metres = sum(run["path_length"] for run in one["beside"])
    return 100 * sum(run["interventions"] for run in one["beside"]) / metres


def _mean(values: list[float]) -> list[float | None]:
    from mobile_vla_ros.stats.crossed import mean_interval

    found = mean_interval(values)
    spread = (found.low, found.high)
    return [found.value, *(None if edge != edge else edge for edge in spread)]


def _paired(found: Found) -> dict[str, Any]:
    from mobile_vla_ros.stats.paired import mcnemar_exact

    arms = {(one["arm"], one["seed"]): one for one in found}
    seeds = sorted({one["seed"] for one in found})
    only = dict.fromkeys(ARMS, 0)
    reached = {arm: [0] * len(found[0]["alone"]) for arm in ARMS}
    taken = {arm: [0] * len(found[0]["beside"]) for arm in ARMS}
    for seed in seeds:
        pair = {arm: arms[arm, seed] for arm in ARMS}
        for field, runs in enumerate(zip(*(pair[arm]["alone"] for arm in ARMS), strict=True)):
            for arm, run, other in zip(ARMS, runs, reversed(runs), strict=True):
                only[arm] += run["success"] and not other["success"]
                reached[arm][field] += run["success"]
        for arm in ARMS:
            for field, run in enumerate(pair[arm]["beside"]):
                taken[arm][field] += run["interventions"]
    fields = {arm: _ahead(reached[arm], reached[other]) for arm, other in _both()}
    fewer = {arm: _ahead(taken[other], taken[arm]) for arm, other in _both()}
    return {
        "drives": len(seeds) * len(found[0]["alone"]),
        "only": only,
        "mcnemar_p": mcnemar_exact(*only.values()),
        "fields_ahead": fields,
        "sign_p": mcnemar_exact(*fields.values()),
        "fields_fewer_interventions": fewer,
        "interventions_sign_p": mcnemar_exact(*fewer.values()),
    }


def _both() -> list[tuple[str, str]]:
    first, second = ARMS
    return [(first, second), (second, first)]


def _ahead(one: list[int], other: list[int]) -> int:
    return sum(a > b for a, b in zip(one, other, strict=True))


def draw(found: Found, table: list[dict[str, Any]], picture: Path) -> None:
    """Success and interventions by round: thin lines are seeds, bold ones their means."""
    import matplotlib.pyplot as plt

    from mobile_vla_ros.plots.style import COLOURS, house_style, save_figure

    panels = (
        (lambda one: 100 * success_rate(one), "success", 100, "drives alone that reach it (%)"),
        (interventions, "interventions_per_100m", 1, "interventions per 100 m"),
    )
    with house_style():
        figure, axes = plt.subplots(1, len(panels), figsize=(6.4, 2.8))
        for axis, (value, key, scale, title) in zip(axes, panels, strict=True):
            for arm, colour in ARMS.items():
                for seed in sorted({one["seed"] for one in found} - {0}):
                    mine = [one for one in found if one["arm"] == arm and one["seed"] in (0, seed)]
                    points = [(one["round"], value(one)) for one in mine]
                    axis.plot(*zip(*points, strict=True), color=COLOURS[colour], lw=0.7, alpha=0.5)
                means = [(row["round"], scale * row[arm][key][0]) for row in table]
                axis.plot(
                    *zip(*means, strict=True), "o-", color=COLOURS[colour], lw=2, ms=4, label=arm
                )
            axis.set(title=title, xlabel="round", xticks=[row["round"] for row in table])
            axis.set_ylim(bottom=0)
        axes[0].legend(frameon=False, loc="lower right")
        save_figure(figure, picture)
