"""A policy elsewhere, over links that lose, delay, reorder and break, on a virtual clock."""

from __future__ import annotations

import numpy as np
import pytest

from mobile_vla_ros.control import ActionChunk, Pilot, PilotSettings
from mobile_vla_ros.states import DRIVING, SERVER_LOST, SERVER_REFUSED, STOPPED

AXES = ("linear.x", "angular.z")
PERIOD = 0.05
EPOCH = 1.7e9
STEPS = 10


class Link:
    """Frames out, chunks back, over a network whose state changes at random."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.pilot = Pilot(PilotSettings(), AXES)
        self.pilot.model_loading(0.0)
        self.pilot.model_ready(0.0)
        self.pilot.activate(0.0)
        self.pilot.set_instruction("go", 0.0)
        self.arriving: list[tuple[float, ActionChunk]] = []
        self.heard: list[float] = []
        self.loss = 0.0
        self.delay = 0.05
        self.broken_until = 0.0
        self.reason: str | None = None

    def change(self, now: float) -> None:
        """Now and then the network becomes another one."""
        roll = self.rng.random()
        if roll < 0.01:
            self.loss = float(self.rng.choice([0.0, 0.05, 0.2, 0.6]))
            self.delay = float(self.rng.uniform(0.02, 0.5))
        elif roll < 0.02:
            self.broken_until = now + float(self.rng.choice([0.2, 1.0, 3.0, 6.0]))

    def step(self, now: float):
        """One frame out, what arrives in, one tick; returns the command."""
        rng, pilot, clock = self.rng, self.pilot, EPOCH + now
        self.change(now)
        broken = now < self.broken_until
        # The link's process notices a break late and says so, or not at all when it is short.
        if broken and self.reason is None and rng.random() < 0.1:
            self.reason = SERVER_LOST if rng.random() < 0.8 else SERVER_REFUSED
            pilot.link(self.reason, now)
        elif not broken and self.reason is not None:
            self.reason = None
            pilot.link(None, now)
        if pilot.frame(clock, int(now / PERIOD), now, clock):
            if rng.random() < self.loss or (broken and rng.random() < 0.7):
                pilot.skipped(clock, now)
            else:
                rows = np.full((STEPS, 2), rng.uniform(0.1, 0.3), np.float32)
                due = now + self.delay * float(rng.uniform(0.5, 1.5))
                if broken:
                    due += self.broken_until - now  # held back, and delivered all at once
                self.arriving.append((due, ActionChunk(rows, AXES, clock, 0.4, pilot.generation)))
        rng.shuffle(self.arriving)
        for _due, chunk in [one for one in self.arriving if one[0] <= now]:
            pilot.result(chunk, now, clock)
            self.heard.append(chunk.stamp)
        self.arriving = [one for one in self.arriving if one[0] > now]
        return pilot.tick(now, clock)


@pytest.mark.parametrize("block", range(10))
def test_no_schedule_of_a_link_makes_it_drive_on_what_is_no_longer_valid(block: int) -> None:
    drove = lost = 0
    for seed in range(block * 100, block * 100 + 100):
        link = Link(seed)
        settings = link.pilot.settings
        for tick in range(1, 240):
            now = tick * PERIOD
            command = link.step(now)
            # Whatever drives was computed from a frame captured within the chunk's validity.
            fresh = any(EPOCH + now - stamp < settings.chunk_timeout for stamp in link.heard)
            moving = bool(np.any(command.velocities))
            if command.state == DRIVING and command.wanted is not None:
                assert fresh, f"seed {seed}, {now:.2f} s: it drives on a chunk used up"
                drove += 1
            if not fresh:
                assert not moving, f"seed {seed}, {now:.2f} s: it moves without a valid chunk"
            if command.state == STOPPED + SERVER_LOST:
                assert not moving
                lost += 1
    assert drove > 1000
    assert lost > 100
