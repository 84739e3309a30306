"""The link's own process: frames come through shared memory and go to a server; chunks come back.

Started by `worker_client.ModelWorker` in place of the worker when the node drives with a policy
elsewhere, never by hand. No model library is loaded here. What is slow (resizing, compressing, the
network) happens here, so that nothing in the node waits for it.

Messages are those of `worker`, and besides, to the node:
    took      {id}: the frame has been read; its slot is free, its answer follows.
    passed    {id}: there will be no chunk for this frame.
    reach     {reason | null, message}: the server is out of reach (`server lost`, `server
              refused`), or answers again.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import socket
import sys
import threading
from typing import Any

import numpy as np

from mobile_vla_ros.control import ActionChunk
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.inference.messages import (
    MESSAGE_BYTES,
    ChunkAnswer,
    FrameOrder,
    FramePassed,
    FrameRefused,
    FrameTaken,
    LoadOrder,
    Reach,
    Ready,
    Refused,
    unpack,
)
from mobile_vla_ros.nodes.inference.worker import handed_down, read_frame, send_message
from mobile_vla_ros.nodes.wiring.features import pack_feature
from mobile_vla_ros.nodes.wiring.shared_frames import SharedFrames
from mobile_vla_ros.pictures import ImageError
from mobile_vla_ros.serving import access, wire
from mobile_vla_ros.serving.link import Link, LinkSettings, Picture, overridden
from mobile_vla_ros.serving.picture import shrink
from mobile_vla_ros.states import SERVER_LOST, SERVER_REFUSED

_OVERRIDES = ("frame_period", "action_period", "action_axes", "max_gap")


def link_settings(settings: dict[str, Any]) -> LinkSettings:
    """What the node's parameters mean to a link.

    Raises:
        ServingError: an address, token file or certificate that cannot be used.
    """
    url = access.check_url(settings["server"])
    return LinkSettings(
        url=url,
        robot=secrets.token_hex(16),
        token=access.read_token(settings["token_file"]),
        tls=access.client_context(url, settings["server_certificate"]),
        quality=settings["frame_quality"],
        overrides={name: settings[name] for name in _OVERRIDES if settings.get(name)},
    )


class LinkProcess:
    """Answers a node's messages with what a server says; the `LinkEvents` of its link.

    Args:
        channel: SOCK_SEQPACKET socket to the node.
        slots: the frames' shared memory.
    """

    def __init__(self, channel: socket.socket, slots: SharedFrames) -> None:
        self._channel = channel
        self._slots = slots
        self._loop = asyncio.new_event_loop()
        self._link: Link | None = None
        self._overrides: dict[str, Any] = {}
        self._size = 0
        self._reach: tuple[str | None, str] | None = None
        self._refused = threading.Event()

    def serve(self) -> int:
        """Works until the node goes away; returns the exit status."""
        while True:
            try:
                packet = self._channel.recv(MESSAGE_BYTES)
            except ConnectionError:
                return 0
            if not packet or self._refused.is_set():
                return 0
            order = unpack(packet)
            try:
                if isinstance(order, LoadOrder):
                    self._begin(order.settings)
                else:
                    self._take(order)
            except InputError as error:
                self._send(Refused(str(error)))
                return 1

    def _begin(self, settings: dict[str, Any]) -> None:
        chosen = link_settings(settings)
        self._overrides = chosen.overrides
        self._link = Link(chosen, self)
        threading.Thread(target=self._keep_link, name="link", daemon=True).start()

    def _keep_link(self) -> None:
        asyncio.set_event_loop(self._loop)
        assert self._link is not None
        self._loop.run_until_complete(self._link.run())

    def _take(self, order: FrameOrder) -> None:
        try:
            image = shrink(read_frame(self._slots, order), self._size)
        except ImageError as error:
            self._send(FrameRefused(order.id, str(error), picture=True))
            return
        self._send(FrameTaken(order.id))
        picture = Picture(
            id=order.id,
            stamp=order.frame.stamp,
            generation=order.frame.generation,
            instruction=order.frame.instruction,
            image=image,
            feature=order.feature,
        )
        assert self._link is not None
        self._loop.call_soon_threadsafe(self._link.offer, picture)

    # -- LinkEvents, on the link's thread ------------------------------------------------------

    def welcomed(self, welcome: wire.Welcome) -> None:
        first = not self._size
        self._size = welcome.policy["image_size"]
        if first:
            self._send(_report(overridden(welcome, self._overrides)))
        self._say_reach(None, "")

    def lost(self, sentence: str) -> None:
        # While a refusal lasts, that nothing is heard is its consequence.
        if sentence:
            self._say_reach(SERVER_LOST, sentence)

    def failed(self, sentence: str) -> None:
        self._say_reach(SERVER_LOST, f"its model has failed and is started anew: {sentence}")

    def refused(self, sentence: str, again: bool) -> None:
        if not self._size and not again:
            self._send(Refused(sentence))
            self._refused.set()
            self._channel.shutdown(socket.SHUT_RD)  # ends the other thread's wait
            return
        self._say_reach(SERVER_REFUSED, sentence)

    def answered(self, answer: wire.ChunkMessage) -> None:
        assert self._link is not None
        axes = self._overrides.get("action_axes") or self._link.action_axes
        distance = answer.feature_distance
        chunk = ActionChunk(
            velocities=np.asarray(answer.velocities, np.float32),
            axes=tuple(axes),
            stamp=answer.stamp,
            action_period=answer.action_period,
            generation=answer.generation,
            frames=len(answer.window_stamps),
            window_stamps=tuple(answer.window_stamps.tolist()),
        )
        self._send(
            ChunkAnswer(
                id=answer.id,
                chunk=chunk,
                seconds={"image": answer.image_seconds, "policy": answer.policy_seconds},
                feature_distance=distance if math.isfinite(distance) else math.nan,
                feature=pack_feature(answer.feature),
            )
        )

    def unanswered(self, number: int, sentence: str) -> None:
        if sentence:
            self._send(FrameRefused(number, sentence, picture=False))
        else:
            self._send(FramePassed(number))

    def _say_reach(self, reason: str | None, sentence: str) -> None:
        if (reason, sentence) != self._reach:
            self._reach = (reason, sentence)
            self._send(Reach(reason, sentence))

    def _send(self, message: object) -> None:
        send_message(self._channel, message)


def _report(welcome: wire.Welcome) -> Ready:
    """A message as the worker's own."""
    return Ready(welcome.policy, load_seconds=0.0, step_seconds=welcome.step_seconds)


def main(argv: list[str] | None = None) -> int:
    """Runs the link on the descriptors that the node has handed down."""
    inherited = handed_down(argv, "the link's process; started by its node")
    return 0 if inherited is None else LinkProcess(*inherited).serve()


if __name__ == "__main__":
    sys.exit(main())
