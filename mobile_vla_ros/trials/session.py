"""One running trial: what happened, how long it took, and who cost time. Time is handed in."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from mobile_vla_ros import states
from mobile_vla_ros.planar import moved
from mobile_vla_ros.stats.percentiles import percentiles
from mobile_vla_ros.trials.record import LOST_TIME, TrialError, TrialRecord, thin_path

# Below this a robot stands (m/s and rad/s alike).
STANDING = 0.02
# A base that hears no command for this long stands, s.
COMMAND_TIMEOUT = 0.5
# However fast topics come, no more than this is kept of each; a path is thinned then.
MOST_POINTS = 20_000
MOST_LATENCIES = 100_000
MOST_STOPS = 1_000
# Who lost the time in which the robot stood, by the reason the inference node gives.
_BLAME = {
    states.WAITING_FOR_CAMERA: "camera",
    states.STOPPED + states.CAMERA_SILENT: "camera",
    states.STOPPED + states.CAMERA_FROZEN: "camera",
    states.STOPPED + states.FRAME_TOO_OLD: "camera",
    states.STOPPED + states.CLOCK_JUMPED: "camera",
    states.STOPPED + states.TWO_CAMERAS: "camera",
    states.STOPPED + states.UNREADABLE: "camera",
    states.UNCONFIGURED: "inference",
    states.WARMING_UP: "inference",
    states.STOPPED + states.CHUNK_USED_UP: "inference",
    states.STOPPED + states.MODEL_TOO_SLOW: "inference",
    states.STOPPED + states.MODEL_HUNG: "inference",
    states.STOPPED + states.MODEL_FAILED: "inference",
    states.STOPPED + states.BAD_OUTPUT: "inference",
    states.STOPPED + states.SERVER_LOST: "inference",
    states.STOPPED + states.SERVER_REFUSED: "inference",
    states.WAITING_FOR_INSTRUCTION: "operator",
    states.DISABLED: "operator",
    states.STOPPED + states.STOP_SERVICE: "operator",
    states.STOPPED + states.TAKEN_OVER: "operator",
}
_ORDERED = {states.STOPPED + states.STOP_SERVICE}


@dataclass(frozen=True)
class TrialRules:
    """When a trial ends.

    Attributes:
        time_limit: seconds of trial before it is over.
        verdict_timeout: seconds to wait for the operator's verdict after an arrival; 0 waits for
            ever.
        arrival: what an arrival counts as without a verdict: ``success``, or ``ask``.
        end_on_takeover: whether a person's takeover ends the trial as a failure.
        jump_speed: odometry that moves faster than this (m/s) has jumped; the jump is cut out.
    """

    time_limit: float = 60.0
    verdict_timeout: float = 0.0
    arrival: str = "ask"
    end_on_takeover: bool = False
    jump_speed: float = 3.0

    def __post_init__(self) -> None:
        if self.arrival not in ("success", "ask"):
            raise TrialError(f"arrival must be 'success' or 'ask', not {self.arrival!r}")
        if self.time_limit <= 0:
            raise TrialError(f"time_limit must be positive, not {self.time_limit}")


@dataclass
class TrialSession:
    """A trial while it runs.

    Feed it what is heard on the topics; ask ``tick`` whether it is over. All ``now`` are seconds
    of one steady clock. Phases: ``running``, then ``verdict`` (the robot should stand; a person
    is asked), then ``over``.

    Attributes:
        identity: the fields of the record that are known at the start (trial, scenario,
            instruction, checkpoint, pair, number, checkpoint_sha256, files, note, shadow).
        rules: when it ends.
        started: steady time of the start, s.
        wall_start: wall-clock time of the start, s since 1970.
    """

    identity: Mapping[str, Any]
    rules: TrialRules
    started: float
    wall_start: float
    phase: str = "running"
    outcome: str | None = None
    cause: str = ""
    interventions: int = 0
    clamps: int = 0
    odometry_jumps: int = 0
    _state: str = states.UNCONFIGURED
    _wanted: float = 0.0
    _command: tuple[float, float, float] = (0.0, 0.0, 0.0)
    _commanded: float | None = None
    _heard_command: float = -math.inf
    _first_motion: float | None = None
    _drive_end: float | None = None
    _phase_since: float = 0.0
    _last_tick: float | None = None
    _stop_since: float | None = None
    _stop_reason: str = ""
    _stops: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MOST_STOPS))
    _lost: dict[str, float] = field(default_factory=lambda: dict.fromkeys(LOST_TIME, 0.0))
    _latencies: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_LATENCIES))
    _odometry: list[tuple[float, float, float, float]] = field(default_factory=list)
    _odometry_raw: tuple[float, float, float, float] | None = None
    _odometry_length: float = 0.0
    _integrated: list[tuple[float, float, float, float]] = field(default_factory=list)
    _integrated_length: float = 0.0
    _taken: bool = False

    def __post_init__(self) -> None:
        self._phase_since = self.started
        self._integrated.append((0.0, 0.0, 0.0, 0.0))

    # what is heard

    def hear_state(self, state: str, now: float) -> None:
        """The inference node's state string."""
        if state == self._state:
            return
        self._state = state
        if self._stop_since is not None:
            self._close_stop(now)
        if self.phase != "running":
            return
        unordered = state.startswith(states.STOPPED) and state not in _ORDERED
        if unordered and self._first_motion is not None:
            self._stop_since, self._stop_reason = now, state.removeprefix(states.STOPPED)
        if state == states.ARRIVED:
            self._finish_driving(states.ARRIVED, now)
            if self.rules.arrival == "success":
                self.outcome = "success"
                self.phase = "over"

    def hear_takeover(self, taken: bool, now: float) -> None:
        """Whether a person drives now; each beginning is one intervention."""
        if taken and not self._taken:
            self.interventions += 1
            if self.rules.end_on_takeover and self.phase == "running":
                self.decide("failure", "intervention", now)
        self._taken = taken

    def hear_command(self, vx: float, vy: float, wz: float, now: float) -> None:
        """A velocity sent to the base (m/s, m/s, rad/s in its frame)."""
        self._integrate(now)
        self._heard_command = now
        self._command = (vx, vy, wz) if all(map(math.isfinite, (vx, vy, wz))) else (0.0, 0.0, 0.0)
        if self._first_motion is None and self._speed() >= STANDING and self.phase == "running":
            self._first_motion = now

    def hear_chunk(self, speed: float, latency: float) -> None:
        """The policy's own first step (its larger magnitude, m/s or rad/s) and its latency, s."""
        self._wanted = speed if math.isfinite(speed) else 0.0
        if math.isfinite(latency) and latency >= 0 and self.phase == "running":
            self._latencies.append(latency)

    def hear_clamps(self, count: int) -> None:
        """How many commands the limiter cut since the last message."""
        if self.phase == "running":
            self.clamps += count

    def hear_odometry(self, x: float, y: float, yaw: float, now: float) -> None:
        """A pose in the odometry frame (m, m, rad); jumps are cut out and counted."""
        if not all(map(math.isfinite, (x, y, yaw))) or self.phase != "running":
            return
        before = self._odometry_raw
        self._odometry_raw = (now, x, y, yaw)
        if before is None:
            self._odometry.append((now - self.started, 0.0, 0.0, 0.0))
            return
        step = math.hypot(x - before[1], y - before[2])
        if step > self.rules.jump_speed * max(now - before[0], 0.02):
            self.odometry_jumps += 1
            return
        # The step in the robot's own frame before it, added to the path so far: whatever the
        # odometry's origin is, and after a jump, the path starts at zero and stays continuous.
        _, px, py, pyaw = self._odometry[-1]
        turn = pyaw - before[3]
        dx, dy = x - before[1], y - before[2]
        self._odometry.append(
            (
                now - self.started,
                px + math.cos(turn) * dx - math.sin(turn) * dy,
                py + math.sin(turn) * dx + math.cos(turn) * dy,
                pyaw + math.remainder(yaw - before[3], math.tau),
            )
        )
        self._odometry_length += step
        _thin(self._odometry)

    # decisions

    def decide(self, outcome: str, cause: str, now: float) -> None:
        """The verdict: ``success``, ``failure``, ``abort`` or ``interrupted``, and why.

        Raises:
            TrialError: the trial is over already.
        """
        if self.phase == "over":
            raise TrialError("the trial is over already")
        if self.phase == "running":
            self._finish_driving(cause, now)
        self.outcome = outcome
        self.cause = cause or self.cause
        self.phase = "over"

    def tick(self, now: float) -> str:
        """Moves time on; returns the phase."""
        self._integrate(now)
        if now - self._heard_command > COMMAND_TIMEOUT:
            self._command = (0.0, 0.0, 0.0)
        if self._last_tick is not None and self.phase == "running":
            self._blame(now - self._last_tick)
        self._last_tick = now
        if self.phase == "running" and now - self.started >= self.rules.time_limit:
            self._finish_driving("time-out", now)
            self.outcome = "failure"
            self.phase = "over"
        elif (
            self.phase == "verdict"
            and self.rules.verdict_timeout > 0
            and now - self._phase_since >= self.rules.verdict_timeout
        ):
            # Nobody answered: an arrival nobody confirmed is no success.
            self.outcome = self.outcome or "abort"
            self.cause += ", no verdict"
            self.phase = "over"
        return self.phase

    def waiting(self, now: float) -> float:
        """Seconds for which the verdict has been waited for; 0 in other phases."""
        return now - self._phase_since if self.phase == "verdict" else 0.0

    def record(self, now: float, wall: float, **more: Any) -> TrialRecord:
        """The finished trial.

        Args:
            now: steady time.
            wall: wall-clock time.
            **more: fields known only now (``episode``, ``files``, ``agreement``).

        Raises:
            TrialError: it is not over.
        """
        if self.phase != "over" or self.outcome is None:
            raise TrialError("the trial is still running")
        if self._stop_since is not None:
            self._close_stop(now)
        use_odometry = len(self._odometry) > 1
        path = self._odometry if use_odometry else self._integrated
        length = self._odometry_length if use_odometry else self._integrated_length
        end = self._drive_end if self._drive_end is not None else now
        driving = end - self._first_motion if self._first_motion is not None else 0.0
        if use_odometry:
            source = "odometry"
        else:
            source = "commands" if self._first_motion is not None else "none"
        return TrialRecord(
            **{
                **self.identity,
                "outcome": self.outcome,
                "cause": self.cause,
                "started": self.wall_start,
                "ended": wall,
                "driving_time": round(max(0.0, driving), 3),
                "path": thin_path(path) if source != "none" else (),
                "path_length": round(length, 3),
                "path_source": source,
                "stops": tuple(self._stops),
                "interventions": self.interventions,
                "latency": _durations(self._latencies),
                "speed_clamps": self.clamps,
                "lost_time": {kind: round(value, 3) for kind, value in self._lost.items()},
                **more,
            }
        )

    # inside

    def _speed(self) -> float:
        return max(map(abs, self._command))

    def _finish_driving(self, cause: str, now: float) -> None:
        if self._stop_since is not None:
            self._close_stop(now)
        self._drive_end = now
        self._phase_since = now
        self.cause = cause
        self.phase = "verdict"

    def _close_stop(self, now: float) -> None:
        assert self._stop_since is not None
        self._stops.append(
            {
                "reason": self._stop_reason,
                "start": round(self._stop_since - self.started, 3),
                "duration": round(now - self._stop_since, 3),
            }
        )
        self._stop_since = None

    def _blame(self, span: float) -> None:
        if span <= 0:
            return
        speed = self._speed()
        if self._state == states.DRIVING:
            if speed < STANDING:
                self._lost["policy" if self._wanted < STANDING else "limiter"] += span
            elif self._wanted > speed:
                self._lost["limiter"] += span * (1 - speed / self._wanted)
        elif speed < STANDING or self._taken:
            who = "operator" if self._taken else _BLAME.get(self._state)
            if who is not None:
                self._lost[who] += span

    def _integrate(self, now: float) -> None:
        since = self._commanded
        self._commanded = now
        if since is None or self.phase != "running":
            return
        span = now - since
        vx, vy, wz = self._command
        if span <= 0 or not (vx or vy or wz):
            return
        _, x, y, yaw = self._integrated[-1]
        pose = moved((x, y, yaw), self._command, span)
        self._integrated.append((now - self.started, *pose))
        self._integrated_length += math.hypot(vx, vy) * span
        _thin(self._integrated)


def _thin(points: list[tuple[float, float, float, float]]) -> None:
    if len(points) > MOST_POINTS:
        del points[1:-1:2]


def _durations(seconds: Collection[float]) -> dict[str, float]:
    """p50, p90, p99 and max of durations in seconds; empty without any."""
    if not seconds:
        return {}
    found = {**percentiles(seconds, occurred=True), "max": max(seconds)}
    return {name: round(value, 4) for name, value in found.items()}
