"""Loading and converting hold at most one copy of the weights in memory of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mobile_vla_ros.policy import write_random_checkpoint
from mobile_vla_ros.policy.convert import convert

# RssAnon is what the process itself holds; pages of mapped files are not in it.
PROGRAM = """
import sys, threading, time
from pathlib import Path
from mobile_vla_ros.policy import load_policy, write_random_checkpoint
from mobile_vla_ros.policy.convert import convert

def anonymous():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

what, checkpoint, scratch = sys.argv[1:]
lora = dict(lora_r=2, adapted=lambda name: "fc1" in name)
tiny = write_random_checkpoint(Path(scratch) / "warm", "tiny", **lora)
load_policy(tiny, device="cpu", dtype="bfloat16")  # imports and thread pools come before the count
convert(tiny, Path(scratch) / "warm_out")
before, peak, done = anonymous(), 0, False

def watch():
    global peak
    while not done:
        peak = max(peak, anonymous())
        time.sleep(0.002)

watcher = threading.Thread(target=watch)
watcher.start()
if what == "load":
    policy = load_policy(checkpoint, device="cpu", dtype="bfloat16")
    size = sum(w.numel() * w.element_size() for w in policy.model.parameters())
else:
    size = convert(checkpoint, Path(scratch) / "out").weights_bytes
done = True
watcher.join()
print(size, peak - before)
"""


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 310 MB of float32, adapters on the feed-forward layers."""
    return write_random_checkpoint(
        tmp_path_factory.mktemp("medium"), "medium", lora_r=8, adapted=lambda name: "fc1" in name
    )


def measured(what: str, checkpoint: Path, scratch: Path) -> tuple[int, int]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, what, str(checkpoint), str(scratch)],
        capture_output=True,
        text=True,
        check=True,
    )
    size, peak = result.stdout.split()
    return int(size), int(peak)


def test_loading_holds_one_copy_of_the_weights(checkpoint: Path, tmp_path: Path) -> None:
    size, peak = measured("load", checkpoint, tmp_path)
    assert size > 140e6
    assert peak < 1.2 * size + 20e6


def test_a_converted_directory_stays_in_its_file(checkpoint: Path, tmp_path: Path) -> None:
    convert(checkpoint, tmp_path / "converted")
    size, peak = measured("load", tmp_path / "converted", tmp_path)
    assert size > 140e6
    assert peak < 0.2 * size


def test_converting_holds_a_few_weights_at_a_time(checkpoint: Path, tmp_path: Path) -> None:
    size, peak = measured("convert", checkpoint, tmp_path)
    assert size > 140e6
    assert peak < 60e6
