"""What a link to a policy server is like: the times that a robot would see, without a robot."""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, replace

import numpy as np

from mobile_vla_ros.serving import wire
from mobile_vla_ros.serving.errors import ServingError
from mobile_vla_ros.serving.link import Link, LinkSettings, Picture
from mobile_vla_ros.serving.picture import compress

CONNECT_SECONDS = 10.0
LAST_ANSWER_SECONDS = 2.0
INSTRUCTION = "move forward"


@dataclass(frozen=True)
class LinkReport:
    """What was measured.

    Attributes:
        policy: of the server, as in ``wire.Welcome``.
        step_seconds: what a frame costs its model.
        frames: sent.
        answers: chunks that came.
        frame_to_chunk: seconds from handing over each answered frame to its chunk.
        policy_seconds: of those, in the model.
        wait_seconds: of those, waiting for other robots.
        round_trips: seconds of the link's own pings.
        bytes_per_frame: mean size of a compressed frame.
        seconds: that the frames took.
    """

    policy: dict
    step_seconds: float
    frames: int
    answers: int
    frame_to_chunk: list[float]
    policy_seconds: list[float]
    wait_seconds: list[float]
    round_trips: list[float]
    bytes_per_frame: float
    seconds: float

    @property
    def megabits_per_second(self) -> float:
        """Of the pictures, on their way to the server."""
        return 8e-6 * self.bytes_per_frame * self.frames / self.seconds


class _Ears:
    """Keeps what the link tells."""

    def __init__(self) -> None:
        self.welcome: wire.Welcome | None = None
        self.refusal = ""
        self.trouble = ""
        self.sent: dict[int, float] = {}
        self.answers: list[tuple[float, wire.ChunkMessage]] = []

    def welcomed(self, welcome: wire.Welcome) -> None:
        self.welcome = welcome

    def lost(self, sentence: str) -> None:
        self.trouble = sentence or self.trouble

    def refused(self, sentence: str, again: bool) -> None:
        self.refusal = sentence

    def failed(self, sentence: str) -> None:
        self.trouble = f"its model has failed: {sentence}"

    def answered(self, answer: wire.ChunkMessage) -> None:
        self.answers.append((time.monotonic() - self.sent[answer.id], answer))

    def unanswered(self, number: int, sentence: str) -> None:
        self.trouble = sentence or self.trouble


def probe(settings: LinkSettings, frames: int = 50, rate: float = 10.0) -> LinkReport:
    """Sends drawn frames at a camera's rate and hears what comes back.

    Args:
        settings: of the link; ``robot`` is drawn anew.
        frames: how many.
        rate: per second.

    Raises:
        ServingError: the server cannot be reached, or refuses.
    """
    return asyncio.run(_probe(replace(settings, robot=secrets.token_hex(16)), frames, rate))


async def _probe(settings: LinkSettings, frames: int, rate: float) -> LinkReport:
    ears = _Ears()
    link = Link(settings, ears)
    keeping = asyncio.ensure_future(link.run())
    try:
        end = time.monotonic() + CONNECT_SECONDS
        while ears.welcome is None:
            if ears.refusal:
                raise ServingError(ears.refusal)
            if time.monotonic() > end:
                raise ServingError(ears.trouble or f"{settings.url} does not answer")
            await asyncio.sleep(0.02)
        size = ears.welcome.policy["image_size"]
        drawn = _pictures(size)
        begin = time.monotonic()
        for index in range(frames):
            ears.sent[index] = time.monotonic()
            image = drawn[index % len(drawn)]
            link.offer(Picture(index, index / rate, 0, INSTRUCTION, image))
            await asyncio.sleep(max(0.0, begin + (index + 1) / rate - time.monotonic()))
        seconds = time.monotonic() - begin
        end = time.monotonic() + LAST_ANSWER_SECONDS
        while len(ears.answers) < frames and time.monotonic() < end:
            await asyncio.sleep(0.02)
        sizes = [len(compress(image, settings.quality)[1]) for image in drawn]
        return LinkReport(
            policy=ears.welcome.policy,
            step_seconds=ears.welcome.step_seconds,
            frames=frames,
            answers=len(ears.answers),
            frame_to_chunk=[took for took, _ in ears.answers],
            policy_seconds=[answer.policy_seconds for _, answer in ears.answers],
            wait_seconds=[answer.wait_seconds for _, answer in ears.answers],
            round_trips=link.round_trips,
            bytes_per_frame=float(np.mean(sizes)),
            seconds=seconds,
        )
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)


def _pictures(size: int) -> list[np.ndarray]:
    """A few pictures about as hard to compress as a room: soft shapes with a little noise."""
    rng = np.random.default_rng(0)
    across, down = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    pictures = []
    for index in range(4):
        waves = [np.sin(9 * across * (c + 1) + 5 * down + index) for c in range(3)]
        noise = rng.normal(0, 3, (size, size, 3))
        pictures.append(np.clip(128 + 90 * np.stack(waves, 2) + noise, 0, 255).astype(np.uint8))
    return pictures
