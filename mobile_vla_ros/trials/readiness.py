"""Is everything ready to drive? Judges what was observed; observes nothing itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mobile_vla_ros.fastdds import PROFILE_VARIABLES
from mobile_vla_ros.rig import Rig, standing_differently

OK, WARNING, FAILURE = "ok", "warning", "failure"
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what was looked at, how it is, and what to do about it."""

    name: str
    level: str
    text: str
    advice: str = ""


def judge_ros(seen: Mapping[str, Any]) -> list[Finding]:
    """The ROS environment: domain, middleware, shared-memory profile.

    Args:
        seen: ``domain`` (int), ``rmw`` (str), ``distro`` (str or None), ``profile`` (path of the
            Fast DDS profile or None), ``localhost_only`` (bool).
    """
    distro = seen.get("distro") or "from PyPI"
    text = f"ROS 2 {distro}, domain {seen['domain']}, {seen['rmw']}"
    findings = [Finding("ROS", OK, text)]
    if seen.get("localhost_only"):
        findings.append(
            Finding(
                "ROS network",
                WARNING,
                "discovery is limited to this machine",
                "unset ROS_LOCALHOST_ONLY and ROS_AUTOMATIC_DISCOVERY_RANGE when the robot is "
                "another machine",
            )
        )
    if "fastrtps" in str(seen["rmw"]) and not seen.get("profile"):
        findings.append(
            Finding(
                "Fast DDS profile",
                WARNING,
                "the default shared memory is too small for best-effort 720p images",
                f"export {PROFILE_VARIABLES[0]}=<share>/config/fastdds.xml for the camera "
                "too, as the launch files do",
            )
        )
    return findings


def judge_camera(
    seen: Mapping[str, Any],
    *,
    frame_period: float = 0.4,
    image_timeout: float = 0.25,
    max_frame_age: float = 0.5,
    future_tolerance: float = 0.02,
    reliability: str = "auto",
) -> list[Finding]:
    """The camera topic: there, right type, fast enough, readable, with sane stamps.

    Args:
        seen: ``topic``, ``types`` (list of type names), ``publishers`` (int), ``offered``
            (``reliable``, ``best_effort`` or None), ``frames`` (int), ``seconds`` (observed span,
            s), ``worst_gap`` (s), ``encoding``, ``width``, ``height``, ``error`` (str or None),
            ``age_median``, ``age_min``, ``age_max`` (s, node clock minus stamp), ``backward``
            (int), ``identical`` (bool), ``similar`` (list of image topics that exist).
        frame_period: spacing the policy was trained with, s.
        image_timeout, max_frame_age, future_tolerance: the inference node's limits, s.
        reliability: the inference node's ``image_reliability``.
    """
    silent = _why_no_frames(seen, reliability)
    if silent is not None:
        return [silent]
    findings = [_judge_rate(seen, frame_period, image_timeout)]
    if seen["publishers"] > 1:
        findings.append(
            Finding(
                "camera publishers",
                WARNING,
                f"{seen['publishers']} nodes publish {seen['topic']}",
                "stop all but one: mixed frames look like a jumping clock",
            )
        )
    findings.append(
        _judge_stamps(seen, max_frame_age=max_frame_age, future_tolerance=future_tolerance)
    )
    if seen.get("identical"):
        findings.append(
            Finding(
                "camera picture",
                FAILURE,
                "every frame is the same to the bit",
                "the camera hangs, or a file is replayed in a loop of one frame",
            )
        )
    return findings


def _why_no_frames(seen: Mapping[str, Any], reliability: str) -> Finding | None:
    """What keeps frames from arriving or from being read; None when they come."""
    topic = seen["topic"]
    types = seen["types"]
    if not seen["publishers"]:
        others = ", ".join(seen.get("similar", [])) or "none"
        text = f"nobody publishes {topic}"
        mend = f"start the camera or give --image-topic; image topics that exist: {others}"
    elif len(types) != 1 or not types[0].endswith(("/Image", "/CompressedImage")):
        text = f"{topic} carries {', '.join(types)}"
        mend = "give the topic of a sensor_msgs/Image, or image_transport:=compressed"
    elif reliability == "reliable" and seen.get("offered") == "best_effort":
        text = f"{topic} is best effort, and image_reliability is reliable: nothing arrives"
        mend = "set image_reliability to auto"
    elif not seen["frames"]:
        text = f"{topic} is published but no frame came in {seen['seconds']:.1f} s"
        mend = "look at the camera's own log, and at the network between the machines"
    elif seen.get("error"):
        text, mend = str(seen["error"]), "change the camera's encoding or size"
    else:
        return None
    return Finding("camera", FAILURE, text, mend)


def _judge_rate(seen: Mapping[str, Any], frame_period: float, image_timeout: float) -> Finding:
    rate = seen["frames"] / seen["seconds"]
    text = (
        f"{seen['topic']}: {rate:.1f} frames/s, {seen['width']}x{seen['height']} "
        f"{seen['encoding']}, {seen.get('offered') or 'unknown reliability'}"
    )
    if seen["worst_gap"] <= image_timeout:
        return Finding("camera", OK, text)
    return Finding(
        "camera",
        FAILURE if rate < 0.8 / frame_period else WARNING,
        f"{text}; longest gap {seen['worst_gap']:.2f} s",
        f"the robot stops after {image_timeout:g} s without a frame: make the camera "
        "faster or raise image_timeout",
    )


def judge_commands(seen: Mapping[str, Any], *, stamped: bool) -> list[Finding]:
    """Who listens to the velocities, with which type, and who else publishes them.

    Args:
        seen: ``topic``, ``subscribers`` (int), ``types`` (list), ``publishers`` (list of names).
        stamped: whether the inference node publishes TwistStamped.
    """
    topic = seen["topic"]
    wanted = "geometry_msgs/msg/TwistStamped" if stamped else "geometry_msgs/msg/Twist"
    if not seen["subscribers"]:
        return [
            Finding(
                "commands",
                FAILURE,
                f"nobody listens to {topic}",
                "start the base or give --cmd-vel-topic (cmd_vel_guard and sim_node listen when"
                " somebody publishes)",
            )
        ]
    findings = []
    if wanted not in seen["types"]:
        findings.append(
            Finding(
                "commands",
                FAILURE,
                f"{topic} is listened to as {', '.join(seen['types'])}, we publish {wanted}",
                f"launch with stamped:={str(not stamped).lower()}",
            )
        )
    else:
        findings.append(Finding("commands", OK, f"{topic}: heard by {seen['subscribers']}"))
    if seen["publishers"]:
        findings.append(
            Finding(
                "command publishers",
                WARNING,
                f"{topic} is already published by {', '.join(seen['publishers'])}",
                "stop it, or put cmd_vel_guard (guard:=true) or twist_mux between",
            )
        )
    return findings


def judge_rig(recorded: Rig, here: Rig) -> Finding:
    """Where the camera stands, against where it stood when the policy's data was recorded."""
    apart = standing_differently(recorded, here)
    if apart:
        return Finding("rig", WARNING, apart, "mount it alike, or record and train with it")
    if recorded == Rig():
        return Finding("rig", OK, "the checkpoint does not say how its camera stood")
    if here == Rig():
        advice = "give --camera-height, --camera-tilt, --field-of-view to compare"
        return Finding("rig", OK, f"recorded at {recorded}", advice)
    return Finding("rig", OK, f"recorded at {recorded}, and this camera stands alike")


def judge_disk(folder: str, free: int, needed: int = 5 * GIB) -> Finding:
    """Free bytes where episodes and logs go."""
    text = f"{free / GIB:.1f} GiB free in {folder}"
    if free < needed // 10:
        return Finding("disk", FAILURE, text, "make room before recording anything")
    if free < needed:
        return Finding("disk", WARNING, text, f"a day of recording wants {needed / GIB:.0f} GiB")
    return Finding("disk", OK, text)


def judge_memory(available: int, weights: int) -> Finding:
    """Memory on the device that runs the policy, against the bytes of its weights."""
    text = f"{available / GIB:.1f} GiB free, the policy's weights take {weights / GIB:.1f} GiB"
    if available < weights:
        return Finding(
            "memory", FAILURE, text, "use dtype:=bfloat16 or int8, or end other programs"
        )
    if available < 1.5 * weights + GIB // 2:
        return Finding("memory", WARNING, text, "little is left for frames and activations")
    return Finding("memory", OK, text)


def judge_dry_run(seconds: Sequence[float], limit: float = 0.2) -> Finding:
    """Times of single frames through the policy, s, the first (cold) one left out."""
    ordered = sorted(seconds)
    middle, worst = ordered[len(ordered) // 2], ordered[-1]
    text = f"{len(ordered)} frames: median {middle * 1000:.0f} ms, worst {worst * 1000:.0f} ms"
    if middle > limit:
        return Finding(
            "dry run",
            FAILURE,
            text,
            f"more than {limit * 1000:.0f} ms from frame to action: use a GPU, or a smaller dtype",
        )
    if worst > limit:
        return Finding("dry run", WARNING, text, "single frames are slow: what else runs here?")
    return Finding("dry run", OK, text)


def worst_level(findings: Sequence[Finding]) -> str:
    """The gravest level among the findings."""
    for level in (FAILURE, WARNING):
        if any(finding.level == level for finding in findings):
            return level
    return OK


def _judge_stamps(
    seen: Mapping[str, Any], *, max_frame_age: float, future_tolerance: float
) -> Finding:
    name = "camera stamps"
    age = f"frames are {seen['age_median'] * 1000:.0f} ms old on arrival"
    if seen["backward"]:
        return Finding(
            name,
            FAILURE,
            f"{seen['backward']} stamps went backward",
            "two cameras on one topic, or a clock that is being stepped",
        )
    if seen["age_max"] > 1e6:
        return Finding(
            name,
            FAILURE,
            "the camera leaves its stamps empty",
            "use stamp_source:=receipt, and know that latency is then not compensated",
        )
    if seen["age_min"] < -future_tolerance:
        return Finding(
            name,
            FAILURE,
            f"stamps lie {-seen['age_min'] * 1000:.0f} ms in the future",
            "synchronise the clocks of both machines (chrony), or give clock_offset",
        )
    if seen["age_median"] > max_frame_age:
        return Finding(
            name,
            FAILURE,
            age,
            f"older than max_frame_age ({max_frame_age:g} s): synchronise the clocks (chrony), "
            "or shorten the camera's queue",
        )
    if seen["age_median"] > max_frame_age / 2:
        return Finding(name, WARNING, age, "a late camera, or clocks that differ")
    return Finding(name, OK, age)


def judge_clock(tracking: str | None) -> Finding:
    """Whether this machine's clock is kept by chrony.

    Args:
        tracking: output of ``chronyc tracking``, or None when chrony is not running. The
            difference to the camera's machine itself shows in the age of its stamps.
    """
    name = "clock"
    if tracking is None:
        return Finding(
            name,
            WARNING,
            "chrony is not running here",
            "when camera and policy run on different machines, keep their clocks with chrony",
        )
    fields = {
        key.strip(): value.strip()
        for key, _, value in (line.partition(":") for line in tracking.splitlines())
    }
    if fields.get("Leap status") == "Not synchronised":
        return Finding(name, WARNING, "chrony is not synchronised yet", "wait, or check its peers")
    offset = fields.get("System time", "unknown offset")
    try:
        seconds = abs(float(offset.split()[0]))
    except ValueError:
        return Finding(name, WARNING, f"chrony says {offset}", "see chronyc tracking")
    if seconds > 0.01:
        return Finding(name, WARNING, f"off by {offset}", "wait for chrony to catch up")
    return Finding(name, OK, f"chrony: {offset}")
