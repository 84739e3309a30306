"""Hears the model: loaded, failed, answered; from the model's own thread.

Takes no lock of its own: what it counts is written by that thread alone, and what the node waits
for while loading is an event.
"""

from __future__ import annotations

import threading
import time

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.nodes.inference.driver import Driver
from mobile_vla_ros.nodes.inference.intake import FrameIntake
from mobile_vla_ros.nodes.inference.model import Frame
from mobile_vla_ros.nodes.inference.outlets import Outlets
from mobile_vla_ros.nodes.inference.settings import DriveError
from mobile_vla_ros.nodes.wiring.diagnostics import Percentiles
from mobile_vla_ros.nodes.wiring.running import StopSignal


class Reception:
    """The node's `ModelEvents`.

    Args:
        log: the node's logger.
        driver: gets chunks and faults.
    """

    def __init__(self, log, driver: Driver) -> None:
        self._log = log
        self._driver = driver
        self._loaded = threading.Event()
        self._refusal = ""
        self.report: dict = {}
        """The latest `ready` message of the model."""
        self.intake: FrameIntake | None = None
        """Counts the frames that the model cannot read."""
        self.outlets: Outlets | None = None
        """Where chunks are shown; None: nowhere."""
        self._image_seconds = Percentiles()
        self._delay_seconds = Percentiles()

    def begin(self) -> None:
        """A model is about to be started."""
        self._loaded.clear()
        self._refusal = ""
        self._image_seconds = Percentiles()
        self._delay_seconds = Percentiles()

    def wait(self, stop: StopSignal) -> dict:
        """Waits until the model is loaded; returns its report.

        Raises:
            DriveError: it cannot be, or the process was told to end.
        """
        while not self._loaded.wait(0.1):
            if stop.is_set():
                raise DriveError("told to end while the policy was loading")
        if self._refusal:
            raise DriveError(self._refusal)
        return self.report

    def readings(self) -> dict[str, object]:
        """For diagnostics."""
        values: dict[str, object] = {}
        for name, percentiles in (
            ("image_decoding", self._image_seconds),
            ("frame_to_chunk", self._delay_seconds),
        ):
            values[f"{name}_p50"], values[f"{name}_p99"] = percentiles.at(50, 99)
        for name, value in self.report.get("policy", {}).items():
            if name == "instructions":
                continue  # too many for a status; `inspect` lists them
            values[name] = ", ".join(value) if isinstance(value, list) else value
        return values

    # -- ModelEvents -------------------------------------------------------------------------

    def worker_ready(self, report: dict) -> None:
        self.report = report
        self._loaded.set()
        if self._driver.model_ready():
            self._log.info("the model works again")

    def worker_refused(self, sentence: str) -> None:
        self.worker_failed(sentence)

    def worker_failed(self, sentence: str) -> None:
        self._refusal = sentence
        self._loaded.set()
        self._driver.model_failed(sentence)

    def out_of_reach(self, reason: str | None, detail: str) -> None:
        if reason is not None:
            self._log.warning(f"{reason}: {detail}")
        self._driver.link(reason, detail)

    def frame_sent(self, frame: Frame) -> None:
        self._driver.sent(frame.stamp)

    def frame_refused(self, frame: Frame, sentence: str, picture: bool) -> None:
        if self.intake is not None:
            self.intake.refuse(sentence)
        self._driver.skipped(frame.stamp, unreadable=picture)

    def frame_passed(self, frame: Frame) -> None:
        self._driver.skipped(frame.stamp)

    def chunk_came(
        self, frame: Frame, chunk: ActionChunk, seconds: dict[str, float], more: dict
    ) -> None:
        now = time.monotonic()
        if not self._driver.result(chunk, seconds["policy"], more["feature_distance"]):
            return
        self._image_seconds.see(seconds["image"])
        self._delay_seconds.see(now - frame.received)
        if self.outlets is not None:
            self.outlets.publish(chunk, frame.stamp_nanoseconds, more.get("feature"))
