"""Incident capsules as files; whoever deals with incidents finds their parts here."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import h5py
import numpy as np

from mobile_vla_ros.episodes.attributes import READ_ERRORS, Facts
from mobile_vla_ros.episodes.capsule import NOTHING_SEEN, Incident, IncidentError
from mobile_vla_ros.episodes.incident_ring import MOST_LARGE, MOST_SMALL, IncidentRing
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.episodes.stored import little_memory, open_file
from mobile_vla_ros.files import whole_file

__all__ = [
    "MOST_LARGE",
    "MOST_SMALL",
    "Incident",
    "IncidentError",
    "IncidentRing",
    "is_incident",
    "read_incident",
    "write_incident",
]
KIND = "incident"
SEEN = "frames/seen"


def write_incident(path: str | Path, incident: Incident) -> Path:
    """Writes a capsule whole or not at all; an existing file is never replaced.

    Raises:
        IncidentError: the folder cannot be written or the disk is full.
    """
    target = Path(path)
    try:
        with (
            whole_file(target, replace=False) as temporary,
            h5py.File(temporary, "w", libver="earliest") as file,
        ):
            _fill(file, incident)
    except OSError as error:
        raise IncidentError(f"cannot write the incident {target}: {error}") from error
    return target


def read_incident(path: str | Path) -> Incident:
    """Reads a capsule.

    Raises:
        IncidentError: the file is missing, unreadable or not an incident.
    """
    try:
        with little_memory(), open_file(Path(path)) as file:
            if file.attrs.get("kind") != KIND:
                raise IncidentError(f"{path} is not an incident file")
            ends = [0, *file["frames/end"][:].tolist()]
            encoded = file["frames/jpeg"][:].tobytes()
            return Incident(
                reason=str(file.attrs["reason"]),
                time=float(file.attrs["time"]),
                jpegs=tuple(encoded[a:b] for a, b in itertools.pairwise(ends)),
                frame_stamps=file["frames/stamp"][:],
                frame_received=file["frames/received"][:],
                chunks=file["chunks/velocities"][:],
                chunk_stamps=file["chunks/stamp"][:],
                chunk_received=file["chunks/received"][:],
                axes=tuple(json.loads(file.attrs["axes"])),
                action_period=float(file.attrs["action_period"]),
                commands=file["commands"][:],
                odometry=file["odometry"][:],
                events=tuple((float(t), str(s)) for t, s in json.loads(file.attrs["events"])),
                feature_stamps=file["features/stamp"][:],
                features=file["features/vector"][:],
                attributes=json.loads(file.attrs["attributes"]),
                seen=_seen(file),
            )
    except IncidentError:
        raise
    except EpisodeError as error:
        if not Path(path).exists():
            raise IncidentError(f"there is no incident file {path}") from None
        raise IncidentError(f"{path} is not a readable incident file: {error}") from None
    except READ_ERRORS as error:
        raise IncidentError(f"{path} is not a readable incident file: {error}") from error


def is_incident(path: str | Path) -> bool:
    """Whether the file is an incident capsule (False for anything unreadable)."""
    try:
        with little_memory(), open_file(Path(path)) as file:
            facts = Facts()
            facts.read(file.attrs)
            return facts.text("kind") == KIND
    except (EpisodeError, *READ_ERRORS):
        return False


def _fill(file: h5py.File, incident: Incident) -> None:
    file.attrs["kind"] = KIND
    file.attrs["schema_version"] = 1
    file.attrs["reason"] = incident.reason
    file.attrs["time"] = incident.time
    file.attrs["axes"] = json.dumps(list(incident.axes))
    file.attrs["action_period"] = incident.action_period
    file.attrs["events"] = json.dumps(incident.events, ensure_ascii=False)
    file.attrs["attributes"] = json.dumps(dict(incident.attributes), ensure_ascii=False)
    ends = np.cumsum([len(jpeg) for jpeg in incident.jpegs], dtype=np.int64)
    file["frames/jpeg"] = np.frombuffer(b"".join(incident.jpegs), np.uint8)
    file["frames/end"] = ends
    if len(incident.seen):
        chunks = (1, *incident.seen.shape[1:])
        file.create_dataset(
            SEEN, data=incident.seen, chunks=chunks, compression="gzip", compression_opts=1
        )
    file["frames/stamp"] = incident.frame_stamps
    file["frames/received"] = incident.frame_received
    file["chunks/velocities"] = incident.chunks
    file["chunks/stamp"] = incident.chunk_stamps
    file["chunks/received"] = incident.chunk_received
    file["commands"] = incident.commands
    file["odometry"] = incident.odometry
    file["features/stamp"] = incident.feature_stamps
    file["features/vector"] = incident.features


def _seen(file: h5py.File) -> np.ndarray:
    if SEEN not in file:
        return NOTHING_SEEN
    pictures = file[SEEN][:]
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8:
        raise EpisodeError(f"its {SEEN} are no pictures")
    return pictures
