"""Measures rounds of correcting against rounds of as many plain demonstrations.

    python scripts/measure_corrections.py --picture docs/pictures/corrections.png

The bundled policy gets another camera, tilted further down than the one it was trained with, so
that it fails now and then in the lab's field. From there two policies are trained on, round by
round, from their own last checkpoint, on the same old episodes and on new ones of the same fields:

- corrections: the policy drives, the scripted person takes over before it fails
  (`sim correct`, `train --corrections`); drives without a takeover teach nothing;
- demonstrations: the scripted driver drives the fields of those corrections (`sim collect`).

Both learn from as many frames (the last drives of the longer set are left out, one is cut), in as
many steps, with the same seed, batch and learning rate; the head alone is trained, on cached
features. After each round both drive the same unseen fields, alone and with the person beside.
`--as-driven` shows what the weights do: a first round on the corrected drives as plain rows.
What is there is not done again, so an ended run goes on where it stopped. `results.json` in the
work folder holds every drive and the table. One process, one thread: the same numbers every time.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ["LP_NUM_THREADS"] = "1"

SCENARIOS = ("1box_left", "1box_right", "2box_left", "2box_right")
ARMS = ("corrections", "demonstrations")
AS_DRIVEN = "as_driven"  # the corrected drives as plain rows
TILT = 31.0  # degrees; the policy was trained with 20
OLD_SEED, ROUND_SEED, UNSEEN_SEED = 1_300_000, 3_000_000, 100_000
OLD_EPISODES = 16
SHORTEST = 8  # frames of a window: a shorter rest of a drive would teach nothing

Fields = list[tuple[str, int]]


def main() -> None:
    import torch

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    arguments = _arguments()
    bench = Bench(arguments)
    start = ROOT / "mobile_vla_ros" / "data" / "demo_policy"
    last = {(arm, seed): start for arm in ARMS for seed in range(1, arguments.seeds + 1)}
    found = [{"arm": arm, "seed": 0, "round": 0, **bench.evaluate(start)} for arm in ARMS]
    for number in range(1, arguments.rounds + 1):
        for seed in range(1, arguments.seeds + 1):
            frames = bench.teach(last["corrections", seed], seed, number)
            for arm in ARMS:
                trained = bench.train(last[arm, seed], arm, seed, number)
                last[arm, seed] = trained
                one = {"arm": arm, "seed": seed, "round": number, "frames": frames[arm]}
                found.append({**one, **bench.evaluate(trained)})
            _report(found, arguments)
    if arguments.as_driven:
        for seed in range(1, arguments.seeds + 1):
            trained = bench.train(start, AS_DRIVEN, seed, 1)
            found.append({"arm": AS_DRIVEN, "seed": seed, "round": 1, **bench.evaluate(trained)})
        _report(found, arguments)


class Bench:
    """What the policies share: the fields, the camera, the steps; everything made is kept."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        from mobile_vla_ros.control.pilot import PilotSettings
        from mobile_vla_ros.sim.camera import CameraSettings
        from mobile_vla_ros.sim.closed_loop import LoopSettings
        from mobile_vla_ros.training.small import write_small_kosmos2

        self._work: Path = arguments.work
        self._settings = arguments
        self._camera = CameraSettings(tilt=TILT)
        # The policy's own frames are 0.4 s apart: faster ones cost time and tell it little.
        self._loop = LoopSettings(camera_period=0.4, pilot=PilotSettings(image_timeout=0.9))
        self._old = self._work / "old_episodes"
        self._small = self._work / "small"
        if not self._small.exists():
            write_small_kosmos2(self._small, seed=0)
        self._demonstrate(self._old, _fields(OLD_SEED, OLD_EPISODES), CameraSettings())

    def teach(self, policy: Path, seed: int, number: int) -> dict[str, int]:
        """Makes what both arms learn from in this round, beside that of the rounds before.

        Returns:
            How many new frames each arm gets.
        """
        place = self._place(seed, number)
        counts = place / "frames.json"
        if not counts.exists():
            _say(f"seed {seed}, round {number}: correcting")
            shutil.rmtree(place, ignore_errors=True)
            fields = _fields(ROUND_SEED + 10_000 * seed + 1000 * number, self._settings.drives)
            new = {"corrections": self._correct(policy, place / "drives", fields)}
            again = [fields[index] for index, _ in new["corrections"]]
            shown = self._demonstrate(place / "shown", again, self._camera)
            new["demonstrations"] = list(enumerate(shown))
            chosen = _alike({arm: [path for _, path in new[arm]] for arm in ARMS}, place / "cut")
            for arm in ARMS:
                before = self._place(seed, number - 1) / arm if number > 1 else None
                _gather(place / arm, chosen[arm], before)
            counts.write_text(json.dumps({arm: _frames(chosen[arm]) for arm in ARMS}))
        return dict(json.loads(counts.read_text()))

    def train(self, start: Path, arm: str, seed: int, number: int) -> Path:
        """Trains on from the arm's last checkpoint; the new one."""
        from mobile_vla_ros.training.run import load_run
        from mobile_vla_ros.training.train import train

        place = self._place(seed, number)
        out = place / f"trained_{arm}"
        done = out / "done.ckpt"
        if done.exists():
            return done
        _say(f"seed {seed}, round {number}: training on {arm}")
        shutil.rmtree(out, ignore_errors=True)
        weighed = {"correction_weight": 1.0, "before_takeover": 0.0} if arm == AS_DRIVEN else {}
        data, more = self._old, {"corrections": str(place / ARMS[0]), **weighed}
        if arm == "demonstrations":
            data, more = place / "both", {}
            shutil.rmtree(data, ignore_errors=True)
            _gather(data, sorted((place / arm).glob("*.h5")), self._old)
        frozen = ("train_vision", "train_text_embedding", "train_action_token", "lora_enable")
        overrides = {
            "model_path": str(self._small),
            "model_load_path": str(start),
            "seed": 100 * seed + number,
            "learning_rate": 0.0003,
            "head_learning_rate": None,
            "batch_size": 16,
            "feature_cache": True,
            "train_setup": {"freeze_backbone": True, **dict.fromkeys(frozen, False)},
            "trainer": {"max_steps": self._settings.steps},
            "train_dataset": {"labels": "recorded", "train_split": 1.0, **more},
            "augmentation": {"colour": 0.0, "blur": 0.0, "mirror": 0.0},
            "auxiliary": {"heat_map": 0.0, "bearing": 0.0, "distance": 0.0},
        }
        run = load_run(ROOT / "config" / "demo" / "joint.json", overrides)
        result = train(run, data, out, cache=self._work / "cache")
        if result.interrupted or result.last_checkpoint is None:
            raise SystemExit(130)
        shutil.copyfile(result.last_checkpoint, out / "part.ckpt")
        (out / "part.ckpt").rename(done)
        return done

    def evaluate(self, policy: Path) -> dict[str, Any]:
        """Drives alone and with the person beside; each drive as a plain record."""
        kept = self._work / "start.json" if policy.is_dir() else policy.with_suffix(".json")
        if not kept.exists():
            _say(f"driving {policy}")
            loaded = _loaded(policy)
            settings = self._settings
            found = {
                "alone": self._drives(loaded, settings.fields, False),
                "beside": self._drives(loaded, settings.beside, True),
            }
            part = kept.with_suffix(".part")
            part.write_text(json.dumps(found))
            part.rename(kept)
        return dict(json.loads(kept.read_text()))

    def _drives(self, policy: Any, count: int, person: bool) -> list[dict[str, Any]]:
        from mobile_vla_ros.sim.evaluate import evaluate

        plan = _fields(UNSEEN_SEED, count)
        same = {"camera": self._camera, "loop": self._loop, "person": person}
        runs: list[dict[str, Any]] = evaluate(policy, plan=plan, **same).summary()["runs"]
        return runs

    def _correct(self, policy: Path, folder: Path, fields: Fields) -> list[tuple[int, Path]]:
        """The drives in which the person took over, each with the index of its field."""
        from mobile_vla_ros.sim.relabel import collect_driven

        folder.mkdir(parents=True)
        done = collect_driven(
            *(_loaded(policy), folder, fields),
            camera=self._camera,
            loop=self._loop,
            corrected=True,
        )
        return [(index, item.path) for index, item in enumerate(done) if item.takeovers]

    def _demonstrate(self, folder: Path, fields: Fields, camera: Any) -> list[Path]:
        from mobile_vla_ros.sim.collect import CollectSettings, collect_episode, episode_path
        from mobile_vla_ros.sim.driver import DriverSettings

        folder.mkdir(parents=True, exist_ok=True)
        noise = self._settings.noise
        settings = CollectSettings(driver=DriverSettings(noise=noise), camera=camera)
        for name, seed in fields:
            if not episode_path(folder, name, seed).exists():
                collect_episode(folder, name, seed, settings)
        return [episode_path(folder, name, seed) for name, seed in fields]

    def _place(self, seed: int, number: int) -> Path:
        return self._work / f"seed_{seed}" / f"round_{number}"


def _loaded(policy: Path) -> Any:
    from mobile_vla_ros.policy import load_policy

    return load_policy(policy, device="cpu", dtype="float32", runtime="torch")


def _fields(first: int, count: int) -> Fields:
    return [(SCENARIOS[i % len(SCENARIOS)], first + i) for i in range(count)]


def _frames(paths: Sequence[Path]) -> int:
    from mobile_vla_ros.episodes import open_episode

    total = 0
    for path in paths:
        with open_episode(path) as episode:
            total += len(episode)
    return total


def _alike(sets: dict[str, list[Path]], cut: Path) -> dict[str, list[Path]]:
    """Whole drives from the first on, up to the frames of the smaller set; the last one is cut."""
    from mobile_vla_ros.episodes.editing import trim

    budget = min(_frames(paths) for paths in sets.values())
    chosen: dict[str, list[Path]] = {}
    for arm, paths in sets.items():
        left, chosen[arm] = budget, []
        for path in paths:
            frames = _frames([path])
            if frames > left >= SHORTEST:
                (cut / arm).mkdir(parents=True)
                path = trim(path, cut / arm / path.name, last=frames - left)
            elif frames > left:
                break
            chosen[arm].append(path)
            left -= min(frames, left)
    return chosen


def _gather(folder: Path, paths: Sequence[Path], others: Path | None) -> None:
    """One folder of the files and those of another folder; none is copied."""
    folder.mkdir(parents=True)
    for path in (*(sorted(others.glob("*.h5")) if others else ()), *paths):
        os.link(path, folder / path.name)


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", flush=True)


def _report(found: Sequence[dict[str, Any]], arguments: argparse.Namespace) -> None:
    from corrections_report import draw, summary

    table = summary(found)
    results = {"table": table, "runs": list(found)}
    (arguments.work / "results.json").write_text(json.dumps(results, indent=1))
    print(json.dumps(table, indent=1), flush=True)
    if arguments.picture is not None:
        draw(found, table, arguments.picture)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/corrections"))
    parser.add_argument(
        "--seeds", type=int, default=3, help="training seeds, each with own fields"
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--drives", type=int, default=12, help="drives that are watched, a round")
    parser.add_argument("--steps", type=int, default=150, help="of training, a round")
    parser.add_argument(
        "--as-driven", action="store_true", help="round 1 with the corrections as plain rows, too"
    )
    parser.add_argument("--noise", type=float, default=0.5, help="pushes of the demonstrations")
    parser.add_argument("--fields", type=int, default=28, help="unseen fields, driven alone")
    parser.add_argument("--beside", type=int, default=8, help="of those, with the person beside")
    parser.add_argument("--picture", type=Path, help="figure of the rounds, e.g. corrections.png")
    return parser.parse_args()


if __name__ == "__main__":
    main()
