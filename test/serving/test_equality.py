"""What a policy elsewhere answers, beside what the same policy answers here, on sim pictures."""

from __future__ import annotations

import asyncio
import secrets

import numpy as np
import pytest
from serving_rig import Ears, Robot, until

from mobile_vla_ros import bundled
from mobile_vla_ros.policy import load_policy
from mobile_vla_ros.serving.link import Link, LinkSettings, Picture
from mobile_vla_ros.serving.picture import shrink
from mobile_vla_ros.serving.server import PolicyServer, ServerSettings
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.live import LiveField

FRAMES = 16
PERIOD = 0.1  # s
# In normalised units, of -1 to 1.
LOSSLESS_LIMIT, JPEG_LIMIT = 1e-4, 0.02
DEFAULT_QUALITY = 90


@pytest.fixture(scope="module")
def policy():
    return load_policy(bundled.find("demo"))


@pytest.fixture(scope="module")
def drives() -> list[tuple[str, list[np.ndarray]]]:
    """(instruction, uint8 [360, 640, 3] pictures) of two drives that weave through a field."""
    seen = []
    for scenario, seed in (("1box_left", 500001), ("2box_right", 500002)):
        field = LiveField(CameraSettings(width=640, height=360), 600.0, None)
        field.set_up(scenario, seed)
        pictures = []
        for index in range(FRAMES):
            field.command(0.25, 0.0, 0.5 * np.sin(index / 5))
            field.advance(PERIOD)
            pictures.append(field.frame().copy())
        seen.append((field.field.instruction, pictures))
        field.close()
    return seen


async def answers_elsewhere(
    drives: list[tuple[str, list[np.ndarray]]], size: int, quality: int
) -> list[list[np.ndarray]]:
    """Chunks of a robot each, all at one server at the same time."""
    model = dict.fromkeys(("backbone", "config"), "") | {"device": "auto", "dtype": "auto"}
    model["checkpoint"] = str(bundled.find("demo"))
    server = PolicyServer(ServerSettings(port=0), model)
    stop, addresses = asyncio.Event(), []
    serving = asyncio.ensure_future(server.run(stop, lambda address, _: addresses.append(address)))
    await until(lambda: bool(addresses) or serving.done(), 50)
    if serving.done():
        serving.result()
    links, robots = [], []
    for _ in drives:
        ears = Ears()
        settings = LinkSettings(addresses[0], secrets.token_hex(16), quality=quality)
        robots.append(Robot(Link(settings, ears), ears))
        links.append(asyncio.ensure_future(robots[-1].link.run()))
    try:
        for robot in robots:
            await until(lambda robot=robot: robot.ears.count("welcomed") == 1)
        for index in range(FRAMES):
            for robot, (instruction, pictures) in zip(robots, drives, strict=True):
                small = shrink(pictures[index], size)
                robot.link.offer(Picture(index, index * PERIOD, 1, instruction, small))
            for robot in robots:
                await until(lambda robot=robot, index=index: index in robot.ears.answers)
    finally:
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        stop.set()
        await asyncio.wait_for(serving, 10)
    return [[robot.ears.answers[i].velocities for i in range(FRAMES)] for robot in robots]


@pytest.mark.egl
@pytest.mark.parametrize(
    ("quality", "limit"), [(0, LOSSLESS_LIMIT), (DEFAULT_QUALITY, JPEG_LIMIT)]
)
def test_chunks_from_elsewhere_are_those_of_here(
    policy, drives, quality: int, limit: float, capfd, run
) -> None:
    found: list = []

    async def story() -> None:
        found.extend(await answers_elsewhere(drives, policy.config.image_size, quality))

    run(story())
    worst = []
    for (instruction, pictures), answers in zip(drives, found, strict=True):
        stream = policy.stream(instruction)
        for index, (picture, answer) in enumerate(zip(pictures, answers, strict=True)):
            here = stream.step(picture, index * PERIOD, generation=1).velocities
            normalised = [policy.config.normalise(one) for one in (here, answer)]
            worst.append(float(np.abs(normalised[0] - normalised[1]).max()))
    # Two robots at once, so a frame in the other's window would show here as well.
    with capfd.disabled():
        kind = f"JPEG of quality {quality}" if quality else "lossless"
        print(
            f"\n{kind}, {len(worst)} sim pictures, normalised: chunks differ by"
            f" {np.median(worst):.1e} in the middle, {max(worst):.1e} at most"
        )
    assert max(worst) <= limit
