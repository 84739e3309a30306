"""Simulated episodes in bulk, written by the same writer as the robot's."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import EpisodeWriter, episode_name
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import ATTRIBUTE
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.driver import DriverSettings, ScriptedDriver
from mobile_vla_ros.sim.engine import require_mujoco
from mobile_vla_ros.sim.expert import FieldState
from mobile_vla_ros.sim.field import Field
from mobile_vla_ros.sim.scenario import SCENARIOS, parse_scenario
from mobile_vla_ros.sim.truth import truth_attributes

STANDING = 2.0  # s of standstill at the end of each episode, so that stopping is learned
EPOCH = datetime(2000, 1, 1, tzinfo=timezone.utc)  # simulated time starts `seed` seconds after it
MOST_SEEDS = 1 << 31
_ATTEMPTS = 5


@dataclass(frozen=True)
class CollectSettings:
    """What to collect.

    Attributes:
        scenarios: names, taken in turn.
        episodes: how many in all.
        seed: the first episode's seed; the next ones count up, so two collections with ranges
            of seeds that do not overlap share no field.
        driver: how the scripted driver drives.
        camera: what is recorded.
        frame_period: s between rows; each command is held so long.
        image_format: "jpeg" or "raw".
        jpeg_quality: 1 to 100.
    """

    scenarios: tuple[str, ...] = SCENARIOS
    episodes: int = 10
    seed: int = 0
    driver: DriverSettings = field(default_factory=DriverSettings)
    camera: CameraSettings = field(default_factory=CameraSettings)
    frame_period: float = 0.4
    image_format: str = "jpeg"
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        for name in self.scenarios:
            parse_scenario(name)
        if not self.scenarios:
            raise InputError(f"no scenario given: choose from {', '.join(SCENARIOS)}")
        if self.episodes < 1:
            raise InputError(f"{self.episodes} episodes: give 1 or more")
        if self.seed < 0 or self.seed + self.episodes > MOST_SEEDS:
            raise InputError(f"a seed of {self.seed}: give 0 to {MOST_SEEDS - self.episodes}")
        if self.image_format not in ("jpeg", "raw"):
            raise InputError(f"'{self.image_format}' is no image format: give jpeg or raw")
        if not 0.1 <= self.frame_period <= 0.48:
            raise InputError(
                f"a frame period of {self.frame_period:g} s: give 0.1 to 0.48 s, since the base "
                "stops 0.5 s after a command"
            )

    def plan(self) -> list[tuple[str, int]]:
        """(scenario, seed) of each episode."""
        return [
            (self.scenarios[i % len(self.scenarios)], self.seed + i) for i in range(self.episodes)
        ]


@dataclass(frozen=True)
class Collected:
    """One episode that was written.

    Attributes:
        path: the file.
        scenario, seed: what it shows.
        success: the scripted driver reached the bottle (in one of five tries with other pushes).
        rows: frames in it.
        simulated: s of simulated time.
    """

    path: Path
    scenario: str
    seed: int
    success: bool
    rows: int
    simulated: float


def start_time(seed: int) -> datetime:
    """The date at which the field of ``seed`` begins: names and stamps follow from it alone."""
    return EPOCH + timedelta(seconds=seed)


def episode_path(directory: Path, scenario: str, seed: int) -> Path:
    """Where an episode goes; no two seeds share a name, so workers cannot collide."""
    return directory / episode_name(start_time(seed), scenario)


def collect(
    directory: str | Path,
    settings: CollectSettings,
    workers: int = 1,
    progress: Callable[[Collected], None] | None = None,
) -> list[Collected]:
    """Writes episodes; the same settings give the same bytes, with any number of workers.

    Args:
        directory: where to; made if missing.
        settings: what to collect.
        workers: processes; 1 works in this one.
        progress: called after each episode, in the order in which they get done.

    Returns:
        What was written, in the order of the seeds.

    Raises:
        InputError: a file of that name is there already, or the folder cannot be written.
    """
    if workers < 1:
        raise InputError(f"{workers} workers: give 1 or more")
    require_mujoco()
    folder = Path(directory)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    plan = settings.plan()
    for scenario, seed in plan:
        taken = episode_path(folder, scenario, seed)
        if taken.exists():
            raise InputError(f"{taken} is there already: choose another --seed or an empty folder")
    done: list[Collected] = []
    for item in _work(folder, settings, plan, min(workers, len(plan))):
        done.append(item)
        if progress is not None:
            progress(item)
    return sorted(done, key=lambda item: item.seed)


def collect_episode(
    directory: Path, scenario: str, seed: int, settings: CollectSettings
) -> Collected:
    """Drives and writes one episode."""
    with Field(scenario, seed, settings.camera) as sim:
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([seed, attempt, 303])
            drive = _drive(sim, settings, rng)
            if drive.success:
                break
    writer = EpisodeWriter(
        episode_path(directory, scenario, seed),
        scenario=scenario,
        instruction=sim.instruction,
        action_axes=PLANAR_AXES,
        frame_period=settings.frame_period,
        image_format=settings.image_format,
        jpeg_quality=settings.jpeg_quality,
        camera={"name": "simulated field", "encoding": "rgb8", **asdict(settings.camera)},
        odom=True,
        attributes={
            "driver": settings.driver.style,
            "driver_noise": settings.driver.noise,
            "clearance": drive.clearance,
            ATTRIBUTE: settings.camera.rig.to_json(),
            **truth_attributes(drive.states, settings.camera, settings.frame_period),
        },
        flush=False,
    )
    path = drive.write(writer, start_time(seed).timestamp())
    simulated = (len(drive.frames) - 1) * settings.frame_period
    return Collected(path, scenario, seed, drive.success, len(drive.frames), simulated)


@dataclass
class Drive:
    """One run's rows, kept in memory until it is known how it ended."""

    frames: list[np.ndarray] = field(default_factory=list)
    actions: list[tuple[float, float, float]] = field(default_factory=list)
    states: list[FieldState] = field(default_factory=list)
    odometry: list[tuple[float, ...]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    success: bool = False
    reason: str = ""
    clearance: float = 0.0

    def add(self, sim: Field, action: tuple[float, float, float], image: np.ndarray) -> None:
        """One row of the present moment; ``action`` is the command that starts with it."""
        self.frames.append(image.copy())
        self.actions.append(action)
        self.states.append(sim.state)
        self.odometry.append(sim.odom.row())
        self.times.append(sim.time)

    def write(self, writer: EpisodeWriter, epoch: float) -> Path:
        """Writes all rows; ``epoch`` is the Unix time (s) of the run's beginning."""
        with writer:
            for row, frame in enumerate(self.frames):
                stamp = epoch + self.times[row]
                standing = not any(self.actions[row])
                writer.append(
                    image=frame,
                    action=self.actions[row],
                    event="stop_action" if standing else "start_action",
                    image_stamp=stamp,
                    received_stamp=stamp,
                    action_stamp=stamp,
                    odom=(*self.odometry[row][:6], stamp),
                )
            return writer.finish(outcome="success" if self.success else self.reason)


def _drive(sim: Field, settings: CollectSettings, rng: np.random.Generator) -> Drive:
    sim.reset()
    driver = ScriptedDriver(sim, settings.driver, rng)
    drive = Drive()
    standing = 0
    while True:
        action = driver.action()
        drive.add(sim, action, sim.render())
        standing = standing + 1 if not any(action) else 0
        outcome = sim.outcome()
        stood = (standing - 1) * settings.frame_period >= STANDING - 1e-6
        if outcome.decided and (stood or not outcome.success):
            break
        sim.step(action, settings.frame_period)
    drive.success, drive.reason = outcome.success, outcome.reason
    drive.clearance = outcome.clearance
    return drive


def _work(
    folder: Path, settings: CollectSettings, plan: Sequence[tuple[str, int]], workers: int
) -> Iterator[Collected]:
    if workers == 1:
        for scenario, seed in plan:
            yield collect_episode(folder, scenario, seed, settings)
        return
    # Spawned, not forked: a graphics context does not survive a fork.
    pool = ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), initializer=_one_thread
    )
    try:
        futures = [
            pool.submit(collect_episode, folder, scenario, seed, settings)
            for scenario, seed in plan
        ]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _one_thread() -> None:
    """Each worker renders on one core: software rendering else starts one thread per core."""
    os.environ["LP_NUM_THREADS"] = "1"
