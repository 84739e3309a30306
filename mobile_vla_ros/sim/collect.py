"""Simulated episodes in bulk, written by the same writer as the robot's."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np

from mobile_vla_ros.axes import PLANAR_AXES
from mobile_vla_ros.episodes import EpisodeWriter, episode_name
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.rig import ATTRIBUTE
from mobile_vla_ros.sim.arena import Arena
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.driver import DriverSettings, ScriptedDriver
from mobile_vla_ros.sim.engine import require_mujoco
from mobile_vla_ros.sim.fields import build_field, parse_field_scenario, refuse_kept
from mobile_vla_ros.sim.scenario import SCENARIOS
from mobile_vla_ros.spreading import HERE, PLACES, spread

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
            parse_field_scenario(name)
            refuse_kept(name)
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
        takeovers: how often a person took over; None: nobody stood beside.
        path_length: m, where a policy drove.
    """

    path: Path
    scenario: str
    seed: int
    success: bool
    rows: int
    simulated: float
    takeovers: int | None = None
    path_length: float = 0.0


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
    on: str = HERE,
) -> list[Collected]:
    """Writes episodes; the same settings give the same bytes, wherever and with how many workers.

    Args:
        directory: where to; made if missing.
        settings: what to collect.
        workers: processes; 1 works in this one.
        progress: called after each episode, in the order in which they get done.
        on: "here" or "ray", whose machines must reach the folder by the same name.

    Returns:
        What was written, in the order of the seeds.

    Raises:
        InputError: a file of that name is there already, or the folder cannot be written.
    """
    if workers < 1:
        raise InputError(f"{workers} workers: give 1 or more")
    if on not in PLACES:
        raise InputError(f"'{on}' is no place to work: give {' or '.join(PLACES)}")
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
    jobs = [(folder, scenario, seed, settings) for scenario, seed in plan]
    for _, item in spread(collect_episode, jobs, workers, on, one_thread):
        done.append(item)
        if progress is not None:
            progress(item)
    return sorted(done, key=lambda item: item.seed)


def collect_episode(
    directory: Path, scenario: str, seed: int, settings: CollectSettings
) -> Collected:
    """Drives and writes one episode."""
    with build_field(scenario, seed, settings.camera) as sim:
        for attempt in range(_ATTEMPTS):
            rng = np.random.default_rng([seed, attempt, 303])
            drive = _drive(sim, settings, rng)
            if drive.success:
                break
    path = episode_path(directory, scenario, seed)
    # What a process that was killed at this episode has left; `collect` saw none there before.
    path.with_name(path.name + ".part").unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    writer = EpisodeWriter(
        path,
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
            **sim.truth(drive.states, settings.frame_period),
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
    states: list[Any] = field(default_factory=list)
    odometry: list[tuple[float, ...]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    persons: list[bool] = field(default_factory=list)
    success: bool = False
    reason: str = ""
    clearance: float = 0.0

    def add(
        self,
        sim: Arena,
        action: tuple[float, float, float],
        image: np.ndarray,
        person: bool = False,
    ) -> None:
        """One row of the present moment.

        Args:
            sim: the field.
            action: the command that starts with it.
            image: what is seen.
            person: a person has taken over.
        """
        self.frames.append(image.copy())
        self.actions.append(action)
        self.states.append(sim.state)
        self.odometry.append(sim.odom.row())
        self.times.append(sim.time)
        self.persons.append(person)

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
                    taken_over=self.persons[row],
                )
            return writer.finish(outcome="success" if self.success else self.reason)


def _drive(sim: Arena, settings: CollectSettings, rng: np.random.Generator) -> Drive:
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


def one_thread() -> None:
    """Each worker renders on one core: software rendering else starts one thread per core."""
    os.environ["LP_NUM_THREADS"] = "1"
