"""What the node asks of the policy's model, wherever it runs, and what it hears of it.

The seam between the node and a process that has the policy: `worker_client.ModelWorker` starts one
on this machine; whatever reaches a policy elsewhere offers the same. Frames go out by capture
stamp and generation, chunks come back with those of the frame that they answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.pictures import ImageFormat


@dataclass(frozen=True)
class Frame:
    """What is known of a frame beside its pixels.

    Attributes:
        stamp: capture time, seconds.
        stamp_nanoseconds: the same, exact.
        generation: order (instruction, stop, reset) that it was taken under.
        instruction: what the policy is told.
        form: how to read the bytes; None for a compressed image.
        received: steady clock, seconds.
    """

    stamp: float
    stamp_nanoseconds: int
    generation: int
    instruction: str
    form: ImageFormat | None
    received: float


class Model(Protocol):
    """A policy in another process; nothing here waits for it."""

    features_wanted: bool
    """Whether the model is to send each frame's feature along with its chunk."""

    @property
    def replaced(self) -> int:
        """Frames that a newer one replaced before the model had time for them."""

    def start(self, settings: dict) -> None:
        """Gets a policy ready, ending the one before (see `settings.model_settings`)."""

    def stop(self) -> None:
        """Ends the policy's process, or lets go of it."""

    def offer(self, frame: Frame, data: Any) -> None:
        """Copies a frame for the model; an older one that still waits is forgotten.

        Args:
            frame: all about it but the pixels.
            data: buffer of its bytes; copied once, before this returns.

        Raises:
            ValueError: the image is larger than there is room for.
        """

    @property
    def alive(self) -> bool:
        """Whether what is behind it still works (the policy itself may be down for a while)."""

    def close(self) -> None:
        """Ends everything; returns within about a second whatever hangs."""


class ModelEvents(Protocol):
    """What a `Model` tells its owner; called from the model's own thread."""

    def worker_ready(self, report: dict) -> None:
        """The policy is loaded and warm; `report` is the worker's `ready` message."""

    def worker_refused(self, sentence: str) -> None:
        """The policy cannot be used, for the reason in `sentence`; the process has ended."""

    def worker_failed(self, sentence: str) -> None:
        """The process has ended although nobody ended it."""

    def out_of_reach(self, reason: str | None, detail: str) -> None:
        """The way to a policy elsewhere is lost (a reason of `Pilot.link`), or back (None)."""

    def frame_sent(self, frame: Frame) -> None:
        """The model has `frame` now; also called from the thread that offered it."""

    def frame_refused(self, frame: Frame, sentence: str, picture: bool) -> None:
        """The bytes of `frame` are no image (`picture`), or its instruction is none."""

    def frame_passed(self, frame: Frame) -> None:
        """There will be no chunk for `frame`: a newer one took its place, or the way is lost."""

    def chunk_came(
        self, frame: Frame, chunk: ActionChunk, seconds: dict[str, float], more: dict
    ) -> None:
        """The chunk of `frame`, and the seconds spent on it by stage.

        `more` has `feature_distance` (from training, NaN when unknown) and `feature`
        (see `features.pack_feature`), None unless `features_wanted`.
        """
