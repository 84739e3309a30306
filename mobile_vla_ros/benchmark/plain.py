"""The plain way, which the stream is measured against: the whole window anew at every frame.

It is what the original code does: transformers' own forward passes over all frames of the window,
language-model head included.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from mobile_vla_ros.benchmark.frames import BenchmarkError
from mobile_vla_ros.benchmark.samples import Samples
from mobile_vla_ros.errors import InputError

if TYPE_CHECKING:
    from mobile_vla_ros.policy import Policy

# Threads that wait for work spin for a while before they sleep. Where two processes take turns
# each begins only when the other's threads have stopped.
REST_SECONDS = 0.05
_WAITING = "OMP_WAIT_POLICY"


class Plain(Protocol):
    """What measures the plain way."""

    def remember(self, image: np.ndarray) -> None:
        """Adds a frame, uint8 [H, W, 3], to the window."""

    def window(self) -> tuple[np.ndarray, dict[str, float]]:
        """The newest frame's normalised actions [chunk, dof], and seconds by stage."""

    def frame(self) -> float:
        """Seconds of the newest frame alone, preprocessed before."""


class PlainPasses:
    """The plain way in this process.

    Args:
        policy: not packed (see ``Policy.pack``).
        instruction: what it is told.
    """

    def __init__(self, policy: Policy, instruction: str) -> None:
        self._policy = policy
        self._instruction = instruction
        self._ids = policy.token_ids(instruction)
        self._images: deque[np.ndarray] = deque(maxlen=policy.config.window_size)

    def remember(self, image: np.ndarray) -> None:
        """See ``Plain``."""
        self._images.append(image)

    @torch.inference_mode()
    def window(self) -> tuple[np.ndarray, dict[str, float]]:
        """See ``Plain``."""
        policy, samples = self._policy, Samples(self._policy.device)
        with samples.stage("window", "total"):
            with samples.stage("window", "preprocess"):
                pixels = torch.cat([policy.preprocess(image) for image in self._images])
            with samples.stage("window", "vision"):
                context = policy.model.plain_context(pixels.to(policy.dtype))
            with samples.stage("window", "text"):
                features = policy.model.plain_features(context, self._ids, logits=True).float()
            with samples.stage("window", "head"):
                actions = policy.decode(features[None])[0, -1].cpu().numpy()
        return actions, {stage: times[0] for stage, times in samples.seconds["window"].items()}

    @torch.inference_mode()
    def frame(self) -> float:
        """See ``Plain``."""
        pixels = self._policy.preprocess(self._images[-1])
        samples = Samples(self._policy.device)
        with samples.stage("frame", "plain"):
            self._policy.encode_frames_plainly(pixels, self._instruction, logits=True)
        return samples.seconds["frame"]["plain"][0]


class PlainProcess:
    """The plain way in a process of its own; ``with`` starts and ends it.

    A policy that is packed cannot run it, and in one process the two would share a heap: whether
    the C library keeps the plain pass's large intermediate results or gives them back and fetches
    them anew page by page then depends on what the other has freed, and so does a third of its
    time. Alone it runs as the original code would, its threads waiting the way torch has them.

    Args:
        load: makes the policy; it must be picklable.
        instruction: what it is told.
        threads: of torch.

    Raises:
        BenchmarkError: on entering it, what ``load`` had to say against it.
    """

    def __init__(self, load: Callable[[], Policy], instruction: str, threads: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, load, instruction, threads), daemon=True
        )
        self._theirs = theirs

    def __enter__(self) -> PlainProcess:
        with _as_torch_has_it():
            self._process.start()
        # Its end shall be noticed here: no other writer may be left.
        self._theirs.close()
        self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()
        self._process.terminate()
        self._process.join()

    def remember(self, image: np.ndarray) -> None:
        """See ``Plain``."""
        self._ask("remember", image)

    def window(self) -> tuple[np.ndarray, dict[str, float]]:
        """See ``Plain``."""
        return self._ask("window")

    def frame(self) -> float:
        """See ``Plain``."""
        return self._ask("frame")

    def _ask(self, name: str, *arguments: Any) -> Any:
        time.sleep(REST_SECONDS)
        answer = self._answer((name, arguments))
        time.sleep(REST_SECONDS)
        return answer

    def _answer(self, question: Any = None) -> Any:
        try:
            if question is not None:
                self._connection.send(question)
            complaint, answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join()
            raise BenchmarkError(
                f"the plain passes' process has ended with {self._process.exitcode}; a second "
                "copy of the policy may not fit into memory"
            ) from error
        if complaint:
            raise BenchmarkError(complaint)
        return answer


def _serve(
    connection: Connection, load: Callable[[], Policy], instruction: str, threads: int
) -> None:
    # Ctrl-C is for the process that asked; it ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(threads)
    passes, complaint = None, ""
    try:
        passes = PlainPasses(load(), instruction)
    except InputError as error:
        complaint = str(error)
    # Whoever asked may be gone at any time; then there is nothing left to do.
    with suppress(EOFError, OSError):
        connection.send((complaint, None))
        while passes is not None:
            name, arguments = connection.recv()
            connection.send(("", getattr(passes, name)(*arguments)))


@contextmanager
def _as_torch_has_it() -> Iterator[None]:
    """Without the way of waiting this process was given, for what is started meanwhile."""
    waiting = os.environ.pop(_WAITING, None)
    try:
        yield
    finally:
        if waiting is not None:
            os.environ[_WAITING] = waiting
