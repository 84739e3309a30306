"""What the policy uses: velocities with tokens, frames or the instruction taken away.

Taken away means replaced by the average over all frames looked at: a zero vector is something
the text model has never seen, and would measure surprise instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from mobile_vla_ros.analysis.attention import token_maps
from mobile_vla_ros.analysis.recordings import AnalysisError, Progress, silent
from mobile_vla_ros.analysis.windows import Window, episode_labels
from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.stats.bootstrap import bootstrap_sums

QUADRANTS = ("upper left", "upper right", "lower left", "lower right")


def ablate(
    policy,
    windows: Sequence[Window],
    *,
    instruction: str | None = None,
    seed: int = 0,
    resamples: int = 1000,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Measures the change of the newest frame's first velocity step for each thing taken away.

    Args:
        policy: a policy with an action head; a 7-DoF head is measured in normalised units only.
        windows: the windows to look at.
        instruction: overrides the episodes' own.
        seed: of the bootstrap.
        resamples: of the bootstrap.
        progress: shows how far it is.

    Returns:
        A JSON-ready dictionary: ``tokens``, ``groups``, ``frames`` and ``instruction`` with the
        RMS change in normalised units, and ``map``, the tokens' importance laid over the frame
        ``example`` by where each latent query looks in it (16 x 16).

    Raises:
        AnalysisError: no action head, or a window without instruction.
    """
    if policy.config.head is None:
        raise AnalysisError(
            f"{policy.provenance.source} has no action head, so no velocity can change"
        )
    labels = episode_labels(windows)
    average = _average_context(policy, windows, progress)
    tokens, length = len(average), len(windows[0].rows)
    measured: list[dict[str, np.ndarray]] = []
    looks: np.ndarray | None = None
    for window in progress(windows, "ablating"):
        told = instruction or window.instruction
        if not told:
            raise AnalysisError(f"{window.path} has no instruction; give one with --instruction")
        context, where = _context(policy, window, told)
        # Where a query looks moves with the image, so the map belongs to one frame.
        looks = where[-1] if looks is None else looks
        measured.append(_changes(policy, told, context, average, _quadrants(where.mean(axis=0))))
    assert looks is not None
    effects = _Effects(measured, labels, policy.config.action_axes, seed, resamples)
    single = [effects.of(f"token {token}") for token in range(tokens)]
    importance = np.array([entry["rms_change"] for entry in single])
    drawn = np.tensordot(importance, looks, axes=1)
    groups = [f"group {name}" for name in (*QUADRANTS, "all image tokens")]
    result = {
        "command": "context ablate",
        "checkpoint": str(policy.provenance.source),
        "checkpoint_sha256": policy.provenance.sha256,
        "windows": len(windows),
        "episodes": int(labels.max()) + 1,
        "replaced_by": "the average over all frames looked at",
        "unit": "normalised velocity, first chunk step, RMS over axes (range 2)",
        "tokens": single,
        "groups": [effects.of(name) for name in groups if effects.has(name)],
        "frames": [effects.of(f"frame {frame}") for frame in range(length)],
        "instruction": effects.of("instruction"),
        "map": np.round(drawn, 8).tolist(),
        "example": {"path": windows[0].path, "row": windows[0].rows[-1]},
        "files": {window.episode: window.sha256 for window in windows},
    }
    result["conclusion"] = conclude(result)
    return result


def _changes(
    policy, told: str, context: torch.Tensor, average: torch.Tensor, quadrant: np.ndarray
) -> dict[str, np.ndarray]:
    """How one window's velocity changes for each thing taken away, float64 [dof] each."""
    features = policy.encode_frames(None, told, context=context)
    base = _act(policy, features)
    changes: dict[str, np.ndarray] = {}
    for token in range(len(average)):
        masked = _masked(policy, told, context, average, [token])
        changes[f"token {token}"] = _act(policy, masked) - base
    for place, name in enumerate(QUADRANTS):
        group = np.flatnonzero(quadrant == place)
        if len(group):
            masked = _masked(policy, told, context, average, group)
            changes[f"group {name}"] = _act(policy, masked) - base
    everything = _masked(policy, told, context, average, np.arange(len(average)))
    changes["group all image tokens"] = _act(policy, everything) - base
    for frame in range(len(features)):
        mixed = features.clone()
        mixed[frame] = everything[frame]
        changes[f"frame {frame}"] = _act(policy, mixed) - base
    silent_features = policy.encode_frames(None, "", context=context)
    changes["instruction"] = _act(policy, silent_features) - base
    return changes


@dataclass(frozen=True)
class _Effects:
    """Changes of all windows, and their size with an interval over episodes."""

    measured: Sequence[dict[str, np.ndarray]]
    labels: np.ndarray
    axes: Sequence[str]
    seed: int
    resamples: int

    def has(self, name: str) -> bool:
        return any(name in changes for changes in self.measured)

    def of(self, name: str) -> dict[str, Any]:
        present = [place for place, row in enumerate(self.measured) if name in row]
        signed = [self.measured[place][name] for place in present]
        squares = [float((change**2).mean()) for change in signed]
        of_episode = self.labels[present]
        sums = np.zeros((len(self.labels), 2))
        for square, episode in zip(squares, of_episode, strict=True):
            sums[episode] += square, 1
        sums = sums[np.unique(of_episode)]
        found = bootstrap_sums(
            sums,
            lambda total: np.sqrt(total[..., 0] / total[..., 1]),
            np.random.default_rng([self.seed, 41]),
            resamples=self.resamples,
        )
        entry = {"name": name, "rms_change": found.value, "low": found.low, "high": found.high}
        mean = np.mean(signed, axis=0).tolist()
        entry["mean_change"] = dict(zip(self.axes, mean, strict=True))
        entry["windows"] = len(present)
        return entry


def conclude(result: dict[str, Any]) -> str:
    """One sentence on what moves the velocities."""
    image = next(g for g in result["groups"] if g["name"] == "group all image tokens")
    text = result["instruction"]
    newest, oldest = result["frames"][-1], result["frames"][0]
    return (
        f"Over {result['episodes']} episodes the first velocity step changes by "
        f"{image['rms_change']:.3f} (RMS, of a range of 2) without the image, by "
        f"{text['rms_change']:.3f} without the instruction, by {newest['rms_change']:.3f} without "
        f"the newest frame and by {oldest['rms_change']:.3f} without the oldest."
    )


def _average_context(policy, windows: Sequence[Window], progress: Progress) -> torch.Tensor:
    total: torch.Tensor | None = None
    frames = 0
    for window in progress(windows, "averaging"):
        with open_episode(window.path) as episode:
            pixels = policy.preprocess(episode.images(window.rows))
        context = policy.encode_images(pixels)
        total = context.sum(dim=0) if total is None else total + context.sum(dim=0)
        frames += len(context)
    assert total is not None
    return total / frames


def _context(policy, window: Window, instruction: str) -> tuple[torch.Tensor, np.ndarray]:
    with open_episode(window.path) as episode:
        pixels = policy.preprocess(episode.images(window.rows))
    maps = policy.attention(pixels, instruction)
    return policy.encode_images(pixels), token_maps(maps)


def _masked(policy, instruction: str, context, average, tokens) -> torch.Tensor:
    changed = context.clone()
    chosen = torch.as_tensor(np.asarray(tokens), device=context.device)
    changed[:, chosen] = average[chosen]
    return policy.encode_frames(None, instruction, context=changed)


def _act(policy, features: torch.Tensor) -> np.ndarray:
    """The newest frame's first step, normalised: float64 [dof]."""
    return policy.decode(features[None])[0, -1, 0].double().cpu().numpy()


def _quadrants(maps: np.ndarray) -> np.ndarray:
    """Quadrant in which each token looks most: int [tokens]."""
    grid = maps.shape[-1]
    half = grid // 2
    mass = [
        maps[:, rows, columns].sum(axis=(1, 2))
        for rows in (slice(0, half), slice(half, grid))
        for columns in (slice(0, half), slice(half, grid))
    ]
    return np.argmax(mass, axis=0)
