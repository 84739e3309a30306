"""The model's own process behind the server: frames of many robots in, chunks out, one at a time.

Started by `model_process.ModelProcess`, never by hand. Every robot has a stream of its own, so
that no frame of one reaches the window of another; they share the weights. A model that raises
ends this process with its last words, and the server starts another.

The channel is a stream socket of packets, each with its length before it (four bytes, big-endian).
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import msgpack
import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.serving import wire
from mobile_vla_ros.serving.errors import WireError
from mobile_vla_ros.serving.picture import expand

LENGTH = struct.Struct(">I")
# Kinds of packets to the server, before their contents.
READY, REFUSED, ANSWER, FAILED = "ready", "refused", "answer", "failed"
_PR_SET_PDEATHSIG = 1


def load_from_checkpoint(settings: dict[str, Any]) -> Any:
    """Loads the policy that ``settings`` names; the only place where a model library comes in."""
    from mobile_vla_ros.policy import load_policy

    policy = load_policy(
        settings["checkpoint"],
        backbone=settings["backbone"] or None,
        config=settings["config"] or None,
        device=settings["device"],
        dtype=settings["dtype"],
        runtime=settings.get("runtime", "auto"),
    )
    policy.require_driving()
    return policy


class Model:
    """Answers frames of several robots with one policy.

    Args:
        policy: a loaded policy that drives.
    """

    def __init__(self, policy: Any) -> None:
        self._policy = policy
        self._size = policy.config.image_size
        self._streams: dict[str, tuple[tuple, Any, int]] = {}

    def forget(self, robot: str) -> None:
        """Drops a robot's stream and all it remembers."""
        self._streams.pop(robot, None)

    def answer(
        self, robot: str, overrides: dict[str, Any], frame: wire.FrameMessage
    ) -> wire.ChunkMessage | wire.RefusedFrame:
        """Encodes a frame into its robot's window and predicts.

        Raises:
            Exception: whatever the model raises; it is not to be trusted after that.
        """
        begin = time.monotonic()
        try:
            image = expand(frame.form, frame.data, self._size)
            stream = self._stream(robot, overrides, frame)
        except InputError as error:
            return wire.RefusedFrame(frame.id, str(error)[: wire.MAX_TEXT])
        read = time.monotonic()
        chunk = stream.step(image, frame.stamp, generation=frame.generation)
        done = time.monotonic()
        feature = stream.feature if frame.feature else None
        return wire.ChunkMessage(
            id=frame.id,
            stamp=chunk.stamp,
            generation=chunk.generation,
            velocities=np.ascontiguousarray(chunk.velocities, "<f4"),
            action_period=float(chunk.action_period),
            window_stamps=np.asarray(chunk.window_stamps, "<f8"),
            image_seconds=read - begin,
            policy_seconds=done - read,
            feature_distance=float(stream.feature_distance),
            feature=None if feature is None else np.ascontiguousarray(feature, "<f4"),
        )

    def _stream(self, robot: str, overrides: dict[str, Any], frame: wire.FrameMessage) -> Any:
        key = (frame.instruction, json.dumps(overrides, sort_keys=True))
        known, stream, generation = self._streams.get(robot, (None, None, -1))
        if known != key:
            stream = self._policy.stream(frame.instruction, **overrides)
        elif generation != frame.generation:
            assert stream is not None
            stream.reset()
        self._streams[robot] = (key, stream, frame.generation)
        return stream

    def time_a_step(self) -> float:
        """Seconds that a frame costs once everything is warm."""
        size = self._size
        image = np.random.default_rng(0).integers(0, 255, (size, size, 3), dtype=np.uint8)
        stream = self._policy.stream("move forward")
        seconds = 0.0
        for stamp in (0.0, 1e-3):
            begin = time.monotonic()
            stream.step(image, stamp)
            seconds = time.monotonic() - begin
        return seconds


def welcome(policy: Any, checkpoint: str, load_seconds: float, step_seconds: float) -> dict:
    """What robots are told of the policy; see ``wire.Welcome``."""
    config = policy.config
    return {
        "policy": {
            "window_size": config.window_size,
            "chunk_size": config.chunk_size,
            "image_size": config.image_size,
            "action_axes": list(config.action_axes),
            "action_axes_confirmed": bool(config.action_axes_confirmed),
            "frame_period": float(config.frame_period),
            "action_period": float(config.action_period),
            "instructions": list(getattr(getattr(policy, "provenance", None), "instructions", ())),
            "device": str(policy.device),
            "dtype": str(policy.dtype).removeprefix("torch."),
            "checkpoint": checkpoint,
        },
        "load_seconds": load_seconds,
        "step_seconds": step_seconds,
    }


class Channel:
    """Packets over a stream socket, for the model's side; blocking."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rwb")

    def read(self) -> Any:
        """The next packet; None when the other side has gone."""
        with contextlib.suppress(ConnectionError):
            head = self._file.read(LENGTH.size)
            if len(head) == LENGTH.size:
                body = self._file.read(LENGTH.unpack(head)[0])
                return msgpack.unpackb(body, max_bin_len=2 * wire.MAX_MESSAGE)
        return None

    def write(self, *values: Any) -> None:
        """Sends one packet; nothing happens when the other side has gone."""
        body = msgpack.packb(values)
        with contextlib.suppress(ConnectionError):
            self._file.write(LENGTH.pack(len(body)) + body)
            self._file.flush()


def serve(channel: Channel, load: Callable[[dict[str, Any]], Any]) -> int:
    """Works until the server goes away; returns the exit status."""
    settings = channel.read()
    if settings is None:
        return 0
    begin = time.monotonic()
    try:
        policy = load(settings)
        policy.warm_up()
        model = Model(policy)
        loaded = time.monotonic() - begin
        step = model.time_a_step()
    except InputError as error:
        channel.write(REFUSED, str(error))
        return 1
    except Exception as error:  # noqa: BLE001  the server is told whatever it was
        traceback.print_exc()
        channel.write(FAILED, _words(error))
        return 1
    channel.write(READY, welcome(policy, str(settings["checkpoint"]), loaded, step))
    while (order := channel.read()) is not None:
        robot, overrides, packet = order
        if packet is None:
            model.forget(robot)
            continue
        try:
            frame = wire.unpack(packet, wire.FROM_ROBOT)
            channel.write(ANSWER, wire.pack(model.answer(robot, overrides, frame)))
        except Exception as error:  # noqa: BLE001  likewise
            if not isinstance(error, WireError):
                traceback.print_exc()
            channel.write(FAILED, _words(error))
            return 1
    return 0


def _words(error: Exception) -> str:
    reason = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {reason}"


def main(
    argv: list[str] | None = None,
    load: Callable[[dict[str, Any]], Any] = load_from_checkpoint,
) -> int:
    """Runs the model on the descriptor that the server has handed down."""
    parser = argparse.ArgumentParser(description="the model's process; started by its server")
    parser.add_argument("--parent", type=int, required=True, help="process id of the server")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket")
    arguments = parser.parse_args(argv)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != arguments.parent:
        return 0
    # The server decides when the model ends; a terminal signals the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection = socket.socket(fileno=arguments.channel)
    return serve(Channel(connection), load)


if __name__ == "__main__":
    sys.exit(main())
