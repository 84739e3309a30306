"""Which rows of an episode make a training window, and which commands are its labels.

Time decides, not row numbers: frame s+1 is the row one `frame_period` after frame s by its stamp,
and chunk step k is the command in force k x `action_period` after the frame. So an episode
recorded at 10 Hz and one with a row per step give the same windows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mobile_vla_ros.sampling import chains, command_rows


@dataclass(frozen=True)
class EpisodeSamples:
    """Every training window of one episode.

    Attributes:
        rows: int64 [F], the episode's rows that some window uses, in order of time.
        chunks: float32 [F, chunk, dof], the commands after each of those rows, m/s and rad/s.
        mask: bool [F, chunk], False where the command is not known (past the end, in a gap).
        windows: int64 [N, window], indices into `rows`, oldest frame first.
        weights: float32 [F], how much each row counts in the loss; None: all alike.
    """

    rows: np.ndarray
    chunks: np.ndarray
    mask: np.ndarray
    windows: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.windows)


def episode_samples(
    stamps: np.ndarray,
    velocities: np.ndarray,
    *,
    window_size: int,
    chunk_size: int,
    frame_period: float,
    action_period: float,
    every_row: bool = False,
) -> EpisodeSamples:
    """Picks the windows and chunk labels of one episode.

    Args:
        stamps: float64 [T], capture time of each row's frame in seconds, rising.
        velocities: float32 [T, dof], the command that each row carries, m/s and rad/s.
        window_size: frames in a window.
        chunk_size: commands in a label.
        frame_period: seconds between a window's frames.
        action_period: seconds between a chunk's commands.
        every_row: True lets a window start at any row; False only at rows a whole number of
            frame periods after the first, so that a faster recording gives no extra windows.

    Returns:
        The windows; none when the episode is shorter than one window.
    """
    stamps = np.asarray(stamps, dtype=np.float64)
    velocities = np.asarray(velocities, dtype=np.float32)
    runs = [run for run in chains(stamps, frame_period, every_row) if len(run) >= window_size]
    rows = np.unique(np.concatenate(runs)) if runs else np.empty(0, dtype=np.int64)
    place = {int(row): index for index, row in enumerate(rows)}
    windows = [
        [place[int(row)] for row in run[start : start + window_size]]
        for run in runs
        for start in range(len(run) - window_size + 1)
    ]
    if every_row and windows:
        windows = [list(window) for window in sorted({tuple(window) for window in windows})]
    chunks, mask = command_chunks(
        stamps, velocities, stamps[rows], chunk_size=chunk_size, action_period=action_period
    )
    return EpisodeSamples(
        rows=rows,
        chunks=chunks,
        mask=mask,
        windows=np.asarray(windows, dtype=np.int64).reshape(-1, window_size),
    )


def command_chunks(
    stamps: np.ndarray,
    velocities: np.ndarray,
    times: np.ndarray,
    *,
    chunk_size: int,
    action_period: float,
) -> tuple[np.ndarray, np.ndarray]:
    """The commands in force at `times + k * action_period`; `sampling.command_rows` says which.

    Args:
        stamps: float64 [T], rising, seconds.
        velocities: float32 [T, dof].
        times: float64 [N], seconds.
        chunk_size: commands per chunk.
        action_period: seconds between them.

    Returns:
        chunks float32 [N, chunk, dof] and mask bool [N, chunk]; masked commands are 0.
    """
    rows = command_rows(stamps, times, action_period, chunk_size)
    known = rows >= 0
    chunks = np.where(known[..., None], velocities[np.maximum(rows, 0)], np.float32(0))
    return chunks.astype(np.float32), known


def split_episodes(
    sources: list[str], train_split: float, seed: int
) -> tuple[list[int], list[int]]:
    """Splits episodes, never frames, into training and validation.

    Args:
        sources: one name per episode; episodes of one source (copies of one recording) stay
            together.
        train_split: share of the sources for training, 0 to 1.
        seed: the same seed and sources give the same split, in whatever order they are listed.

    Returns:
        Indices of the training episodes and of the validation episodes. With two sources or
        more and a share below 1, neither is empty.
    """
    names = sorted(set(sources))
    order = np.random.default_rng(seed).permutation(len(names))
    count = round(train_split * len(names))
    if train_split < 1 and len(names) > 1:
        count = min(max(count, 1), len(names) - 1)
    chosen = {names[index] for index in order[:count]}
    train = [index for index, name in enumerate(sources) if name in chosen]
    validation = [index for index, name in enumerate(sources) if name not in chosen]
    return train, validation
