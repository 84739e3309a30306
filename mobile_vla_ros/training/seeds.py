"""One row run with several seeds: where each is kept, and that none runs twice."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mobile_vla_ros.training.experiments import Experiment, read_result, result_file
from mobile_vla_ros.training.run_schema import RunError

SEEDS = "seeds"
# A result's RMSE on each held-out episode, by the SHA-256 of the file.
EPISODE_ERRORS = "episode_errors"


def seed_runs(runs: str | Path, seed: int) -> Path:
    """The folder of runs of one seed: a whole folder of runs, as without seeds."""
    return Path(runs) / SEEDS / str(seed)


def seed_overrides(row: Experiment, seed: int) -> dict[str, Any]:
    """What makes a row's run that of a seed; the held-out episodes stay those of the row."""
    data = row.run.get("train_dataset") or {}
    split = data.get("split_seed")
    kept = row.run.get("seed", 0) if split is None else split
    return {"seed": seed, "train_dataset": {"split_seed": kept}}


def results_by_seed(
    runs: str | Path, row: Experiment, small: bool
) -> dict[int, Mapping[str, Any]]:
    """What every seed of a row has measured, those that are done.

    Raises:
        RunError: a result is damaged.
    """
    found: dict[int, Mapping[str, Any]] = {}
    folder = Path(runs) / SEEDS
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    for seed in sorted(int(name) for name in names if name.isdecimal()):
        result = read_result(seed_runs(runs, seed), row, small)
        if result is not None:
            found[seed] = result
    return found


@contextlib.contextmanager
def alone(runs: str | Path, row: Experiment, small: bool) -> Iterator[None]:
    """Holds a row's folder while it is run, so that no other process runs the same seed.

    Raises:
        RunError: another process holds it, or the folder cannot be made.
    """
    folder = result_file(runs, row, small).parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / ".running").open("w")
    except OSError as error:
        raise RunError(f"cannot write to {folder}: {error.strerror}.") from error
    with handle:
        try:
            # The system lets go of it however the process ends.
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{folder} is being run by another process; let it end.") from error
        yield
