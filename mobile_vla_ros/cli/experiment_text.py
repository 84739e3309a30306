"""The table of experiments as LaTeX and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mobile_vla_ros import files
from mobile_vla_ros.errors import InputError

COLUMNS = ("id", "title", "seeds", "metric", "mean", "low", "high", "target")
_SPECIAL = {c: f"\\{c}" for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\~{}",
    "^": r"\^{}",
}


def lines(rows: Sequence[dict[str, Any]]) -> list[list[Any]]:
    """One line a metric of each row that measured something, as `COLUMNS`."""
    found = []
    for row in rows:
        for name, value in row["metrics"].items():
            target = " ".join(f"{word} {n:g}" for word, n in row["targets"].get(name, {}).items())
            numbers = [value[key] for key in ("mean", "low", "high")]
            found.append([row["id"], row["title"], row["seeds"], name, *numbers, target])
    return found


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Comma-separated, with a heading; a number that there is not is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(lines(rows))
    return text.getvalue()


def as_latex(rows: Sequence[dict[str, Any]], differences: Sequence[dict[str, Any]]) -> str:
    """A tabular (booktabs) of the rows, and one of the differences where there are any."""
    head = r"row & metric & mean & 95\,\% interval & seeds & target \\"
    body = [
        [row, metric, _number(mean), _span(low, high), str(seeds), target]
        for row, _, seeds, metric, mean, low, high, target in lines(rows)
    ]
    text = _tabular("llrrrl", head, body)
    if differences:
        head = r"row & against & difference & 95\,\% interval & seeds & episodes & \\"
        body = [
            [
                found["first"],
                found["second"],
                _number(found["mean"]),
                _span(found["low"], found["high"]),
                str(found["seeds"]),
                str(found["episodes"]),
                found["verdict"],
            ]
            for found in differences
        ]
        text += "\n" + _tabular("llrrrrl", head, body)
    return text


def write(path: Path, text: str) -> None:
    """Writes the text whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    try:
        files.write_text(path, text)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error


def _tabular(columns: str, head: str, body: Sequence[Sequence[str]]) -> str:
    rows = [" & ".join(map(_escaped, cells)) + r" \\" for cells in body]
    begin, end = rf"\begin{{tabular}}{{{columns}}}", r"\end{tabular}"
    return "\n".join([begin, r"\toprule", head, r"\midrule", *rows, r"\bottomrule", end, ""])


def _escaped(text: str) -> str:
    return "".join(_SPECIAL.get(character, character) for character in text)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _span(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.3g} to {high:.3g}"
