"""The messages of one recording, in the order in which they were heard."""

from __future__ import annotations

import dataclasses
import heapq
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mobile_vla_ros.episodes import ros_messages as ros
from mobile_vla_ros.episodes.incident import Incident
from mobile_vla_ros.episodes.reader import Episode
from mobile_vla_ros.episodes.ros_messages import Messages
from mobile_vla_ros.episodes.schema import ODOM_COLUMNS
from mobile_vla_ros.pictures import encode_jpeg, encode_png
from mobile_vla_ros.planar import integrate, optical_turn, quaternion_of
from mobile_vla_ros.rig import Rig, rig_of

IMAGE = "camera/image_raw/compressed"
INFO = "camera/camera_info"
COMMANDS = "cmd_vel"
ODOM = "odom"
CHUNK = "mobile_vla/chunk"
PLAN = "mobile_vla/plan"
DRIVEN = "mobile_vla/driven_path"
INSTRUCTION = "mobile_vla/instruction"
EVENTS = "events"
DIAGNOSTICS = "diagnostics"
TF = "tf"
TF_STATIC = "tf_static"


@dataclass(frozen=True)
class Message:
    """One message: when it was heard, its topic, type and bytes, and when it was sent."""

    time: float
    topic: str
    kind: str
    data: bytes
    published: float


def episode_messages(episode: Episode, make: Messages, quality: int = 0) -> Iterator[Message]:
    """An episode's messages in the order in which they were heard."""
    start = float(episode.received_stamps[0])
    rig = _sized(rig_of(episode.attributes, episode.camera), episode.image_shape)
    yield from _beginning(start, rig, episode.instruction, make)
    counts: dict[str, Any] = {
        name: episode.attributes[name]
        for name in ("frames_received", "frames_written", "frames_dropped", "frames_lost")
        if name in episode.attributes
    }
    facts: dict[str, Any] = {
        "scenario": episode.scenario,
        "outcome": episode.outcome,
        "complete": episode.complete,
        "rig": rig,
        **counts,
    }
    yield Message(
        start, DIAGNOSTICS, ros.DIAGNOSTICS, make.diagnostics(start, "recording", facts), start
    )
    focal = rig.focal_length
    event = ""
    for row in range(len(episode)):
        stamp = float(episode.image_stamps[row])
        heard = float(episode.received_stamps[row])
        given = float(episode.action_stamps[row])
        rows: list[Message] = []
        before, event = event, episode.events[row]
        if event not in (before, "start_action"):
            rows.append(Message(heard, EVENTS, ros.STRING, make.text(event), heard))
        velocities = dict(zip(episode.action_axes, map(float, episode.actions[row]), strict=True))
        if all(math.isfinite(value) for value in velocities.values()):
            rows.append(Message(heard, COMMANDS, ros.TWIST, make.twist(velocities), given))
        if episode.odom is not None:
            rows += _odometry(heard, float(stamp), episode.odom[row], make)
        picture = _picture(episode, row, quality)
        rows.append(Message(heard, IMAGE, ros.COMPRESSED_IMAGE, make.image(stamp, picture), stamp))
        info = make.camera_info(stamp, *episode.image_shape[:2], focal)
        rows.append(Message(heard, INFO, ros.CAMERA_INFO, info, stamp))
        yield from rows


def incident_messages(incident: Incident, make: Messages) -> Iterator[Message]:
    """A capsule's messages in the order in which they were heard, the unplayed plans included."""
    shape = incident.image(0).shape if incident.jpegs else (0, 0, 3)
    rig = _sized(rig_of(incident.attributes), shape)
    times = [
        *incident.frame_received[:1],
        *incident.chunk_received[:1],
        *incident.commands[:1, 0],
        *incident.odometry[:1, 0],
        incident.time,
    ]
    start = float(min(times))
    told = str(incident.attributes.get("instruction") or "")
    yield from _beginning(start, rig, told, make)
    facts = {"reason": incident.reason, **incident.attributes}
    yield Message(
        start, DIAGNOSTICS, ros.DIAGNOSTICS, make.diagnostics(start, "incident", facts), start
    )
    streams = (
        _incident_frames(incident, rig, make),
        _incident_chunks(incident, make),
        _incident_commands(incident, make),
        _incident_odometry(incident, make),
        _incident_events(incident, make),
    )
    yield from heapq.merge(*streams, key=lambda message: message.time)


def trial_messages(trial: Mapping[str, Any], make: Messages) -> Iterator[Message]:
    """A trial's messages: where it drove, what it was told, and what happened when.

    Args:
        trial: the record as a mapping: ``started``, ``ended`` (seconds since 1970), ``path`` rows
            (t, x, y, yaw), ``stops``, ``instruction``, ``outcome``, ``cause``.
        make: makes the messages.
    """
    start, end = float(trial["started"]), float(trial["ended"])
    yield from _beginning(start, Rig(), str(trial.get("instruction") or ""), make)
    known = ("trial", "scenario", "checkpoint", "outcome", "cause", "driving_time", "path_length")
    facts = {name: trial[name] for name in known if name in trial}
    yield Message(
        start, DIAGNOSTICS, ros.DIAGNOSTICS, make.diagnostics(start, "trial", facts), start
    )
    path = np.array(trial.get("path") or [], np.float64).reshape(-1, 4)
    happened = [(start, f"trial {trial['trial']} begins")]
    for stop in trial.get("stops") or ():
        at = start + float(stop.get("start", 0.0))
        happened.append((at, str(stop.get("reason", "stopped"))))
        happened.append((at + float(stop.get("duration", 0.0)), "goes on"))
    words = ": ".join(str(trial[name]) for name in ("outcome", "cause") if trial.get(name))
    happened.append((end, words))
    if len(path):
        whole = make.path(start, ros.ODOM_FRAME, path[:, 1:], (start + path[:, 0]).tolist())
        yield Message(start, DRIVEN, ros.PATH, whole, start)
    streams = (
        (
            message
            for moment, x, y, yaw in path.tolist()
            for message in _odometry(
                start + moment, start + moment, np.array([x, y, yaw, 0, 0, 0]), make
            )
        ),
        _texts(sorted(happened, key=lambda item: item[0]), make),
    )
    yield from heapq.merge(*streams, key=lambda message: message.time)


def _beginning(start: float, rig: Rig, instruction: str, make: Messages) -> Iterator[Message]:
    """What stands before everything else: where the camera is, and what the robot was told."""
    if rig.mount_height is not None:
        turn = optical_turn(math.radians(rig.tilt or 0.0))
        place = (0.0, 0.0, rig.mount_height)
        data = make.transform(start, ros.BASE_FRAME, ros.CAMERA_FRAME, place, turn)
        yield Message(start, TF_STATIC, ros.TRANSFORMS, data, start)
    if instruction:
        yield Message(start, INSTRUCTION, ros.STRING, make.text(instruction), start)


def _sized(rig: Rig, shape: Sequence[int]) -> Rig:
    return dataclasses.replace(rig, height=int(shape[0]) or None, width=int(shape[1]) or None)


def _picture(episode: Episode, row: int, quality: int) -> bytes:
    data = episode.jpeg(row)
    if data is not None:
        return data
    image = episode.image(row)
    return encode_jpeg(image, quality) if quality else encode_png(image)


def _odometry(heard: float, stamp: float, row: np.ndarray, make: Messages) -> list[Message]:
    """Odometry and the transform that says the same; nothing where it is not known."""
    if not np.isfinite(row[:6]).all():
        return []
    if len(row) == len(ODOM_COLUMNS) and math.isfinite(row[6]):
        stamp = float(row[6])
    moved = make.transform(
        stamp, ros.ODOM_FRAME, ros.BASE_FRAME, (row[0], row[1], 0.0), quaternion_of(row[2])
    )
    return [
        Message(heard, ODOM, ros.ODOMETRY, make.odometry(stamp, row[:6].tolist()), stamp),
        Message(heard, TF, ros.TRANSFORMS, moved, stamp),
    ]


def _incident_frames(incident: Incident, rig: Rig, make: Messages) -> Iterator[Message]:
    focal = rig.focal_length
    for jpeg, stamp, heard in zip(
        incident.jpegs,
        incident.frame_stamps.tolist(),
        incident.frame_received.tolist(),
        strict=True,
    ):
        yield Message(heard, IMAGE, ros.COMPRESSED_IMAGE, make.image(stamp, jpeg), stamp)
        info = make.camera_info(stamp, rig.height or 0, rig.width or 0, focal)
        yield Message(heard, INFO, ros.CAMERA_INFO, info, stamp)


def _incident_chunks(incident: Incident, make: Messages) -> Iterator[Message]:
    period = incident.action_period
    for chunk, stamp, heard in zip(
        incident.chunks,
        incident.chunk_stamps.tolist(),
        incident.chunk_received.tolist(),
        strict=True,
    ):
        data = make.chunk(stamp, chunk, incident.axes, period)
        yield Message(heard, CHUNK, ros.TRAJECTORY, data, stamp)
        poses = integrate(chunk, incident.axes, period)
        times = (stamp + np.arange(len(poses)) * period).tolist()
        plan = make.path(stamp, ros.BASE_FRAME, poses, times)
        yield Message(heard, PLAN, ros.PATH, plan, stamp)


def _incident_commands(incident: Incident, make: Messages) -> Iterator[Message]:
    for time, vx, vy, wz in incident.commands.tolist():
        data = make.twist({"linear.x": vx, "linear.y": vy, "angular.z": wz})
        yield Message(time, COMMANDS, ros.TWIST, data, time)


def _incident_odometry(incident: Incident, make: Messages) -> Iterator[Message]:
    for row in incident.odometry:
        yield from _odometry(float(row[0]), float(row[0]), row[1:], make)


def _incident_events(incident: Incident, make: Messages) -> Iterator[Message]:
    yield from _texts(incident.events, make)


def _texts(events: Iterable[tuple[float, str]], make: Messages) -> Iterator[Message]:
    for time, words in events:
        yield Message(time, EVENTS, ros.STRING, make.text(words), time)
