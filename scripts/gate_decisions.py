"""Shows the gate good checkpoints and planted faults, all trained here, and what it decides.

    python scripts/gate_decisions.py --work build/gate

Five seeds of one recipe (the bundled policy's head, trained on), then a policy of one epoch, one
that saw one side only, and one whose instructions were wrong half of the time; at last a capsule
of what the one-sided policy did, shown to itself and to a good one. What is done is skipped.
docs/BENCHMARKS.md has the decisions.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from lab_questions import DAY, ROOT, mobile_vla, run_file, write_networks

TRAINING, JUDGED = DAY * 152, DAY * 153  # seeds of the fields: 1 and 2 June
DEMO = ROOT / "mobile_vla_ros" / "data" / "demo_policy"
# The bundled policy's size of head, so that it is taken, and another, so that it is fresh.
TAKEN, FRESH = {"hidden_size": 128, "num_layers": 4}, {"hidden_size": 96, "num_layers": 1}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/gate"))
    parser.add_argument("--drives", type=int, default=8)
    parser.add_argument("--only", nargs="*", help="these candidates alone")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name, count, seed, noise in (
        ("training", 24, TRAINING, 1),
        ("judged", 8, JUDGED, 0.5),
    ):
        if not (work / f"{name}.json").exists():
            mobile_vla(
                *("sim", "collect", "--out", work / name, "-n", count, "--seed", seed),
                *("--noise", noise, "--json", work / f"{name}.json"),
            )
    write_networks(work)
    wrong_words(work)
    for name, run in candidates(work).items():
        if arguments.only and name not in arguments.only:
            continue
        drives = arguments.drives if name.startswith("seed") else 0
        decide(work, name, train(work, name, run), "--closed-loop", drives)
    capsule(work)


def candidates(work: Path) -> dict[str, dict[str, Any]]:
    """The run file of each."""

    def run(data: str, seed: int, steps: int, **more: Any) -> dict[str, Any]:
        made = run_file(work, data, {"title": "", "data": "", "robot": True})
        del made["experiment"]
        made["seed"], made["batch_size"] = seed, 8
        made["trainer"]["max_steps"] = steps
        made["train_dataset"] = {"data_dir": str(work / data), "train_split": 0.9}
        return {**made, **more}

    taken = {"act_head": TAKEN, "learning_rate": 2e-4, "head_learning_rate": 2e-4}
    fresh = {"act_head": FRESH}
    found = {f"seed {seed}": run("training", seed, 100, **taken) for seed in range(1, 6)}
    found["one side"] = run("training", 1, 200, **fresh)
    found["one side"]["train_dataset"]["episode_pattern"] = "*_left.h5"
    found["wrong words"] = run("wrong_words", 1, 200, **fresh)
    found["one epoch"] = run("training", 1, -1, **fresh, model_load_path=None, batch_size=6)
    found["one epoch"]["trainer"] = {"max_epochs": 1, "precision": "32-true"}
    found["one epoch"]["train_dataset"]["max_episodes"] = 8
    found["one epoch"]["train_setup"] = {
        "freeze_backbone": False,
        "train_vision": True,
        "train_text_embedding": True,
    }
    return found


def wrong_words(work: Path) -> None:
    """The training episodes with left and right exchanged in every second instruction."""
    out = work / "wrong_words"
    if out.exists():
        return
    part = work / "wrong_words.part"
    shutil.rmtree(part, ignore_errors=True)
    shutil.copytree(work / "training", part)
    from mobile_vla_ros.episodes import open_episode
    from mobile_vla_ros.training.augmentation import mirror_text

    # Four scenarios in turn: the second half of every eight.
    for number, path in enumerate(sorted(part.glob("*.h5"))):
        if number % 8 >= 4:
            with open_episode(path) as episode:
                words = mirror_text(episode.instruction)
            mobile_vla("episodes", "relabel", path, "--instruction", words)
    part.rename(out)


def train(work: Path, name: str, run: dict[str, Any]) -> Path:
    """The last checkpoint of a candidate."""
    out = work / name.replace(" ", "_")
    if not (out / "done.json").exists():
        file = work / f"{out.name}.run.json"
        file.write_text(json.dumps(run, indent=1))
        mobile_vla(
            *("train", "--config", file, "--out", out, "--device", "cpu"),
            *("--cache", work / "cache", "--json", out / "done.json"),
        )
    return out / "last.ckpt"


def decide(work: Path, name: str, candidate: Path, *more: object) -> None:
    """The gate's decision about a checkpoint, kept as JSON; it ends with 1 for HOLD."""
    file = work / f"{name.replace(' ', '_')}.gate.json"
    if file.exists():
        return
    began = time.monotonic()
    mobile_vla(
        *("gate", candidate, "--against", "demo", "--data", work / "judged"),
        *(*more, "--json", file),
        fine=(0, 1),
    )
    decision = json.loads(file.read_text())["decision"]
    print(f"{name}: {decision}, {time.monotonic() - began:.0f} s", flush=True)


def capsule(work: Path) -> None:
    """Takeovers from the one-sided policy, shown to it again and to a good one."""
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.takeover import takeover_capsules

    folder = work / "incidents"
    if not folder.exists():
        part = work / "incidents.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        policy = load_policy(work / "one_side" / "last.ckpt", device="cpu", runtime="torch")
        takeover_capsules(
            policy, part, [("1box_right", JUDGED + 100), ("2box_right", JUDGED + 101)]
        )
        part.rename(folder)
    for name, checkpoint in (
        ("the same again", work / "one_side" / "last.ckpt"),
        ("a good one", work / "seed_1" / "last.ckpt"),
    ):
        decide(work, name, checkpoint, "--incident", folder, "--closed-loop", 0)


if __name__ == "__main__":
    sys.exit(main())
