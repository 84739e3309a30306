"""What is owed on a GPU: equality, latency, training step; one JSON file and one table.

Every step is tried by itself: one that fails is written down with its reason, and the others go
on. See gpu_check.sh for how to call it.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mobile_vla_ros.benchmark.machine import describe_machine
from mobile_vla_ros.policy import load_policy, random_policy

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "test" / "fixtures" / "golden"
INSTRUCTION = "Navigate around obstacles and reach the front of the beverage bottle on the left"
BUDGET = 270.0
# float32 products on a GPU, summed in another order than on the CPU.
CLOSE = 1e-3


class Check:
    """The steps on one device.

    Args:
        dry: the CPU and the smallest sizes.
        out: where converted directories go.
    """

    def __init__(self, dry: bool, out: Path) -> None:
        self.dry = dry
        self.out = out
        self.device = "cpu" if dry else "cuda"
        self.size = "tiny" if dry else "full"
        self.runs = 3 if dry else 100

    def golden(self) -> dict[str, Any]:
        """The reference policies in float32 on the device, against their tensors."""
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        worst = {}
        for folder in sorted(path for path in GOLDEN.iterdir() if path.is_dir()):
            checkpoint = next(p for p in folder.iterdir() if p.suffix in (".ckpt", ".pt"))
            policy = load_policy(checkpoint, device=self.device, dtype="float32", runtime="torch")
            inputs, expected = np.load(folder / "inputs.npz"), np.load(folder / "expected.npz")
            pixels = torch.from_numpy(expected["pixel_values_first4"])
            context = policy.encode_images(pixels).cpu().numpy()
            features = policy.encode_frames(pixels, str(inputs["instruction"])).cpu().numpy()
            actions = policy.decode(torch.from_numpy(expected["action_hidden"])).cpu().numpy()
            name = "window_velocities" if policy.config.drives else "window_arm"
            wanted = expected[name]
            worst[folder.name] = max(
                float(np.abs(context - expected["context"][0, :4]).max()),
                float(np.abs(features - expected["action_hidden"][0, :4]).max()),
                float(np.abs(actions[..., : wanted.shape[-1]] - wanted).max()),
            )
        return {"ok": max(worst.values()) < CLOSE, "largest_difference": worst}

    def graph(self) -> dict[str, Any]:
        """The stream's captured graph against the eager pass, over sizes and instructions."""
        policy = random_policy("small", device=self.device, dtype="float32")
        random = np.random.default_rng(0)
        worst = 0.0
        for shape in ((480, 640, 3), (720, 1280, 3), (480, 640, 3)):
            for words in ("go left", INSTRUCTION):
                image = random.integers(0, 256, shape, dtype=np.uint8)
                streamed = policy.encode_camera_frame(image, words)
                eager = policy.encode_frames(policy.preprocess(image), words)[0]
                worst = max(worst, float((streamed - eager).abs().max()))
        return {"ok": worst < 2e-3, "largest_difference": worst}

    def latency(self) -> dict[str, Any]:
        """Stream and eager window of the full size in bfloat16, in one run."""
        from mobile_vla_ros.benchmark.frames import drawn_frames
        from mobile_vla_ros.benchmark.latency import measure_latency

        # On the CPU bfloat16 may be packed, which leaves the eager window nothing to call.
        dtype = "float32" if self.dry else "bfloat16"
        policy = random_policy(self.size, device=self.device, dtype=dtype)
        found = measure_latency(policy, drawn_frames(), runs=self.runs, lean_pairs=self.runs)
        result: dict[str, Any] = {"ok": True, "runs": self.runs}
        for mode, values in found.modes.items():
            total = values["stages"]["total"]
            result[f"{mode}_ms"] = {key: 1e3 * total[key] for key in ("p50", "p99", "max")}
        result["window_over_stream"] = found.stream_over_window
        result["floor_ms"] = 1e3 * found.floor.seconds
        result["device_bytes"] = found.memory["device_peak"]
        return result

    def preprocessing(self) -> dict[str, Any]:
        """One 1280x720 frame from the host to model input on the device."""
        policy = random_policy("tiny", device=self.device)
        image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        seconds = self._median(lambda: policy.preprocess(image), 5 if self.dry else 50)
        return {"ok": True, "ms": 1e3 * seconds}

    def training(self, mode: str) -> dict[str, Any]:
        """Steps of a training of the full size: memory and samples per second."""
        from mobile_vla_ros.policy.random_policies import run_of
        from mobile_vla_ros.training.module import PolicyTraining
        from mobile_vla_ros.training.run import check_run
        from mobile_vla_ros.training.trainable import attach_adapters

        raw = run_of(self.size, lora_r=32 if mode == "lora" else None)
        raw["train_setup"]["freeze_backbone"] = True
        raw |= {"batch_size": 1, "learning_rate": 1e-4, "train_dataset": {"data_dir": "."}}
        policy = random_policy(self.size, device=self.device, dtype="float32")
        config = policy.config
        metadata = {"image_mean": config.image_mean, "image_std": config.image_std}
        run = check_run(raw)
        if mode == "lora":
            attach_adapters(policy.model, run)
        module = PolicyTraining(policy.model, run, policy._reader, metadata)
        module.to(self.device).train()
        batch = self._batch(config)
        trained = [weight for weight in module.parameters() if weight.requires_grad]
        optimizer = torch.optim.AdamW(trained, 1e-4)

        def step() -> None:
            with torch.autocast(torch.device(self.device).type, torch.bfloat16):
                loss = module.losses(batch)["loss"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        if not self.dry:
            torch.cuda.reset_peak_memory_stats()
        seconds = self._median(step, 2 if self.dry else 6)
        peak = None if self.dry else torch.cuda.max_memory_allocated()
        return {
            "ok": True,
            "trained_values": sum(weight.numel() for weight in trained),
            "windows_per_second": 1 / seconds,
            "device_bytes": peak,
        }

    def onnx(self) -> dict[str, Any]:
        """onnxruntime's CUDA provider, where this machine carries its wheel."""
        import onnxruntime

        from mobile_vla_ros.policy import write_random_checkpoint
        from mobile_vla_ros.policy.convert import convert

        if not self.dry and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            return {"ok": None, "skipped": "this onnxruntime has no CUDAExecutionProvider"}
        source = write_random_checkpoint(self.out / "random", self.size, dtype=torch.bfloat16)
        convert(source, self.out / "converted", dtype="float16", onnx=True)
        policy = load_policy(self.out / "converted", runtime="onnx", device=self.device)
        policy.warm_up(INSTRUCTION)
        stream = policy.stream(INSTRUCTION)
        image = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
        stamps = iter(range(1_000_000))
        seconds = self._median(lambda: stream.step(image, 0.4 * next(stamps)), self.runs)
        return {"ok": True, "dtype": policy.dtype, "stream_ms": 1e3 * seconds}

    def _batch(self, config: Any) -> dict[str, Any]:
        random = torch.Generator().manual_seed(0)
        shape = (1, config.window_size)
        side = config.image_size
        images = torch.randint(0, 256, (*shape, side, side, 3), generator=random)
        labels = torch.rand((*shape, config.chunk_size, config.dof), generator=random)
        return {
            "images": images.to(torch.uint8).to(self.device),
            "instructions": [INSTRUCTION],
            "labels": (2 * labels - 1).to(self.device),
            "mask": torch.ones(labels.shape[:3], dtype=torch.bool, device=self.device),
        }

    def _median(self, work: Callable[[], Any], runs: int) -> float:
        times = []
        for run in range(runs + 2):
            if not self.dry:
                torch.cuda.synchronize()
            begin = time.perf_counter()
            work()
            if not self.dry:
                torch.cuda.synchronize()
            if run >= 2:
                times.append(time.perf_counter() - begin)
        return float(np.median(times))


def main() -> int:
    """Runs the steps, the most wanted first; 1 when one of them fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true", help="the CPU and the smallest sizes")
    parser.add_argument("out", nargs="?", type=Path, default=Path("runs/gpu_check"))
    arguments = parser.parse_args()
    if not arguments.dry and not torch.cuda.is_available():
        print("torch sees no GPU here; --dry tries the script on the CPU", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    check = Check(arguments.dry, arguments.out)
    steps: dict[str, Callable[[], dict[str, Any]]] = {
        "golden tests": check.golden,
        "graph equals eager": check.graph,
        "latency, full size, bfloat16": check.latency,
        "preprocessing on the device": check.preprocessing,
        "training step, frozen": lambda: check.training("frozen"),
        "training step, LoRA": lambda: check.training("lora"),
        "onnxruntime, CUDA provider": check.onnx,
    }
    begin = time.monotonic()
    results: dict[str, Any] = {}
    for name, step in steps.items():
        start = time.monotonic()
        if start - begin > BUDGET:
            results[name] = {"ok": None, "skipped": "no time left"}
            continue
        try:
            results[name] = step()
        except Exception as error:  # noqa: BLE001  one step's failure must not hide the others'
            traceback.print_exc()
            results[name] = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        results[name]["seconds"] = time.monotonic() - start
        print(f"{name}: {json.dumps(results[name], default=str)}", flush=True)
        gc.collect()
        if not arguments.dry:
            torch.cuda.empty_cache()
        _write(arguments.out, arguments.dry, results)
    return int(any(result["ok"] is False for result in results.values()))


def _write(out: Path, dry: bool, results: dict[str, Any]) -> None:
    machine = describe_machine()
    whole = {"dry": dry, "machine": machine, "steps": results}
    (out / "gpu_check.json").write_text(json.dumps(whole, indent=1, default=str), encoding="utf-8")
    name = machine["gpu"]["name"] if machine["gpu"] else machine["cpu"]
    lines = [f"{name}, torch {machine['torch']}{', dry run on the CPU' if dry else ''}", ""]
    lines += ["| what | result | details |", "|---|---|---|"]
    words = {True: "ok", False: "FAILED", None: "skipped"}
    for step, result in results.items():
        details = {key: value for key, value in result.items() if key != "ok"}
        lines.append(f"| {step} | {words[result['ok']]} | {_details(details)} |")
    (out / "gpu_check.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _details(values: dict[str, Any]) -> str:
    parts = []
    for key, value in values.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {_number(item)}" for name, item in value.items())
        parts.append(f"{key.replace('_', ' ')}: {_number(value)}")
    return "; ".join(parts)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
