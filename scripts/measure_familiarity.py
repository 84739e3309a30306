"""Measures the distance from training: of ordinary drives, and with light or camera changed.

    python scripts/measure_familiarity.py --seed 100500 --drives 48 --altered 16

The policy drives fields of the simulator; each recorded drive is then read again with its pictures
altered, and a few are driven once more with the camera mounted otherwise. A drive counts as warned
when the mean over the last seconds ever goes beyond the level.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SCENARIOS = ("1box_left", "1box_right", "2box_left", "2box_right")
PERIOD = 0.2

Picture = np.ndarray
Reading = tuple[float, float, bool]
"""Median and highest reading of a drive, and whether it reached the bottle."""


def _light(*factors: float) -> Callable[[Picture], Picture]:
    scale = np.array(factors)
    return lambda picture: np.clip(picture * scale, 0, 255).astype(np.uint8)


def _blurred(picture: Picture) -> Picture:
    import cv2

    return cv2.GaussianBlur(picture, (0, 0), 12)


def _alterations(rng: np.random.Generator) -> dict[str, Callable[[Picture], Picture]]:
    return {
        "as it is": lambda picture: picture,
        "half the light": _light(0.5),
        "a quarter of the light": _light(0.25),
        "1.6 times the light": _light(1.6),
        "warm light": _light(1.3, 1.0, 0.6),
        "upside down": lambda picture: np.ascontiguousarray(picture[::-1, ::-1]),
        "out of focus": _blurred,
        "flat grey": lambda picture: np.full_like(picture, 90),
        "black": np.zeros_like,
        "lens covered (noise)": lambda picture: np.clip(
            rng.normal(12, 3, picture.shape), 0, 255
        ).astype(np.uint8),
    }


def main() -> None:
    from mobile_vla_ros.control.caution import WarningLevels
    from mobile_vla_ros.policy import load_policy
    from mobile_vla_ros.sim.camera import CameraSettings

    arguments = _arguments()
    policy = load_policy(arguments.policy, device="cpu", dtype="float32")
    level = WarningLevels().feature_distance if arguments.level is None else arguments.level
    alterations = _alterations(np.random.default_rng(0))
    table: dict[str, list[list[Reading]]] = {}
    for number in range(arguments.drives):
        seed = arguments.seed + number
        pictures, instruction, reached = _drive(policy, seed, CameraSettings())
        for name, alter in alterations.items():
            if name == "as it is" or number < arguments.altered:
                seen = [alter(picture) for picture in pictures]
                _note(table, name, _readings(policy, seen, instruction, reached))
    mounts = {
        "camera 10 degrees lower": CameraSettings(tilt=30),
        "camera 8 degrees higher": CameraSettings(tilt=12),
        "camera 20 cm up": CameraSettings(mount_height=0.6),
    }
    for name, camera in mounts.items():
        for number in range(arguments.altered):
            drive = _drive(policy, arguments.seed + number, camera)
            _note(table, name, _readings(policy, *drive))
    print(f"level {level:g}; readings: median drive, highest of any drive")
    print("| | drives | whole: reading | warned | mean and spread alone: reading | warned |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, kinds in table.items():
        cells = [f"{len(kinds[0])}"]
        for drives in kinds:
            worst = max(highest for _, highest, _ in drives)
            warned = sum(highest > level for _, highest, _ in drives)
            middle = np.median([median for median, _, _ in drives])
            cells += [f"{middle:.2f}, {worst:.2f}", f"{warned}"]
        print(f"| {name} | {' | '.join(cells)} |")
    failed = [highest for _, highest, reached in table["as it is"][0] if not reached]
    print("readings of ordinary drives that failed:", [round(value, 2) for value in failed])


def _drive(policy, seed: int, camera) -> tuple[list[Picture], str, bool]:
    from mobile_vla_ros.control.pilot import PilotSettings
    from mobile_vla_ros.sim.closed_loop import LoopSettings, drive
    from mobile_vla_ros.sim.field import Field

    loop = LoopSettings(camera_period=PERIOD, pilot=PilotSettings(image_timeout=0.5))
    pictures: list[Picture] = []
    with Field(SCENARIOS[seed % len(SCENARIOS)], seed, camera=camera) as field:
        run = drive(field, policy, loop, on_frame=lambda image, _: pictures.append(image.copy()))
        return pictures, field.instruction, run.outcome.success


def _readings(policy, pictures: list[Picture], instruction: str, reached: bool) -> list[Reading]:
    """By the policy's statistics, and by what an older checkpoint knows of them."""
    from mobile_vla_ros.policy.familiarity import Familiarity, FeatureStatistics

    whole = policy.provenance.statistics
    arrays = whole.arrays()
    single = FeatureStatistics.from_arrays({key: arrays[key] for key in ("mean", "std")})
    kinds = [Familiarity(whole), Familiarity(single)]
    told: list[list[float]] = [[], []]
    for number, picture in enumerate(pictures):
        feature, context = (part.numpy() for part in policy.look(picture, instruction))
        for familiar, readings in zip(kinds, told, strict=True):
            familiar.add(number * PERIOD, feature, context)
            readings.append(familiar.distance)
    return [(float(np.nanmedian(r)), float(np.nanmax(r)), reached) for r in told]


def _note(table: dict[str, list[list[Reading]]], name: str, readings: list[Reading]) -> None:
    for kind, reading in zip(table.setdefault(name, [[], []]), readings, strict=True):
        kind.append(reading)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    policy = ROOT / "mobile_vla_ros" / "data" / "demo_policy"
    parser.add_argument("--policy", type=Path, default=policy)
    parser.add_argument("--seed", type=int, default=100_500, help="of the first field")
    parser.add_argument("--drives", type=int, default=48)
    parser.add_argument("--altered", type=int, default=16, help="drives that are altered as well")
    parser.add_argument("--level", type=float, help="of the warning; by default the node's")
    return parser.parse_args()


if __name__ == "__main__":
    main()
