"""Context vectors of many windows on disk: streamed, resumable, with where they came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from mobile_vla_ros.analysis.encoding import Others, encode_share, of_window
from mobile_vla_ros.analysis.encoding import encode_window as _encode
from mobile_vla_ros.analysis.recordings import (
    AnalysisError,
    Progress,
    Recordings,
    find_recordings,
    silent,
)
from mobile_vla_ros.analysis.windows import Window, choose_windows
from mobile_vla_ros.files import write_json
from mobile_vla_ros.spreading import spread
from mobile_vla_ros.stats.moments import Moments

FORMAT = 1
LARGEST_BATCH = 32


@dataclass(frozen=True, eq=False)
class Extraction:
    """An extraction on disk; the arrays are memory-mapped and read-only.

    Attributes:
        directory: where it lies.
        context: float16 [windows, frames, tokens, D], image context.
        action: float16 [windows, frames, latent, D], hidden state at the action token; None for
            a backbone without one.
        windows: what each row of the arrays shows.
        summary: shape, statistics and provenance (``context.json``).
    """

    directory: Path
    context: np.ndarray
    action: np.ndarray | None
    windows: list[Window]
    summary: dict[str, Any]

    @property
    def name(self) -> str:
        """The checkpoint's file name."""
        return Path(self.summary["checkpoint"]).name


def extract(
    policy,
    data: Sequence[str | Path],
    directory: str | Path,
    *,
    windows: Sequence[Window] | None = None,
    window_size: int | None = None,
    per_episode: int = 1,
    instruction: str | None = None,
    batch: int | None = None,
    limit: int | None = None,
    progress: Progress = silent,
    others: Others | None = None,
) -> Extraction:
    """Writes the context of chosen windows to ``directory``; continues what was begun there.

    Memory holds one batch of frames and the pages that are being written, whatever the number of
    episodes. The statistics are computed in float64 from float32 values, before they are rounded
    to float16.

    Args:
        policy: a loaded policy; a head is not needed.
        data: episode files or folders; ignored when ``windows`` is given.
        directory: made when it is not there.
        windows: windows chosen before, so that another model sees the same frames.
        window_size: frames per window; None takes the policy's.
        per_episode: windows per episode, evenly spaced; 1 takes the first, 0 all.
        instruction: the prompt of the action token; None takes each episode's own.
        batch: frames at a time; None sizes it to the free memory.
        limit: at most this many episodes.
        progress: shows how far it is.
        others: processes or machines that encode instead of this one, an episode at a time.

    Raises:
        AnalysisError: nothing to read, an unfinished extraction of something else in
            ``directory``, or values that are not finite.
    """
    recordings = None
    if windows is None:
        recordings = find_recordings(data, limit)
        windows = choose_windows(
            recordings,
            policy.config.frame_period,
            window_size or policy.config.window_size,
            per_episode,
            progress,
        )
    windows = list(windows)
    plan = _plan(policy, windows, instruction)
    directory = Path(directory)
    _prepare(directory, plan)
    arrays = _Arrays(directory, plan)
    size = batch or frames_per_batch(policy)
    todo = [place for place in range(len(windows)) if not arrays.done[place]]
    if others is not None:
        shares = [(s, instruction, size, plan["has_action"]) for s in _shares(windows, todo)]
        done = spread(
            encode_share, [(others.loading, *s) for s in shares], others.workers, others.on
        )
        for _, encoded in done:
            for place, (context, action) in encoded:
                arrays.write(place, context, action)
        todo = []
    cache: dict[tuple[str, int, str], tuple] = {}
    for place in progress(todo, "extracting"):
        window = windows[place]
        prompt = instruction or window.instruction
        cache = _encode(policy, window, prompt, size, cache, plan["has_action"])
        arrays.write(place, *of_window(window, prompt, cache))
    summary = _summary(plan, arrays, windows, recordings)
    write_json(directory / "context.json", summary)
    arrays.close()
    return open_extraction(directory)


def open_extraction(directory: str | Path) -> Extraction:
    """Opens a finished extraction.

    Raises:
        AnalysisError: there is none, or it is unfinished.
    """
    directory = Path(directory)
    try:
        summary = json.loads((directory / "context.json").read_text(encoding="utf-8"))
        plan = json.loads((directory / "plan.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise AnalysisError(
            f"{directory} holds no finished extraction; run `mobile_vla context extract` into it"
        ) from error
    action = directory / "action.npy"
    return Extraction(
        directory=directory,
        context=np.load(directory / "context.npy", mmap_mode="r"),
        action=np.load(action, mmap_mode="r") if plan["has_action"] else None,
        windows=[Window.from_json(window) for window in plan["windows"]],
        summary=summary,
    )


def frames_per_batch(policy) -> int:
    """How many frames fit in a quarter of the free memory, 1 to 32."""
    if policy.device.type == "cuda":
        free = torch.cuda.mem_get_info(policy.device)[0]
    else:
        free = psutil.virtual_memory().available
    backbone = policy.model.backbone.config
    vision, text = backbone.vision_config, backbone.text_config
    # The widest activations: the feed-forward layers of both models, a few copies, four bytes.
    widest = 257 * vision.intermediate_size + 256 * text.ffn_dim
    return int(np.clip(free / 4 / (16 * widest * 4), 1, LARGEST_BATCH))


def _shares(windows: list[Window], todo: list[int]) -> list[list[tuple[int, Window]]]:
    """Windows to be encoded, those of one episode together: they share frames."""
    groups: dict[str, list[tuple[int, Window]]] = {}
    for place in todo:
        groups.setdefault(windows[place].sha256, []).append((place, windows[place]))
    return list(groups.values())


class _Arrays:
    """The memory-mapped files of one extraction while it is written."""

    def __init__(self, directory: Path, plan: dict[str, Any]) -> None:
        shape = tuple(plan["shape"])
        self.shape = shape
        self.context = _open(directory / "context.npy", np.float16, shape)
        self.action = (
            _open(directory / "action.npy", np.float16, (*shape[:2], *plan["action_shape"]))
            if plan["has_action"]
            else None
        )
        # Per frame and token: mean, sum of squared deviations, minimum, maximum over D values.
        self.moments = _open(directory / "moments.npy", np.float64, (*shape[:3], 4))
        self.done = _open(directory / "done.npy", np.uint8, shape[:1])

    def write(self, place: int, context: np.ndarray, action: list) -> None:
        """Stores one window; the mark that it is there reaches the disk last."""
        found = Moments.of(context)
        self.context[place] = context
        self.moments[place] = np.stack([found.mean, found.m2, found.minimum, found.maximum], -1)
        if self.action is not None:
            self.action[place] = np.stack(action)
            self.action.flush()
        self.context.flush()
        self.moments.flush()
        self.done[place] = 1
        self.done.flush()

    def all_moments(self) -> Moments:
        """Moments of shape [windows, frames, tokens]."""
        values = np.asarray(self.moments)
        count = np.full(values.shape[:3], float(self.shape[-1]))
        return Moments(count, *(values[..., place] for place in range(4)))

    def close(self) -> None:
        """Lets the files go."""
        del self.context, self.action, self.moments, self.done


def _open(path: Path, dtype: type, shape: tuple[int, ...]) -> np.memmap:
    if path.exists():
        return np.lib.format.open_memmap(path, mode="r+")
    return np.lib.format.open_memmap(path, mode="w+", dtype=dtype, shape=shape)


def _plan(policy, windows: list[Window], instruction: str | None) -> dict[str, Any]:
    sizes = {len(window.rows) for window in windows}
    if len(sizes) != 1:
        raise AnalysisError("the windows have different numbers of frames")
    tokens, width = policy.model.backbone.config.latent_query_num, policy.width
    has_action = policy.config.head is not None
    plan = {
        "format": FORMAT,
        "checkpoint": str(policy.provenance.source),
        "checkpoint_sha256": policy.provenance.sha256,
        "dtype": str(policy.dtype).removeprefix("torch."),
        "shape": [len(windows), sizes.pop(), tokens, width],
        "has_action": has_action,
        "action_shape": [policy.config.latent, width] if has_action else None,
        "instruction": instruction,
        "windows": [window.as_json() for window in windows],
    }
    # What makes the numbers what they are; where the files lie does not.
    identity = {key: value for key, value in plan.items() if key != "checkpoint"}
    identity["windows"] = [
        {key: value for key, value in window.items() if key != "path"}
        for window in identity["windows"]
    ]
    text = json.dumps(identity, sort_keys=True)
    plan["fingerprint"] = hashlib.sha256(text.encode()).hexdigest()
    return plan


def _prepare(directory: Path, plan: dict[str, Any]) -> None:
    existing = directory / "plan.json"
    if existing.exists():
        try:
            begun = json.loads(existing.read_text(encoding="utf-8"))
        except json.JSONDecodeError as error:
            raise AnalysisError(f"{existing} is not readable; choose another folder") from error
        if begun.get("fingerprint") != plan["fingerprint"]:
            raise AnalysisError(
                f"{directory} holds an extraction of another checkpoint, prompt or set of "
                "windows; choose another folder or delete it"
            )
        return
    if directory.exists() and any(directory.iterdir()):
        raise AnalysisError(f"{directory} is not empty and holds no extraction; choose another")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        write_json(existing, plan)
    except OSError as error:
        raise AnalysisError(f"cannot write into {directory}: {error.strerror}") from error


def _summary(
    plan: dict[str, Any], arrays: _Arrays, windows: list[Window], recordings: Recordings | None
) -> dict[str, Any]:
    moments = arrays.all_moments()
    summary = {
        "command": "context extract",
        "shape": plan["shape"],
        **_statistics(moments.over()),
        "per_token": _statistics(moments.over(axis=(0, 1))),
        "per_frame": _statistics(moments.over(axis=(0, 2))),
        "checkpoint": plan["checkpoint"],
        "checkpoint_sha256": plan["checkpoint_sha256"],
        "dtype": plan["dtype"],
        "stored_as": "float16",
        "prompt": plan["instruction"] or "each episode's own instruction",
        "files": {window.episode: window.sha256 for window in windows},
        "episodes": len({window.sha256 for window in windows}),
        "frames": [list(window.rows) for window in windows],
        "action_shape": [*plan["shape"][:2], *plan["action_shape"]]
        if plan["has_action"]
        else None,
        "skipped": recordings.skipped if recordings else [],
        "complete": True,
    }
    return summary


def _statistics(moments: Moments) -> dict[str, Any]:
    values = {
        "mean": moments.mean,
        "std": moments.std,
        "min": moments.minimum,
        "max": moments.maximum,
        "norm": moments.norm,
    }
    return {name: np.asarray(value).tolist() for name, value in values.items()}
