"""Answers the lab's questions with the small policy and simulated episodes, from nothing.

    python scripts/lab_questions.py --work build/lab_questions

Everything is made by our own commands: episodes (`sim collect`), a small backbone trained on
another task (`train`), every row with five seeds (`experiment run --seeds 5`), tables and figures
(`experiment table`). What is done is skipped, so an interrupted run goes on where it stopped.
docs/EXPERIMENTS.md says what came out, and what it does not say.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

# Simulated time starts `seed` seconds after 2000-01-01, so that each of these is a day, and a
# day's episodes have a name of their own: 1, 2 and 3 April, 1 May.
DAY = 86_400
REAL, SIMULATED, HELD_OUT, OTHER = (DAY * day for day in (91, 92, 93, 121))
# 'Real' is another robot: its camera stands lower and more level, with a longer lens, and the
# base is pushed three times as much.
OTHER_RIG = ["--camera-height", "0.32", "--tilt", "14", "--field-of-view", "84", "--noise", "1.5"]
EPISODES: dict[str, tuple[str, list[str]]] = {
    "real": ("lab", ["-n", "40", "--seed", str(REAL), *OTHER_RIG]),
    "held out": ("lab", ["-n", "16", "--seed", str(HELD_OUT), *OTHER_RIG]),
    "simulated": ("lab", ["-n", "120", "--seed", str(SIMULATED), "--noise", "0.5"]),
    "open field": (
        "other",
        ["-n", "100", "--seed", str(OTHER), "--field", "open", "--noise", "1"],
    ),
}
START_STEPS = 600
STEPS, WINDOWS = 150, 4  # of every row: steps, and windows of eight frames in each


def row(title: str, data: str, **more: Any) -> dict[str, Any]:
    """What one row differs in from the others."""
    return {"title": title, "data": data, **more}


LEFT = "episode_20000401_*_left.h5"
BOTH = "episode_20000401_0000[01]*.h5"  # the first twenty, five of each scenario
ROWS = {
    "frozen": row("Frozen, head only", "40 real"),
    "lora 8": row("LoRA r 8", "40 real", lora=8),
    "lora 32": row("LoRA r 32", "40 real", lora=32),
    "driving": row("Frozen, from the driving policy", "40 real", robot=True),
    "half": row("Frozen, head only", "20 real, both sides", pattern=BOTH),
    "left": row("Frozen, head only", "20 real, left only", pattern=LEFT),
    "augmented": row("Frozen, head only", "20 real and 100 changed copies", pattern="*"),
    "simulated": row("Frozen, head only", "120 simulated", pattern="episode_20000402_*"),
    "mixed": row("Frozen, head only", "40 real, 120 simulated", pattern="episode_2000040[12]_*"),
}
# Rows that are compared, and on which of the held-out episodes.
QUESTIONS: dict[str, tuple[tuple[str, ...], str]] = {
    "Adapters": (("frozen", "lora 8", "lora 32"), "*"),
    "Start": (("frozen", "driving"), "*"),
    "Data": (("half", "augmented", "frozen", "simulated", "mixed"), "*"),
    "Sides, left episodes": (("half", "left"), "*_left.h5"),
    "Sides, right episodes": (("half", "left"), "*_right.h5"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--work", type=Path, default=Path("build/lab_questions"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", choices=list(ROWS), help="these rows alone")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    for name, (folder, options) in EPISODES.items():
        done = work / f"collected_{name.replace(' ', '_')}.json"
        if not done.exists():
            mobile_vla("sim", "collect", "--out", work / folder, *options, "--json", done)
    augmented(work)
    write_networks(work)
    start(work)
    write_rows(work)
    for name in arguments.only or ROWS:
        mobile_vla(
            *("experiment", "run", name, "--seeds", arguments.seeds, "--configs", work / "rows"),
            *("--runs", work / "runs", "--device", "cpu"),
            *("--data", work / ("augmented" if name == "augmented" else "lab")),
        )
    tables(work)


def mobile_vla(*words: object, fine: tuple[int, ...] = (0,)) -> int:
    """One command in this process, its status, and how long it took.

    Raises:
        SystemExit: it ended with a status that is not fine.
    """
    from mobile_vla_ros.cli.main import main as command

    said = [str(word) for word in words]
    print("mobile_vla", *said, flush=True)
    began = time.monotonic()
    status = 0
    try:
        command(said)
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    print(f"took {time.monotonic() - began:.0f} s", flush=True)
    if status not in fine:
        raise SystemExit(status)
    return status


def augmented(work: Path) -> None:
    """Half of the real episodes with five changed copies each, beside the held-out ones."""
    out, source = work / "augmented", work / "half"
    if (work / "augmented.json").exists():
        return
    for folder in (out, source):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
    for path in (work / "lab").glob(BOTH):
        os.link(path, source / path.name)
    mobile_vla("augment", "--data", source, "--out", out, "--factor", 6)
    for path in (work / "lab").glob("episode_20000403_*"):
        os.link(path, out / path.name)
    (work / "augmented.json").write_text("{}")


def write_networks(work: Path) -> None:
    """The small network with the open field's words, and with those of the bundled policy."""
    from mobile_vla_ros.sim.open_field.words import taught_sentences
    from mobile_vla_ros.training.small import SENTENCES, VOCABULARY, write_small_kosmos2

    if not (work / "small" / "tokenizer.json").exists():
        words = (*SENTENCES, *taught_sentences())
        write_small_kosmos2(work / "small", sentences=words, vocabulary=VOCABULARY + 256)
    if not (work / "small_lab" / "tokenizer.json").exists():
        write_small_kosmos2(work / "small_lab")


def start(work: Path) -> None:
    """The backbone that most rows start from: single frames of the open field, from nothing."""
    from mobile_vla_ros.policy.run_file import read_run_file

    out = work / "start"
    if (out / "done.json").exists():
        return
    run = read_run_file(ROOT / "config" / "open" / "vision.json")
    run["model_path"], run["model_load_path"] = str(work / "small"), None
    run["trainer"] |= {"max_steps": START_STEPS, "check_val_every_n_epoch": 1}
    file = work / "start.json"
    file.write_text(json.dumps(run, indent=1))
    last = out / "last.ckpt"
    resume = ("--resume", last) if last.exists() else ()
    mobile_vla(
        *("train", "--config", file, "--data", work / "other", "--out", out, "--device", "cpu"),
        *("--cache", work / "runs" / "cache", "--json", out / "done.json", *resume),
    )


def write_rows(work: Path) -> None:
    """One run file a row, as those of config/experiments."""
    (work / "rows").mkdir(exist_ok=True)
    for name, given in ROWS.items():
        text = json.dumps(run_file(work, name, given), indent=1)
        (work / "rows" / f"{name.replace(' ', '_')}.json").write_text(text)


def run_file(work: Path, name: str, given: dict[str, Any]) -> dict[str, Any]:
    """The whole run file of a row."""
    rank, robot = given.get("lora"), given.get("robot", False)
    load = ROOT / "mobile_vla_ros" / "data" / "demo_policy" if robot else work / "start/last.ckpt"
    return {
        "experiment": {
            "id": name,
            "title": given["title"],
            "kind": "train",
            "data": given["data"],
            "targets": {},
        },
        "robovlm_name": "RoboKosMos",
        "model": "kosmos",
        "model_path": str(work / ("small_lab" if robot else "small")),
        "model_load_path": str(load),
        "image_size": 224,
        "window_size": 8,
        "fwd_pred_next_n": 10,
        "action_axes": ["linear.x", "angular.z"],
        "frame_period": 0.4,
        "action_period": 0.4,
        "norm_action": True,
        "norm_min": [-0.35, -1.0],
        "norm_max": [0.35, 1.0],
        "learning_rate": 2e-3,
        "head_learning_rate": 3e-3,
        "weight_decay": 0.01,
        "warmup": 0.08,
        "batch_size": WINDOWS,
        "seed": 0,
        "train_setup": {
            "freeze_backbone": True,
            "train_action_token": rank is not None,
            "lora_enable": rank is not None,
            "lora_r": rank or 32,
            "lora_alpha": 16,
        },
        # Another size than the starting checkpoints' heads, so that every row's head is fresh.
        "act_head": {
            "type": "MobileVLALSTMDecoder",
            "hidden_size": 96,
            "num_layers": 1,
            "action_dim": 2,
        },
        "trainer": {"max_epochs": -1, "max_steps": STEPS, "precision": "32-true"}
        # No checkpoint is chosen by what is held out: the last one counts.
        | {"check_val_every_n_epoch": 1000},
        "train_dataset": {
            "episode_pattern": given.get("pattern", "episode_20000401_*"),
            "validation_pattern": "episode_20000403_*",
        },
    }


def tables(work: Path) -> None:
    """A table of each question, as JSON, CSV, LaTeX and Markdown, and the figure of all."""
    from mobile_vla_ros.plots.experiments import experiments_figure
    from mobile_vla_ros.plots.style import save_figure

    found = {}
    for title, (names, episodes) in QUESTIONS.items():
        folder = work / "tables" / title.lower().replace(", ", "_").replace(" ", "_")
        (folder / "rows").mkdir(parents=True, exist_ok=True)
        for name in names:
            file = f"{name.replace(' ', '_')}.json"
            (folder / "rows" / file).write_bytes((work / "rows" / file).read_bytes())
        mobile_vla(
            *("experiment", "table", "--configs", folder / "rows", "--runs", work / "runs"),
            *("--episodes", episodes, "--json", folder / "table.json"),
            *("--csv", folder / "table.csv", "--latex", folder / "table.tex"),
        )
        table = json.loads((folder / "table.json").read_text())
        # What has not run yet is left out.
        table["rows"] = [entry for entry in table["rows"] if "episode_rmse" in entry["metrics"]]
        table["rows"].sort(key=lambda entry: names.index(entry["id"]))
        if len(table["rows"]) > 1:
            found[title] = table
    (work / "tables" / "tables.md").write_text("\n".join(map(markdown, found, found.values())))
    save_figure(experiments_figure(found), work / "tables" / "rows.png")


def markdown(title: str, table: dict[str, Any]) -> str:
    """Means, intervals and differences as a page shows them."""
    lines = [f"{title}", "", "| row | data | seeds | RMSE |", "|---|---|---|---|"]
    for entry in table["rows"]:
        value = entry["metrics"]["episode_rmse"]
        lines.append(
            f"| {entry['id']} | {entry['data']} | {entry['seeds']} | {value['mean']:.3f} "
            f"({value['low']:.3f} to {value['high']:.3f}) |"
        )
    lines += ["", "| first less second | difference | |", "|---|---|---|"]
    for apart in table["differences"]:
        lines.append(
            f"| {apart['first']} - {apart['second']} | {apart['mean']:+.3f} "
            f"({apart['low']:+.3f} to {apart['high']:+.3f}) | {apart['verdict']} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
