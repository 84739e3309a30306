"""Where the policy looks: attention of the action token and of the projection over the image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mobile_vla_ros.analysis.recordings import AnalysisError, Progress, silent
from mobile_vla_ros.analysis.windows import Window
from mobile_vla_ros.episodes import open_episode

# Sequence places of the text model: <s> first, then the image tokens.
FIRST_IMAGE_TOKEN = 1


def token_maps(attention) -> np.ndarray:
    """Where each latent query looks: float32 [N, tokens, G, G], each map summing to 1 or less.

    G is 16 for Kosmos-2 (224 pixels in patches of 14). The rest of a query's attention goes to
    the class token and to the queries themselves.
    """
    weights = attention.projection.mean(dim=1).cpu().numpy()
    count, tokens, keys = weights.shape
    # Keys are the class token, the patches row by row, and the queries.
    grid = math.isqrt(keys - tokens - 1)
    return weights[:, :, 1 : 1 + grid * grid].reshape(count, tokens, grid, grid)


def action_on_tokens(attention, tokens: int) -> np.ndarray:
    """The action token's attention to each image token: [N, tokens], mean of layers and heads."""
    layers = [layer.mean(dim=(1, 2)).cpu().numpy() for layer in attention.action]
    return np.mean(layers, axis=0)[:, FIRST_IMAGE_TOKEN : FIRST_IMAGE_TOKEN + tokens]


def look(
    policy,
    windows: Sequence[Window],
    *,
    instruction: str | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """Attention maps on the newest frame of each window.

    Returns:
        A JSON-ready dictionary; ``frames`` holds one entry per window with two maps over the
        patches (16 x 16): ``action`` (the action token's attention carried through the latent
        queries to the patches) and ``projection`` (mean of all latent queries).

    Raises:
        AnalysisError: the checkpoint has no action token.
    """
    if policy.config.head is None:
        raise AnalysisError(
            f"{policy.provenance.source} has no action token whose attention could be drawn"
        )
    tokens = policy.model.backbone.config.latent_query_num
    frames, layers = [], []
    for window in progress(windows, "looking"):
        told = instruction or window.instruction
        if not told:
            raise AnalysisError(f"{window.path} has no instruction; give one with --instruction")
        with open_episode(window.path) as episode:
            image = episode.image(window.rows[-1])
        maps = policy.attention(policy.preprocess(image[None]), told)
        queries = token_maps(maps)[0]
        action = action_on_tokens(maps, tokens)[0]
        share = float(action.sum())
        frames.append(
            {
                "path": window.path,
                "episode": window.episode,
                "row": window.rows[-1],
                "action": np.round(np.tensordot(action, queries, axes=1), 6).tolist(),
                "projection": np.round(queries.mean(axis=0), 6).tolist(),
                "action_on_tokens": np.round(action, 6).tolist(),
                "share_on_image": share,
            }
        )
        layers.append(
            [
                float(
                    layer.mean(dim=(0, 1, 2))[FIRST_IMAGE_TOKEN : FIRST_IMAGE_TOKEN + tokens].sum()
                )
                for layer in maps.action
            ]
        )
    return {
        "command": "context attention",
        "checkpoint": str(policy.provenance.source),
        "checkpoint_sha256": policy.provenance.sha256,
        "frames": frames,
        "files": {window.episode: window.sha256 for window in windows},
        "share_on_image": float(np.mean([frame["share_on_image"] for frame in frames])),
        "share_on_image_by_layer": np.mean(layers, axis=0).tolist(),
        "note": "attention says where information may come from, not that it is used; "
        "`context ablate` measures use",
    }
