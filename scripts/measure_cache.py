"""How much faster an epoch is with the feature cache, at the size of the real Kosmos-2.

    python scripts/measure_cache.py --size full --episodes 250

The network has random weights of the real shapes. A frame is encoded a few times, an epoch of the
head on cached features is trained whole; the epoch without the cache is the sum of both.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mobile_vla_ros.policy.heads import DrivingHead
from mobile_vla_ros.policy.random_policies import random_policy
from mobile_vla_ros.training.losses import masked_huber

ROWS = 18  # of the lab's episodes: window 8 and chunk 10
WINDOW, CHUNK = 8, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="full", help="tiny, small, medium or full")
    parser.add_argument("--episodes", type=int, default=250)
    parser.add_argument("--frames", type=int, default=3, help="frames to time the backbone on")
    parser.add_argument("--batch", type=int, default=8)
    arguments = parser.parse_args()

    policy = random_policy(arguments.size, dtype="bfloat16")
    pixels = torch.zeros(1, 3, policy.config.image_size, policy.config.image_size)
    policy.encode_frames(pixels, "go left")  # warm-up
    start = time.perf_counter()
    for _ in range(arguments.frames):
        policy.encode_frames(pixels, "go left")
    frame = (time.perf_counter() - start) / arguments.frames
    width = policy.width
    del policy

    windows = arguments.episodes * (ROWS - WINDOW + 1)
    features = torch.randn(arguments.episodes * ROWS, 1, width)
    labels = torch.rand(arguments.episodes * ROWS, CHUNK, 2) * 2 - 1
    mask = torch.ones(arguments.batch, WINDOW, CHUNK, dtype=torch.bool)
    head = DrivingHead(width, 512, 4, CHUNK, 2)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-4)
    steps = windows // arguments.batch
    start = time.perf_counter()
    for step in range(steps):
        at = (torch.arange(arguments.batch) + step * arguments.batch) % (len(features) - WINDOW)
        places = at[:, None] + torch.arange(WINDOW)
        loss, _ = masked_huber(head(features[places]), labels[places], mask)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    cached = time.perf_counter() - start
    without = cached + windows * WINDOW * frame
    print(
        json.dumps(
            {
                "size": arguments.size,
                "threads": torch.get_num_threads(),
                "episodes": arguments.episodes,
                "windows": windows,
                "seconds_per_frame": round(frame, 4),
                "epoch_with_cache_s": round(cached, 1),
                "epoch_without_cache_s": round(without, 1),
                "ratio": round(without / cached),
                "filling_the_cache_once_s": round(arguments.episodes * ROWS * frame, 1),
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
