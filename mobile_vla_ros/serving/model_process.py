"""The server's side of the model's process: start it, hand it frames, hear its answers, end it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from typing import Any

import msgpack

from mobile_vla_ros.serving import wire
from mobile_vla_ros.serving.errors import ServingError
from mobile_vla_ros.serving.model import ANSWER, LENGTH, READY, REFUSED

MODEL_COMMAND = (sys.executable, "-m", "mobile_vla_ros.serving.model")
# The first answer may include work that is done once per instruction; a full-size model on a CPU
# takes seconds per frame.
SHORTEST_PATIENCE = 10.0
STEPS_OF_PATIENCE = 20.0
_REAP_SECONDS = 1.0
_LARGEST_PACKET = 2 * wire.MAX_MESSAGE


class ModelFailure(Exception):
    """The model's process has ended, raised or hung; the text says which."""


class ModelProcess:
    """One running model.

    Args:
        settings: ``checkpoint``, ``backbone``, ``config``, ``device``, ``dtype``.
        command: program of the process.
    """

    def __init__(self, settings: dict[str, Any], command: tuple[str, ...] = MODEL_COMMAND) -> None:
        self._settings = settings
        self._command = command
        self._process: subprocess.Popen | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._patience = SHORTEST_PATIENCE

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def start(self) -> dict[str, Any]:
        """Starts the process and waits until the policy is warm.

        Returns:
            The fields of a ``wire.Welcome``.

        Raises:
            ServingError: the checkpoint cannot be used.
            ModelFailure: the process ended otherwise.
        """
        ours, theirs = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                [*self._command, f"--parent={os.getpid()}", f"--channel={theirs.fileno()}"],
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                # Threads that wait must not spin: the event loop needs the processor too.
                env={"OMP_WAIT_POLICY": "PASSIVE", **os.environ},
                start_new_session=True,
            )
        except OSError as error:
            ours.close()
            raise ModelFailure(f"the model's process cannot be started: {error}") from error
        finally:
            theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours)
        self._send(self._settings)
        kind, content = await self._receive()
        if kind == REFUSED:
            raise ServingError(content)
        if kind != READY:
            raise ModelFailure(content)
        steps = STEPS_OF_PATIENCE * content["step_seconds"]
        self._patience = max(SHORTEST_PATIENCE, steps)
        return content

    async def step(self, robot: str, overrides: dict[str, Any], frame: wire.FrameMessage) -> Any:
        """The answer to a frame: a ``wire.ChunkMessage`` or a ``wire.RefusedFrame``.

        Raises:
            ModelFailure: the model raised, died, or has not answered in time.
        """
        self._send((robot, overrides, wire.pack(frame)))
        try:
            kind, content = await asyncio.wait_for(self._receive(), self._patience)
        except asyncio.TimeoutError as error:
            raise ModelFailure(f"the model has not answered for {self._patience:g} s") from error
        if kind != ANSWER:
            raise ModelFailure(content)
        return wire.unpack(content, wire.FROM_SERVER)

    def forget(self, robot: str) -> None:
        """Lets the model drop what it remembers of a robot."""
        if self._writer is not None:
            self._send((robot, {}, None))

    async def close(self) -> None:
        """Ends the process by SIGKILL: it has nothing to save, and it may be deaf."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        process, self._process = self._process, None
        if process is None:
            return
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            await asyncio.get_running_loop().run_in_executor(None, process.wait, _REAP_SECONDS)

    def _send(self, values: Any) -> None:
        assert self._writer is not None
        body = msgpack.packb(values)
        self._writer.write(LENGTH.pack(len(body)) + body)

    async def _receive(self) -> tuple[str, Any]:
        assert self._reader is not None
        try:
            head = await self._reader.readexactly(LENGTH.size)
            size = LENGTH.unpack(head)[0]
            if size > _LARGEST_PACKET:
                raise ModelFailure(f"the model sent a packet of {size} bytes")
            body = await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ModelFailure(f"the model's process ended with {self._ending()}") from error
        kind, content = msgpack.unpackb(body, max_bin_len=_LARGEST_PACKET)
        return kind, content

    def _ending(self) -> str:
        assert self._process is not None
        try:
            status = self._process.wait(_REAP_SECONDS)
        except subprocess.TimeoutExpired:
            return "its channel closed"
        return f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
