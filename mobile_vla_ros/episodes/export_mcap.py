"""Writes episodes, incident capsules and trials as one MCAP file that ROS 2 tools open.

Topics, each under the recording's own name where there are several files:
`camera/image_raw/compressed`, `camera/camera_info`, `cmd_vel`, `odom`, `mobile_vla/chunk`,
`mobile_vla/plan`, `mobile_vla/instruction`, `events`, `diagnostics`, `tf`, `tf_static`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mobile_vla_ros.episodes.incident import is_incident, read_incident
from mobile_vla_ros.episodes.lerobot.layout import require
from mobile_vla_ros.episodes.mcap_file import McapFile
from mobile_vla_ros.episodes.mcap_streams import (
    Message,
    episode_messages,
    incident_messages,
    trial_messages,
)
from mobile_vla_ros.episodes.reader import open_episode
from mobile_vla_ros.episodes.ros_messages import Messages
from mobile_vla_ros.episodes.schema import EpisodeError
from mobile_vla_ros.files import shown_name
from mobile_vla_ros.hub import origin_of

_ODD = re.compile(r"[^A-Za-z0-9_]+")


@dataclass(frozen=True)
class McapExport:
    """What was written.

    Attributes:
        path: the file.
        topics: messages by topic.
        start, end: time of the first and last message, seconds.
    """

    path: Path
    topics: dict[str, int]
    start: float
    end: float


def export_mcap(
    sources: Sequence[str | Path | Mapping[str, Any]],
    out: str | Path,
    *,
    quality: int = 0,
    progress: Callable[[Iterable[Any], str], Iterable[Any]] = lambda items, _: items,
) -> McapExport:
    """Writes recordings into one file, whole or not at all.

    Args:
        sources: episodes and incident capsules (paths), and trials (records as mappings). With
            several, each one's topics stand under its name.
        out: the new .mcap file.
        quality: JPEG quality of frames that were recorded raw; 0 makes them PNG, which loses
            nothing. Compressed frames stay byte for byte.
        progress: wraps the list of sources, e.g. in a progress bar.

    Raises:
        EpisodeError: a library is missing, a source cannot be read, or ``out`` cannot be written.
    """
    require("mcap", "export-mcap", "mcap")
    require("rosbags", "export-mcap", "mcap")
    if not 0 <= quality <= 100:
        raise EpisodeError(f"the JPEG quality must be 1 to 100, or 0 for PNG, not {quality}")
    messages = Messages()
    prefixes = _prefixes(sources)
    span = [math.inf, -math.inf]
    with McapFile(out, messages) as file:
        for source, prefix in progress(list(zip(sources, prefixes, strict=True)), "exporting"):
            for message in _messages_of(source, messages, quality, file):
                file.add(
                    f"/{prefix}{message.topic}",
                    message.kind,
                    message.data,
                    message.time,
                    message.published,
                )
                span = [min(span[0], message.time), max(span[1], message.time)]
        if math.isinf(span[0]):
            raise EpisodeError("there is nothing to export in it")
        topics = file.messages
    return McapExport(Path(out), topics, *span)


def _prefixes(sources: Sequence[Any]) -> list[str]:
    """Nothing for one source; else a name of its own for each, as ROS takes it."""
    if len(sources) == 1:
        return [""]
    names: list[str] = []
    for source in sources:
        known = source["trial"] if isinstance(source, Mapping) else shown_name(Path(source).stem)
        name = _ODD.sub("_", str(known)).strip("_") or "recording"
        name = name if name[0].isalpha() else f"r_{name}"
        count = 2
        while f"{name}/" in names:
            name, count = f"{name.removesuffix(f'_{count - 1}')}_{count}", count + 1
        names.append(f"{name}/")
    return names


def _messages_of(source: Any, make: Messages, quality: int, file: McapFile) -> Iterator[Message]:
    if isinstance(source, Mapping):
        yield from trial_messages(source, make)
    elif is_incident(source):
        yield from incident_messages(read_incident(source), make)
    else:
        with open_episode(source) as episode:
            facts = {"file": shown_name(episode.path.name), "sha256": episode.sha256()}
            origin = origin_of(episode.path)
            facts |= {"revision": origin} if origin else {}
            file.note(f"mobile_vla_ros {shown_name(episode.path.stem)}", facts)
            yield from episode_messages(episode, make, quality)
