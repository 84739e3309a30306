"""Windows of frames to context vectors and action features, here or in other processes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from mobile_vla_ros.analysis.recordings import AnalysisError
from mobile_vla_ros.analysis.windows import Window
from mobile_vla_ros.episodes import open_episode


@dataclass(frozen=True)
class Others:
    """Who encodes instead of this process; see `spreading.spread`.

    Attributes:
        loading: the arguments of `load_policy`.
        workers: processes here.
        on: "here" or "ray".
    """

    loading: tuple[Any, ...]
    workers: int
    on: str


def encode_window(
    policy, window: Window, prompt: str, batch: int, cache: dict, has_action: bool
) -> dict:
    """Context and action feature of every frame of the window; overlapping frames are kept."""
    keys = [(window.sha256, row, prompt) for row in window.rows]
    kept = {key: cache[key] for key in keys if key in cache}
    missing = [row for row, key in zip(window.rows, keys, strict=True) if key not in kept]
    if not missing:
        return kept
    if has_action and not prompt:
        raise AnalysisError(
            f"{window.path} has no instruction for the action token; give --instruction"
        )
    with open_episode(window.path) as episode, torch.inference_mode():
        for start in range(0, len(missing), batch):
            rows = missing[start : start + batch]
            pixels = policy.preprocess(episode.images(rows))
            context = policy.encode_images(pixels)
            action = policy.encode_frames(None, prompt, context=context) if has_action else None
            context = context.float().cpu().numpy()
            action = action.float().cpu().numpy() if action is not None else None
            if not np.isfinite(context).all() or np.abs(context).max() > 65504:
                raise AnalysisError(
                    f"the context of {window.path} has values that float16 cannot hold; the "
                    "checkpoint or its dtype is at fault"
                )
            for place, row in enumerate(rows):
                kept[(window.sha256, row, prompt)] = (
                    context[place],
                    action[place] if action is not None else None,
                )
    return kept


def of_window(
    window: Window, prompt: str, cache: dict[tuple[str, int, str], tuple]
) -> tuple[np.ndarray, list]:
    """A window's context, float32 [frames, tokens, D], and its action features, out of a cache."""
    rows = [cache[(window.sha256, row, prompt)] for row in window.rows]
    return np.stack([row[0] for row in rows]), [row[1] for row in rows]


def encode_share(
    loading: tuple[Any, ...],
    share: list[tuple[int, Window]],
    instruction: str | None,
    batch: int,
    has_action: bool,
) -> list[tuple[int, tuple[np.ndarray, list]]]:
    """The windows of one episode, in the same batches as one process would take.

    Args:
        loading: the arguments of `load_policy`.
        share: place in the extraction, and window.
        instruction: the prompt; None takes each episode's own.
        batch: frames at a time.
        has_action: the policy has an action token.

    Returns:
        Place, and what `of_window` gives.
    """
    policy = _policy(loading)
    cache: dict[tuple[str, int, str], tuple] = {}
    found = []
    for place, window in share:
        prompt = instruction or window.instruction
        cache = encode_window(policy, window, prompt, batch, cache, has_action)
        found.append((place, of_window(window, prompt, cache)))
    return found


@lru_cache(maxsize=1)
def _policy(loading: tuple[Any, ...]) -> Any:
    from mobile_vla_ros.policy import load_policy

    return load_policy(*loading)
