"""A policy followed through an episode as it would drive: one prediction per frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mobile_vla_ros.analysis.recordings import AnalysisError, swap_sides
from mobile_vla_ros.sampling import command_rows
from mobile_vla_ros.stats.regression import regression_sums


@dataclass(frozen=True, eq=False)
class Trace:
    """Predicted and recorded velocities of one episode of T frames.

    Attributes:
        name: file name of the episode.
        scenario: its scenario.
        side: 'left', 'right' or None.
        instruction: what the policy was told.
        axes: names of the policy's outputs.
        stamps: float64 [T], seconds.
        predicted: float32 [T, chunk, dof], m/s and rad/s.
        normalised: float32 [T, chunk, dof], in [-1, 1].
        commands: float32 [T, dof], recorded, m/s and rad/s.
        truth: float32 [T, chunk, dof], the recorded command in force at each chunk step; NaN past
            the end of the episode.
        truth_normalised: float32 [T, chunk, dof], the same in [-1, 1].
        columns: every recorded column by name, float32 [T] each.
        swapped: normalised prediction [T, chunk, dof] with left and right exchanged in the
            instruction, or None.
    """

    name: str
    scenario: str
    side: str | None
    instruction: str
    axes: tuple[str, ...]
    stamps: np.ndarray
    predicted: np.ndarray
    normalised: np.ndarray
    commands: np.ndarray
    truth: np.ndarray
    truth_normalised: np.ndarray
    columns: dict[str, np.ndarray] = field(default_factory=dict)
    swapped: np.ndarray | None = None


def follow(policy, episode, *, instruction: str | None = None, swap: bool = True) -> Trace:
    """Streams an episode's frames through a policy, with their own stamps, as the robot would.

    Args:
        policy: a loaded policy with a driving head.
        episode: an open episode.
        instruction: what to tell the policy; None takes the episode's own.
        swap: stream a second time with left and right exchanged in the instruction.

    Raises:
        AnalysisError: the episode has no frames, no instruction, or lacks an axis of the policy.
    """
    told = instruction or episode.instruction
    config = policy.config
    if not told:
        raise AnalysisError(f"{episode.path} has no instruction; give one with --instruction")
    if len(episode) == 0:
        raise AnalysisError(f"{episode.path} has no frames")
    missing = [axis for axis in config.action_axes if axis not in episode.action_axes]
    if missing:
        raise AnalysisError(
            f"{episode.path} recorded {', '.join(episode.action_axes)} and not {missing[0]}, "
            "which the policy puts out"
        )
    other = swap_sides(told) if swap else None
    streams = [policy.stream(told)] + ([policy.stream(other)] if other else [])
    chunks: list[list] = [[] for _ in streams]
    stamps = np.asarray(episode.image_stamps, dtype=np.float64)
    if np.any(np.diff(stamps) <= 0):
        raise AnalysisError(f"{episode.path} has image stamps that do not ascend")
    for row, stamp in enumerate(stamps):
        image = episode.image(row)
        for stream, made in zip(streams, chunks, strict=True):
            made.append(stream.step(image, float(stamp)))
    predicted = np.stack([chunk.velocities for chunk in chunks[0]])
    commands = np.asarray(episode.velocities(config.action_axes), dtype=np.float32)
    rows = command_rows(stamps, stamps, config.action_period, predicted.shape[1])
    inside = (rows >= 0)[..., None]
    recorded = commands[np.maximum(rows, 0)]
    truth = np.where(inside, recorded, np.nan).astype(np.float32)
    truth_normalised = np.where(inside, config.normalise(recorded), np.nan).astype(np.float32)
    return Trace(
        name=episode.path.name,
        scenario=episode.scenario,
        side=episode.side,
        instruction=told,
        axes=tuple(config.action_axes),
        stamps=stamps,
        predicted=predicted,
        normalised=_normalised(chunks[0], config),
        commands=commands,
        truth=truth,
        truth_normalised=truth_normalised,
        columns={
            axis: np.asarray(episode.actions)[:, place]
            for place, axis in enumerate(episode.action_axes)
        },
        swapped=_normalised(chunks[1], config) if other else None,
    )


def _normalised(chunks: list, config) -> np.ndarray:
    return np.stack(
        [
            chunk.normalised
            if chunk.normalised is not None
            else config.normalise(chunk.velocities)
            for chunk in chunks
        ]
    )


def error_sums(predicted: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Additive error sums of a prediction; a truth that is NaN does not count."""
    return regression_sums(predicted, truth, ~np.isnan(truth))
