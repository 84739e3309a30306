"""Makes the bundled policy from nothing: field, episodes, training, corrections, evaluation.

    python scripts/make_demo_policy.py --work build/demo_policy
    python scripts/make_demo_policy.py --field open --work build/open_policy
    python scripts/make_demo_policy.py --field open --share 0.1 --work build/short  # a tenth of it

The second drives in the open field too, with the lab's scenarios among its data.

Every stage leaves its result in the work folder and is skipped when that is there, so an
interrupted run goes on where it stopped. Seeds of the fields: training from 1,000,000, the
policy's own drives from 2,000,000, the table from 100,000 (which no training touches).

The statistics of the training frames (see `policy/familiarity.py`) are in every checkpoint that
training writes, made with that checkpoint's weights; the conversion takes them along.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as `mobile_vla train` has it

TRAINING_SEED = 1_010_000
OWN_DRIVE_SEED = 2_000_000
EVALUATION_SEED = 100_000
SCENARIOS = ("1box_left", "1box_right", "2box_left", "2box_right")
TIERS = ("open_easy", "open_medium", "open_hard")
_STEPS = {"vision": "single frames", "joint": "windows"}


@dataclass(frozen=True)
class Round:
    """One round of learning.

    Attributes:
        drives: of the policy, labelled by the expert, before the round.
        frame_steps: on single frames: what things are and where; 0: none.
        window_steps: on windows.
    """

    drives: int
    frame_steps: int
    window_steps: int


@dataclass(frozen=True)
class Recipe:
    """What a policy is made of.

    Attributes:
        configs: folder of its run files, below `config`.
        installed: folder of the package's data that it belongs in.
        dtype: of the weights, the head's aside.
        scenarios: taken in turn, in episodes and in the policy's own drives.
        noises: strengths of the pushes on the scripted driver.
        episodes: of the scripted driver, for each of them.
        rounds: in this order; the first has no drives.
        again: learning rates of frame steps after the first.
    """

    configs: str
    installed: str
    dtype: str
    scenarios: tuple[str, ...]
    noises: tuple[float, ...]
    episodes: int
    rounds: tuple[Round, ...]
    again: Mapping[str, Any] = field(default_factory=dict)

    def shortened(self, share: float) -> Recipe:
        """The same with a share of its episodes, drives and steps."""

        def part(count: int) -> int:
            return max(1, round(share * count)) if count else 0

        return replace(
            self,
            episodes=part(self.episodes),
            rounds=tuple(
                Round(part(one.drives), part(one.frame_steps), part(one.window_steps))
                for one in self.rounds
            ),
        )


RECIPES = {
    "lab": Recipe(
        *("demo", "demo_policy", "float32", SCENARIOS, (0.5, 1.0, 1.5), 134),
        rounds=(
            Round(0, 2000, 1200),
            *(Round(64, 0, steps) for steps in (1200, 1200, 1500, 1500)),
        ),
    ),
    # Three episodes of the open field for one of the lab's.
    "open": Recipe(
        *("open", "open_policy", "float16"),
        tuple(name for lab in SCENARIOS for name in (*TIERS, lab)),
        (0.5, 1.0),
        700,
        rounds=(
            Round(0, 5500, 1400),
            *(Round(drives, 0, 1300) for drives in (480, 400, 400)),
            Round(140, 4500, 1300),
            Round(400, 5000, 1300),
            Round(400, 0, 1400),
            Round(340, 3300, 1800),
        ),
        again={"learning_rate": 0.0011, "head_learning_rate": 0.0005},
    ),
}


def main() -> None:
    arguments = _arguments()
    recipe = RECIPES[arguments.field].shortened(arguments.share)
    work = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    data, cache = work / "episodes", work / "cache"
    stage = _Stages(work)

    small = stage("small network", work / "small", lambda: _small(work / "small", arguments.field))
    for number, noise in enumerate(recipe.noises):
        done = work / f"collected_{number}"
        stage(
            f"{recipe.episodes} episodes, pushes {noise}",
            done,
            lambda n=number, p=noise, d=done: _collect(data, recipe, n, p, d, arguments.workers),
        )
    checkpoint: Path | None = None
    for number, one in enumerate(recipe.rounds):
        if checkpoint is not None:
            done = work / f"drives_{number}"
            stage(
                f"round {number}: {one.drives} drives of the policy, labelled by the expert",
                done,
                lambda c=checkpoint, n=number, d=done: _own_drives(
                    c, data, recipe, n, d, arguments.workers
                ),
            )
        for kind, steps in (("vision", one.frame_steps), ("joint", one.window_steps)):
            if not steps:
                continue
            overrides: dict[str, Any] = {
                "model_path": str(small),
                "model_load_path": None if checkpoint is None else str(checkpoint),
                "seed": 1 + number,
                "trainer": {"max_steps": steps},
                **(recipe.again if kind == "vision" and checkpoint is not None else {}),
            }
            out = work / f"{kind}_{number}"
            checkpoint = stage(
                f"round {number}: {_STEPS[kind]}, {steps} steps",
                out / "done.ckpt",
                lambda k=kind, o=overrides, to=out: _train(
                    ROOT / "config" / recipe.configs / f"{k}.json", o, data, cache, to
                ),
            )
    assert checkpoint is not None
    policy = stage(
        "converted directory",
        work / "demo_policy",
        lambda c=checkpoint: _convert(c, work / "demo_policy", recipe.dtype),
    )
    result = stage(
        "evaluation",
        work / "evaluation.json",
        lambda: _evaluate(
            policy,
            _parts(arguments.field, arguments.evaluate),
            work / "evaluation.json",
            arguments.workers,
        ),
    )
    table = json.loads(Path(result).read_text(encoding="utf-8"))
    print(json.dumps(table["table"], indent=1))
    print(f"stages took {stage.minutes():.0f} minutes")
    if arguments.install:
        if arguments.share != 1:
            raise SystemExit("--install is for a whole recipe: copy another policy yourself")
        target = ROOT / "mobile_vla_ros" / "data" / recipe.installed
        card = (target / "README.md").read_bytes()  # written by hand: correct its table
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(policy, target)
        (target / "README.md").write_bytes(card)
        size = sum(file.stat().st_size for file in target.rglob("*"))
        print(f"installed {target} ({size / 1e6:.1f} MB)")


class _Stages:
    """Runs what is not there yet, and keeps the time."""

    def __init__(self, work: Path) -> None:
        self._log = work / "stages.json"

    def __call__(self, name: str, result: Path, make: Callable[[], None]) -> Path:
        if result.exists():
            print(f"[there] {name}", flush=True)
            return result
        print(f"[start] {name}", flush=True)
        start = time.monotonic()
        make()
        took = time.monotonic() - start
        times = json.loads(self._log.read_text()) if self._log.exists() else {}
        times[name] = round(took, 1)
        self._log.write_text(json.dumps(times, indent=1))
        print(f"[done]  {name}: {took / 60:.1f} minutes", flush=True)
        return result

    def minutes(self) -> float:
        return sum(json.loads(self._log.read_text()).values()) / 60 if self._log.exists() else 0.0


def _small(directory: Path, field: str) -> None:
    from mobile_vla_ros.sim.open_field.words import taught_sentences
    from mobile_vla_ros.training.small import SENTENCES, VOCABULARY, write_small_kosmos2

    if field == "open":
        sentences = (*SENTENCES, *taught_sentences())
        write_small_kosmos2(
            directory, seed=0, sentences=sentences, vocabulary=VOCABULARY + 256, text_layers=3
        )
    else:
        write_small_kosmos2(directory, seed=0)


def _collect(
    data: Path, recipe: Recipe, number: int, noise: float, done: Path, workers: int
) -> None:
    from mobile_vla_ros.sim.collect import CollectSettings, collect
    from mobile_vla_ros.sim.driver import DriverSettings

    settings = CollectSettings(
        scenarios=recipe.scenarios,
        episodes=recipe.episodes,
        seed=TRAINING_SEED + 1000 * number,
        driver=DriverSettings(noise=noise),
    )
    collected = collect(data, settings, workers=workers)
    done.write_text(f"{sum(item.success for item in collected)} did what was asked\n")


def _train(config: Path, overrides: dict[str, Any], data: Path, cache: Path, out: Path) -> None:
    import torch

    from mobile_vla_ros.training.run import load_run
    from mobile_vla_ros.training.train import train

    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)))
    run = load_run(config, overrides)
    last = out / "last.ckpt"
    result = train(
        run,
        data,
        out,
        cache=cache,
        resume=last if last.exists() else None,
        progress=sys.stdout.isatty(),
        say=print,
    )
    if result.interrupted:
        raise SystemExit(130)
    if math.isfinite(result.val_loss):  # a stage shorter than an epoch is not validated
        print(f"validation loss {result.val_loss:.4f} after {result.epochs} epochs", flush=True)
    # The last checkpoint, not the best: closed-loop driving is what counts, and the cosine
    # schedule ends at rest.
    shutil.copyfile(result.last_checkpoint, out / "done.ckpt")


def _own_drives(
    checkpoint: Path, data: Path, recipe: Recipe, number: int, done: Path, workers: int
) -> None:
    seed, names = OWN_DRIVE_SEED + 1000 * number, recipe.scenarios
    plan = [(names[i % len(names)], seed + i) for i in range(recipe.rounds[number].drives)]
    shares = [(str(checkpoint), str(data), plan[at::workers]) for at in range(workers)]
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        reached = sum(pool.map(_drive_share, shares))
    done.write_text(f"{reached} of {len(plan)} did what was asked\n")
    print(done.read_text().strip(), flush=True)


def _drive_share(share: tuple[str, str, list[tuple[str, int]]]) -> int:
    from mobile_vla_ros.control.pilot import PilotSettings
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.closed_loop import LoopSettings
    from mobile_vla_ros.sim.relabel import collect_driven

    checkpoint, data, plan = share
    policy = load_policy(checkpoint, device="cpu", dtype="float32")
    # Frames at 5 Hz halve the rendering; the policy's own frames are 0.4 s apart anyway.
    loop = LoopSettings(camera_period=0.2, pilot=PilotSettings(image_timeout=0.5))
    return sum(d.success for d in collect_driven(policy, data, plan, loop=loop, push=0.6))


def _convert(checkpoint: Path, directory: Path, dtype: str) -> None:
    from mobile_vla_ros.policy.convert import convert

    part = directory.with_suffix(".part")
    shutil.rmtree(part, ignore_errors=True)
    convert(checkpoint, part, dtype=dtype, onnx=True)
    # The directory stands alone: names of folders on this machine say nothing to its users.
    file = part / "config.json"
    values = json.loads(file.read_text(encoding="utf-8"))
    values["model_path"], values["model_load_path"] = ".", None
    file.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    for item in part.iterdir():
        item.chmod(0o644)
    part.rename(directory)


Part = tuple[str, list[tuple[str, int]], bool, float]


def _parts(field: str, episodes: int) -> list[Part]:
    """What is evaluated: its name, the fields, whether the other side is asked for, delay in s."""

    def plan(count: int, *names: str) -> list[tuple[str, int]]:
        return [(names[i % len(names)], EVALUATION_SEED + i) for i in range(count)]

    few = max(4, episodes // 4)
    parts: list[Part] = [("instruction as asked", plan(episodes, *SCENARIOS), False, 0.0)]
    if field == "lab":
        parts.append(("instruction swapped", plan(few, *SCENARIOS), True, 0.0))
        parts.append(("0.2 s later", plan(few, *SCENARIOS), False, 0.2))
        return parts
    half = max(2, episodes // 2)
    parts += [(tier, plan(half, f"{tier}_new"), False, 0.0) for tier in TIERS]
    parts.append(("changed on the way", plan(few, "open_easy_change"), False, 0.0))
    return parts


def _evaluate(policy: Path, parts: list[Part], result: Path, workers: int) -> None:
    runs: list[dict[str, Any]] = []
    table: dict[str, Any] = {}
    with ProcessPoolExecutor(workers, get_context("spawn"), _one_thread) as pool:
        for name, plan, swap, latency in parts:
            jobs = [(str(policy), plan[at::workers], swap, latency) for at in range(workers)]
            found = [run for part in pool.map(_evaluate_share, jobs) for run in part]
            runs += [{**run, "part": name} for run in found]
            for side in ("left", "right"):
                asked = [run for run in found if side in run["scenario"].split("_")]
                if asked:
                    table[f"{name}, {side}"] = _row(asked)
            if "tier" in found[0]:
                table[name] = _row(found)
                for kept in (False, True):
                    said = [run for run in found if run["kept_wording"] is kept]
                    if said:
                        table[f"{name}, {'kept' if kept else 'trained'} words"] = _row(said)
    result.write_text(json.dumps({"table": table, "runs": runs}, indent=1))


def _row(runs: list[dict[str, Any]]) -> dict[str, Any]:
    from mobile_vla_ros.stats.intervals import wilson_interval

    reached = sum(run["success"] for run in runs)
    low, high = wilson_interval(reached, len(runs))
    row = {"reached": reached, "of": len(runs), "wilson": [round(low, 3), round(high, 3)]}
    if "tier" in runs[0]:
        spl = [run["spl"] for run in runs if run["spl"] is not None]
        row["spl"] = round(sum(spl) / len(spl), 3) if spl else None
        row["reasons"] = dict(Counter(run["reason"] for run in runs))
    return row


def _evaluate_share(job: tuple[str, list[tuple[str, int]], bool, float]) -> list[dict[str, Any]]:
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.evaluate import evaluate

    policy, plan, swap, latency = job
    if not plan:
        return []
    loaded = load_policy(policy, device="cpu", dtype="float32")
    done = evaluate(loaded, plan=plan, swap_instruction=swap, latency=latency)
    return done.summary()["runs"]


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/demo_policy"))
    parser.add_argument("--field", choices=tuple(RECIPES), default="lab")
    parser.add_argument("--share", type=float, default=1.0, help="of episodes, drives and steps")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--evaluate", type=int, default=200, help="fields in the success table")
    parser.add_argument("--install", action="store_true", help="copy it into the package")
    return parser.parse_args()


if __name__ == "__main__":
    main()
