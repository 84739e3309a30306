"""The model's own process: frames come through shared memory, chunks go back as messages.

Started by `worker_client.ModelWorker`, never by hand. It is the only process that loads torch, so
whatever the model does (hold the interpreter lock, crash, hang), the node keeps publishing.

What the two say to each other is in `messages`.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import os
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.inference.messages import (
    MESSAGE_BYTES,
    ChunkAnswer,
    Failed,
    FrameOrder,
    FrameRefused,
    LoadOrder,
    Ready,
    Refused,
    pack,
    unpack,
)
from mobile_vla_ros.nodes.wiring.features import pack_feature
from mobile_vla_ros.nodes.wiring.images import ImageError, decode_compressed, to_rgb
from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames
from mobile_vla_ros.pictures import LARGEST

# Two frames: one that the process works on, and the newest, which waits.
SLOTS = 2
# Far larger than any camera image, so that a change of image size needs no new mapping.
SLOT_BYTES = LARGEST
# The publisher of velocities must get the processor whenever it wants it.
NICENESS = 5
_PR_SET_PDEATHSIG = 1


def load_from_checkpoint(settings: dict):
    """Loads the policy that `settings` names; the only place where torch comes in."""
    from mobile_vla_ros.policy import load_policy

    return load_policy(
        settings["checkpoint"],
        backbone=settings["backbone"] or None,
        config=settings["config"] or None,
        device=settings["device"],
        dtype=settings["dtype"],
        runtime=settings.get("runtime", "auto"),
    )


class Worker:
    """Answers a node's messages with one policy.

    Args:
        channel: SOCK_SEQPACKET socket to the node.
        slots: the frames' shared memory.
        load: makes the policy from the settings of the `load` message.
    """

    def __init__(
        self, channel: socket.socket, slots: SharedFrames, load: Callable[[dict], Any]
    ) -> None:
        self._channel = channel
        self._slots = slots
        self._load = load
        self._policy: Any = None
        self._overrides: dict = {}
        self._stream: Any = None
        self._instruction: str | None = None
        self._generation = -1

    def serve(self) -> int:
        """Works until the node goes away; returns the exit status."""
        while True:
            try:
                packet = self._channel.recv(MESSAGE_BYTES)
            except ConnectionError:
                return 0
            if not packet:
                return 0
            order = unpack(packet)
            loads = isinstance(order, LoadOrder)
            try:
                if loads:
                    self._ready(order.settings)
                else:
                    self._step(order)
            except InputError as error:
                self._send(Refused(str(error)) if loads else Failed(str(error)))
                return 1
            except Exception as error:  # noqa: BLE001  the node is told whatever it was
                traceback.print_exc()
                reason = str(error).strip().split("\n")[0]
                self._send(Failed(f"{type(error).__name__}: {reason}"))
                return 1

    def _ready(self, settings: dict) -> None:
        begin = time.monotonic()
        policy = self._load(settings)
        self._policy = policy
        self._overrides = {
            name: settings[name]
            for name in ("frame_period", "action_period", "action_axes", "max_gap")
            if settings.get(name)
        }
        policy.warm_up()
        loaded = time.monotonic()
        config = policy.config
        self._send(
            Ready(
                {
                    "window_size": config.window_size,
                    "chunk_size": config.chunk_size,
                    "action_axes": list(self._overrides.get("action_axes", config.action_axes)),
                    "action_axes_confirmed": bool(
                        "action_axes" in self._overrides or config.action_axes_confirmed
                    ),
                    "frame_period": self._overrides.get("frame_period", config.frame_period),
                    "action_period": self._overrides.get("action_period", config.action_period),
                    "instructions": _instructions(policy),
                    "device": str(policy.device) + _ran_by(policy),
                    "dtype": str(policy.dtype).removeprefix("torch."),
                },
                load_seconds=loaded - begin,
                step_seconds=self._time_a_step(),
            )
        )

    def _time_a_step(self) -> float:
        """Seconds that a frame costs once everything is warm."""
        image = np.random.default_rng(0).integers(0, 255, (720, 1280, 3), dtype=np.uint8)
        stream = self._policy.stream("move forward", **self._overrides)
        seconds = 0.0
        for stamp in (0.0, 1e-3):
            begin = time.monotonic()
            stream.step(image, stamp)
            seconds = time.monotonic() - begin
        return seconds

    def _step(self, order: FrameOrder) -> None:
        begin = time.monotonic()
        frame = order.frame
        try:
            image = read_frame(self._slots, order)
        except ImageError as error:
            self._send(FrameRefused(order.id, str(error), picture=True))
            return
        if frame.instruction != self._instruction:
            try:
                self._stream = self._policy.stream(frame.instruction, **self._overrides)
            except InputError as error:
                # Too long, say: the person can mend that, and the model is not broken.
                self._send(FrameRefused(order.id, str(error), picture=False))
                return
            self._instruction = frame.instruction
        elif frame.generation != self._generation:
            self._stream.reset()
        self._generation = frame.generation
        read = time.monotonic()
        chunk = self._stream.step(image, frame.stamp, generation=frame.generation)
        done = time.monotonic()
        self._send(
            ChunkAnswer(
                id=order.id,
                # Plain values: what unpickles them has no torch.
                chunk=dataclasses.replace(
                    chunk, velocities=np.asarray(chunk.velocities, np.float32)
                ),
                seconds={"image": read - begin, "policy": done - read},
                feature_distance=float(self._stream.feature_distance),
                feature=pack_feature(self._stream.feature) if order.feature else None,
            )
        )

    def _send(self, message: object) -> None:
        send_message(self._channel, message)


def _instructions(policy) -> list[str]:
    return list(getattr(getattr(policy, "provenance", None), "instructions", ()))


def _ran_by(policy) -> str:
    return " by onnxruntime" if getattr(policy, "runtime", "torch") == "onnx" else ""


def read_frame(slots: SharedFrames, order: FrameOrder):
    """The picture of a frame: uint8 [H, W, 3] RGB, perhaps a view on its slot.

    Raises:
        ImageError: its bytes are no image.
    """
    data = slots.slot(order.slot, order.size)
    form = order.frame.form
    return decode_compressed(data) if form is None else to_rgb(form, data)


def send_message(channel: socket.socket, message: object) -> None:
    """One message to the node; when it has gone, the next recv says so and ends the process."""
    with contextlib.suppress(ConnectionError):
        channel.send(pack(message))


def handed_down(argv: list[str] | None, about: str) -> tuple[socket.socket, SharedFrames] | None:
    """What the node has handed down to its child process, which from here on behaves as one.

    Args:
        argv: the command line; None: of this process.
        about: one line for ``--help``.

    Returns:
        The channel to the node and the frames' memory; None when the node has gone already.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--parent", type=int, required=True, help="process id of the node")
    parser.add_argument("--channel", type=int, required=True, help="descriptor of the socket")
    parser.add_argument("--frames", type=int, required=True, help="descriptor of the memory")
    arguments = parser.parse_args(argv)

    # Never outlive the node, not even in the middle of a computation.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != arguments.parent:
        return None
    # The node decides when the process ends; a service manager signals the whole group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(NICENESS)
    # Where the kernel shares the processor out by sessions first, niceness counts per session.
    with contextlib.suppress(OSError), open("/proc/self/autogroup", "w") as group:
        group.write(str(NICENESS))
    frames = SharedFrames(SLOTS, SLOT_BYTES, arguments.frames)
    return socket.socket(fileno=arguments.channel), frames


def main(argv: list[str] | None = None, load: Callable[[dict], Any] = load_from_checkpoint) -> int:
    """Runs the worker on the descriptors that the node has handed down."""
    inherited = handed_down(argv, "the model's process; started by its node")
    return 0 if inherited is None else Worker(*inherited, load).serve()


if __name__ == "__main__":
    sys.exit(main())
