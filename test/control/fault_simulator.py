"""A virtual robot with a faulty world, and an oracle that knows when it must stand.

``run_schedule`` plays one random schedule of faults and orders against a ``Pilot`` on a virtual
clock. The oracle is written from the rules, on its own log of what happened in the world: it
never looks into the pilot, and it tags chunks by the moment their frame was handed over, not by
generation.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from mobile_vla_ros.control import ActionChunk, Limits, Pilot, PilotSettings

AXES = ("linear.x", "linear.y", "angular.z")
BASE = 1.7e9
EPS = 1e-6
CHUNK = 10
ACTION_PERIOD = 0.4
CAMERA_FAULTS = (
    "silent",
    "frozen",
    "old",
    "future",
    "backward",
    "repeat",
    "broken stamp",
    "unreadable",
)
MODEL_FAULTS = ("slow", "hang", "die", "nan", "inf", "shape", "axes", "ahead")
CLOCK_FAULTS = ("clock back", "clock forward", "clock stands", "clock stands alone")
# What lasts for a while and is told to the pilot at its beginning and its end.
SPELLS = {
    "two cameras": "two cameras",
    "link lost": "server lost",
    "link refused": "server refused",
}
ORDERS = (
    "stop",
    "enable",
    "disable",
    "instruct",
    "clear",
    "reset",
    "take over",
    "release",
    "limits",
    "deactivate",
    "activate",
)


class Broken(AssertionError):
    """The pilot did what it must not do."""


@dataclass
class Oracle:
    """When must the command be zero, when silence, and when must it drive?"""

    settings: PilotSettings
    active: bool = False
    enabled: bool = True
    instruction: str = ""
    stopped: bool = False
    stop_shown: bool = False
    person: bool = False
    seen: bool = False
    model: str = "absent"
    model_reasons: set[str] = field(default_factory=set)
    faults: list[float] = field(default_factory=list)
    latched: bool = False
    owed_since: float | None = None
    answered: bool = False
    stamp: float | None = None
    last_any: float | None = None
    last_good: float | None = None
    repeat_at: float = -1e9
    camera_reasons: set[str] = field(default_factory=set)
    good_run: int = 0
    held: bool = False
    link: str | None = None
    unread_run: int = 0
    read_run: int = 0
    last_loss: str = ""
    picture: int | None = None
    picture_since: float = 0.0
    clock_before: float | None = None
    void_seq: int = 0
    seq: int = 0
    hard_since_tick: bool = False
    hard_causes: set[str] = field(default_factory=set)
    soft_at: float = -1e9
    chunk: tuple[float, float, bool] | None = None
    late: set[str] = field(default_factory=set)
    drove: bool = False
    small_since: float | None = None
    arrived: bool = False
    trouble_at: float = 0.0
    muted_at: float | None = None
    limits: Limits = field(default_factory=Limits)
    last: list[float] | None = None
    last_now: float | None = None

    # what happens ----------------------------------------------------------------------

    def next(self) -> int:
        self.seq += 1
        return self.seq

    def void(self, now: float, hard: str | None) -> None:
        """From here on nothing that was seen before may drive."""
        self.void_seq = self.next()
        self.chunk = None
        self.late = set()
        self.drove = False
        self.trouble_at = now
        self.small_since = None
        if hard is not None:
            self.hard_since_tick = True
            self.hard_causes.add(hard)
        else:
            self.soft_at = now

    def camera_loss(self, reason: str, now: float) -> None:
        if not self.camera_reasons or self.good_run:
            self.void(now, "stopped: " + reason)
        self.camera_reasons.add(reason)
        self.last_loss = reason
        self.good_run = 0
        self.seen = True
        self.trouble_at = now

    def frame(self, stamp: float, picture: int, now: float, clock: float) -> bool:
        """Whether this frame is good."""
        if not self.active:
            return False
        s = self.settings
        if stamp == self.stamp:
            self.repeat_at = now
            return False
        self.silence(now)
        self.last_any = now
        if self.held:
            self.camera_loss("two cameras", now)
            return False
        age = clock - stamp
        if not math.isfinite(stamp) or age < -s.future_tolerance:
            self.camera_loss("clock jumped", now)
            return False
        if age > s.max_frame_age:
            self.camera_loss("frame too old", now)
            return False
        backward = self.stamp is not None and stamp < self.stamp
        self.stamp = stamp
        if picture != self.picture or backward:
            self.picture, self.picture_since = picture, now
        if backward:
            self.camera_loss("clock jumped", now)
            return False
        if s.frozen_timeout and now - self.picture_since >= s.frozen_timeout:
            self.camera_loss("camera frozen", now)
            return False
        self.last_good = now
        self.seen = True
        self.good_run += 1
        if self.camera_reasons:
            self.trouble_at = now
        unread = self.last_loss == "unreadable pictures" and self.read_run < 3
        if self.good_run >= 3 and not unread:
            self.camera_reasons = set()
        return True

    def unreadable(self, now: float) -> None:
        if not self.active:
            return
        self.last_any = now
        self.read_run = 0
        self.unread_run += 1
        if self.unread_run >= 3:
            self.camera_loss("unreadable pictures", now)

    def spell(self, kind: str, begins: bool, now: float) -> None:
        self.trouble_at = now
        if kind == "two cameras":
            if begins and not self.held:
                self.camera_loss("two cameras", now)
            self.held = begins
        else:
            self.link = SPELLS[kind] if begins else None

    def silence(self, now: float) -> None:
        if self.last_any is None or now - self.last_any < self.settings.image_timeout:
            return
        repeated = now - self.repeat_at < self.settings.image_timeout
        self.camera_loss("camera frozen" if repeated else "camera silent", now)

    def worker_fault(self, reason: str, now: float) -> None:
        self.model_reasons = {reason}
        if reason != "bad output":
            self.model = "down"
            self.owed_since = None
        self.faults.append(now)
        if len([t for t in self.faults[-3:] if now - t <= 10]) == 3:
            self.latched = True
        self.void(now, "stopped: " + reason)

    def result(self, sound: bool, handed: int, stamp: float, small: bool, now, clock) -> None:
        if self.model != "ready":
            return
        self.unread_run = 0
        self.read_run += 1
        if handed < self.void_seq or not self.active or not self.instruction:
            return
        if not sound:
            self.worker_fault("bad output", now)
            return
        self.chunk = (stamp, now, small)
        if clock - stamp < self.settings.chunk_timeout:
            self.late = set()
            if not self.latched:
                self.model_reasons = set()
        else:
            self.late = {"stopped: model too slow"}
            self.trouble_at = now

    # what must be ----------------------------------------------------------------------

    def tick(self, command, now: float, clock: float) -> None:
        s = self.settings
        period = 1 / s.control_rate
        if self.active:
            before, self.clock_before = self.clock_before, clock
            if self.seen and before is not None and clock < before - s.future_tolerance:
                self.camera_loss("clock jumped", now)
            self.silence(now)
            if self.chunk is not None and clock - self.chunk[0] < -s.future_tolerance:
                self.camera_loss("clock jumped", now)
        wait = s.worker_timeout if self.answered else s.first_result_timeout
        if self.owed_since is not None and now - self.owed_since >= wait:
            self.worker_fault("model hung", now)

        causes = set(self.hard_causes) if self.hard_since_tick else set()
        standing: set[str] = set()
        if not self.active or not self.enabled:
            standing.add("disabled")
        if self.model in ("absent", "loading") and not self.model_reasons:
            standing.add("warming_up")
        if self.stopped:
            standing.add("stopped: stop service")
        if self.person:
            standing.add("stopped: taken over")
        if not self.seen:
            standing.add("waiting_for_camera")
        standing |= {"stopped: " + reason for reason in self.camera_reasons | self.model_reasons}
        if self.latched or self.model != "ready":
            standing |= {"stopped: " + reason for reason in self.model_reasons}
        causes |= standing

        valid = self.chunk is not None and self._valid(now, clock)
        may_drive = not causes and bool(self.instruction) and not self.arrived
        if may_drive and not valid and self.link:
            if self.drove:
                self.void(now, "stopped: " + self.link)
            causes.add("stopped: " + self.link)
        elif may_drive and self.drove and not valid:
            self.void(now, None)
            self.soft_at = -1e9
            self.late = {"stopped: chunk used up", "stopped: model too slow"}
        if may_drive and not valid and self.late and not self.link:
            causes |= self.late
        previous = self.last
        self._check_numbers(command, now, period)
        zero = not any(self.last)

        if causes:
            self._must(zero, "zero is due:", causes, "but", command)
            allowed = causes | {"waiting_for_instruction", "arrived"}
            if self.link and not valid:
                allowed.add("stopped: " + self.link)
            if self.late or not self.instruction or self.arrived:
                allowed |= self.late
            self._must(command.state in allowed, command.state, "is none of", allowed)
        elif not valid or not self.instruction or self.arrived:
            slowing = zero or self._slowing(previous)
            self._must(slowing, "nothing may drive, but", command)
            blind = self.instruction and not self.arrived
            if blind and now - self.soft_at > s.chunk_timeout + EPS:
                self._must(zero, "blind for too long:", command)
            if not blind:
                lim = self.limits
                until = 1.5 / min(lim.max_linear_decel, lim.max_angular_decel) + 1.5
                long_ago = now - self.trouble_at > until
                self._must(zero or not long_ago, "it should have stood by now:", command)
        else:
            fine = now - self.trouble_at
            if fine > 1.5 and not self.chunk[2]:
                self._must(not zero, "all is well since", fine, "but", command)
        if valid and may_drive and not causes:
            self._must(command.state in ("driving", "arrived"), command.state, "with a chunk")

        self._arrival(command, valid and may_drive and not causes, now, period)
        self._silence_rule(command, now, period, zero)
        if command.state.startswith("stopped: ") or command.hard_stop:
            self._must(zero, "a hard stop that moves:", command)
        self.drove = valid and may_drive and not causes and command.state == "driving"
        self.hard_since_tick = False
        self.hard_causes = set()

    def _valid(self, now: float, clock: float) -> bool:
        stamp, came, _ = self.chunk
        s = self.settings
        limit = min(CHUNK * ACTION_PERIOD, s.chunk_timeout)
        return -s.future_tolerance <= clock - stamp < limit and now - came < limit

    def _slowing(self, previous) -> bool:
        if previous is None:
            return False
        speed, before = (math.hypot(*v[:2]) for v in (self.last, previous))
        turn, turn_before = abs(self.last[2]), abs(previous[2])
        return (
            speed <= before + EPS
            and turn <= turn_before + EPS
            and speed + turn < (before + turn_before)
        )

    def _check_numbers(self, command, now: float, period: float) -> None:
        lim = self.limits
        v = [0.0] * len(AXES) if command.velocities is None else command.velocities.tolist()
        self._must(len(v) == len(AXES) and all(map(math.isfinite, v)), "no velocity:", v)
        last = self.last if self.last is not None else [0.0] * len(AXES)
        elapsed = period if self.last_now is None else min(now - self.last_now, 2 * period)
        elapsed = max(elapsed, period) + EPS
        for part, most, up, down in (
            (slice(0, 2), lim.max_linear, lim.max_linear_accel, lim.max_linear_decel),
            (slice(2, 3), lim.max_angular, lim.max_angular_accel, lim.max_angular_decel),
        ):
            speed, before = math.hypot(*v[part]), math.hypot(*last[part])
            self._must(speed <= max(most, before) + EPS, "too fast:", v, "after", last)
            self._must(speed - before <= up * elapsed + EPS, "too hard:", v, "after", last)
            if not command.hard_stop:
                change = math.dist(v[part], last[part])
                most_change = max(up, down) * elapsed + EPS
                self._must(change <= most_change, "a jump:", v, "after", last)
        self.last, self.last_now = v, now

    def _arrival(self, command, driving: bool, now: float, period: float) -> None:
        if driving and self.chunk[2]:
            if self.small_since is None:
                self.small_since = now
            held = now - self.small_since
            if command.state == "arrived":
                self._must(held >= self.settings.arrival_hold - 0.2, "arrived after", held)
                self.arrived = True
                self.trouble_at = now
            else:
                self._must(held <= self.settings.arrival_hold + 0.45, "not arrived in", held)
        else:
            if driving:
                self.small_since = None
            if command.state == "arrived":
                self._must(self.arrived, "arrived without wanting to stand")

    def _silence_rule(self, command, now: float, period: float, zero: bool) -> None:
        ordered_stop = self.stopped and (self.stop_shown or not self.person)
        muted = not (self.active and self.enabled and self.instruction) or self.person
        if ordered_stop or not muted:
            self.muted_at = None
            absent = self.model == "absent"
            self._must(absent or command.velocities is not None, "silent:", command)
            return
        if not zero:
            self.muted_at = None
            return
        if self.muted_at is None:
            self.muted_at = now
        since = now - self.muted_at
        if since <= self.settings.silence_after - EPS:
            self._must(command.velocities is not None, "silent after", since, command)
        if since > self.settings.silence_after + 2 * period + EPS:
            self._must(command.velocities is None, "talks for", since, command)

    def _must(self, fact: bool, *words: object) -> None:
        if not fact:
            raise Broken(" ".join(map(str, words)))


def run_schedule(seed: int, trace: list | None = None) -> dict[str, int]:
    """Plays schedule ``seed``.

    Returns:
        How many ticks each state had, and ``moving``: ticks with a velocity other than zero.

    Raises:
        Broken: the pilot broke a rule.
    """
    rng = np.random.default_rng(seed)
    draws = iter(rng.random(4000).tolist())

    def draw(low: float = 0.0, high: float = 1.0) -> float:
        return low + (high - low) * next(draws)

    def choose(options):
        return options[int(next(draws) * len(options))]

    slow_camera = draw() < 0.1
    rate = 2.5 if slow_camera else choose((30.0, 15.0, 10.0))
    limits = Limits()
    if draw() < 0.5:
        limits = Limits(*(draw(0.05, 1.0) for _ in range(6)))
    settings = PilotSettings(
        limits=limits,
        image_timeout=1.0 if slow_camera else 0.25,
        first_result_timeout=1.5,
        frozen_timeout=choose((0.0, 0.5, 1.0)),
        arrival_hold=0.8,
    )
    pilot = Pilot(settings, AXES)
    oracle = Oracle(settings, limits=limits)
    length = draw(3.0, 5.0)

    spans: list[tuple[float, float, str]] = []
    queue: list[tuple[float, int, str, object]] = []
    count = 0

    def at(time: float, kind: str, data: object = None) -> None:
        nonlocal count
        count += 1
        heapq.heappush(queue, (time, count, kind, data))

    for _ in range(int(draw(0, 4))):
        start = draw(0.5, length - 0.5)
        kind = choose(CAMERA_FAULTS + MODEL_FAULTS + CLOCK_FAULTS + tuple(SPELLS))
        spans.append((start, start + choose((0.06, 0.2, 0.5, 1.5)) * draw(0.5, 1.5), kind))
        if kind in CLOCK_FAULTS:
            at(start, kind, spans[-1][1])
        if kind in SPELLS:
            at(start, kind, True)
            at(spans[-1][1], kind, False)
    calm = draw() < 0.3
    if not calm:
        for _ in range(int(draw(0, 5))):
            at(draw(0.3, length), choose(ORDERS))
    if draw() < 0.1:
        # A new order while the model sleeps: the longest a base may slow down without a chunk.
        start = draw(1.0, length - 1.2)
        spans.append((start - 0.1, start + 1.2, "slow"))
        at(start, choose(("reset", "instruct")))
    arrives_at = draw(0.5, length) if draw() < 0.2 else math.inf

    clock_offset, clock_held = 0.0, None
    camera_offset = 0.0
    picture = 0
    last_stamp = 0.0
    slot = None
    worker = "absent"
    job = 0
    heading = rng.uniform(-1, 1, 3)
    heading[0] = math.copysign(0.1 + 0.5 * abs(heading[0]), heading[0])
    states: dict[str, int] = {"moving": 0}
    good_velocities = np.repeat(heading[None], CHUNK, 0).astype(np.float32)
    small_velocities = np.full((CHUNK, 3), 0.01, np.float32)

    def clock_at(now: float) -> float:
        return BASE + now + clock_offset if clock_held is None else clock_held

    def fault(now: float, among: tuple[str, ...]) -> str | None:
        for start, end, kind in spans:
            if start <= now < end and kind in among:
                return kind
        return None

    def take(now: float) -> None:
        """The idle worker takes the newest frame."""
        nonlocal slot, worker, job
        if worker != "idle" or slot is None:
            return
        frame, slot = slot, None
        worker = "busy"
        job += 1
        pilot.sent(frame[0], now)
        oracle.owed_since = now
        if oracle.link:
            unanswered(frame[0], now)
            return
        mode = fault(now, MODEL_FAULTS)
        if mode == "hang":
            return
        latency = draw(0.9, 1.6) if mode == "slow" else draw(0.03, 0.15)
        at(now + latency, "result", (job, frame, mode))

    def unanswered(stamp: float, now: float) -> None:
        """Nobody answers this frame: the link is down."""
        nonlocal worker
        worker = "idle"
        pilot.skipped(stamp, now)
        oracle.answered, oracle.owed_since = True, None

    def order(kind: str, now: float) -> None:
        nonlocal worker, slot
        o = oracle
        if kind == "stop":
            pilot.stop(now)
            o.stopped, o.stop_shown = True, True
            o.void(now, "stopped: stop service")
        elif kind in ("enable", "disable"):
            flag = kind == "enable"
            pilot.enable(flag, now)
            o.stopped = False
            o.enabled = flag
            o.trouble_at = now
            if flag:
                o.latched, o.faults = False, []
            else:
                o.muted_at = None
                o.void(now, "disabled")
        elif kind in ("instruct", "clear"):
            text = "" if kind == "clear" else choose(("go left", "go right"))
            pilot.set_instruction(text, now)
            if text != o.instruction:
                o.instruction, o.arrived = text, False
                o.void(now, None)
        elif kind == "reset":
            pilot.reset(now)
            o.arrived = False
            o.void(now, None)
        elif kind in ("take over", "release"):
            flag = kind == "take over"
            pilot.taken_over(flag, now)
            o.trouble_at = now
            if flag and not o.person:
                o.stop_shown = False
                o.void(now, "stopped: taken over")
            o.person = flag
            if not flag:
                o.stop_shown = o.stopped
        elif kind == "limits":
            lim = Limits(*(draw(0.1, 1.5) for _ in range(6)))
            pilot.update_limits(lim)
            o.limits = lim
        elif kind in ("deactivate", "activate"):
            o.muted_at = None
            o.void(now, "warming_up" if kind == "activate" else "disabled")
            if kind == "activate":
                pilot.activate(now)
                o.active, o.seen, o.good_run, o.camera_reasons = True, False, 0, set()
                o.unread_run = o.read_run = 0
                o.stamp = o.last_any = o.last_good = o.picture = o.clock_before = None
                o.repeat_at = -1e9
            else:
                pilot.deactivate(now)
                o.active = False

    def loading(now: float) -> None:
        nonlocal worker, slot, job
        pilot.model_loading(now)
        oracle.model, oracle.owed_since = "loading", None
        oracle.void(now, "warming_up")
        worker, slot = "loading", None
        job += 1
        at(now + draw(0.1, 0.4), "ready", job)

    loading(0.0)
    order("activate", 0.0)
    if draw() < 0.9:
        order("instruct", 0.0)
    at(draw(0.0, 0.3), "frame")
    at(draw(0.0, 0.05), "tick")

    while queue:
        now, _, kind, data = heapq.heappop(queue)
        if now > length:
            break
        clock = clock_at(now)
        if kind == "tick":
            command = pilot.tick(now, clock)
            if trace is not None:
                trace.append((now, command))
            try:
                oracle.tick(command, now, clock)
            except Broken as broken:
                raise Broken(f"schedule {seed} at {now:.3f} s: {broken}; {spans}") from None
            states[command.state] = states.get(command.state, 0) + 1
            if command.velocities is not None and command.velocities.any():
                states["moving"] += 1
            if pilot.worker_down and not pilot.latched:
                loading(now)
            late = 0.3 if draw() < 0.005 else 0.0
            at(now + 0.05 + draw(-0.004, 0.004) + late, "tick")
        elif kind == "frame":
            mode = fault(now, CAMERA_FAULTS)
            at(now + draw(0.97, 1.03) / rate, "frame")
            if mode == "silent":
                continue
            if mode == "unreadable":
                pilot.unreadable(now)
                oracle.unreadable(now)
                continue
            picture += mode != "frozen"
            stamp = clock_at(now) + camera_offset - draw(0.002, 0.03)
            if clock_held is not None and fault(now, ("clock stands alone",)):
                stamp = BASE + now + clock_offset - 0.02
            if mode == "old":
                stamp -= draw(0.6, 5.0)
            elif mode == "future":
                stamp += draw(0.06, 5.0)
            elif mode == "backward":
                stamp = last_stamp - draw(0.01, 0.3)
            elif mode == "repeat":
                stamp = last_stamp
            elif mode == "broken stamp":
                stamp = choose((math.nan, math.inf, 0.0, stamp))
            elif clock_held is not None and not fault(now, ("clock stands alone",)):
                stamp = clock_held
            last_stamp = stamp if math.isfinite(stamp) else last_stamp
            good = oracle.frame(stamp, picture, now, clock)
            wanted = pilot.frame(stamp, picture, now, clock)
            expected = good and bool(oracle.instruction) and oracle.model == "ready"
            if wanted != expected:
                raise Broken(f"schedule {seed} at {now:.3f} s: frame {mode} handed on: {wanted}")
            if wanted:
                slot = (stamp, pilot.generation, oracle.next())
                if oracle.owed_since is None:
                    oracle.owed_since = now
                take(now)
        elif kind == "ready":
            if worker == "loading" and data == job:
                worker = "idle"
                pilot.model_ready(now)
                oracle.model, oracle.answered, oracle.owed_since = "ready", False, None
                oracle.void(now, "warming_up")
        elif kind == "result":
            number, frame, mode = data
            if number != job or worker != "busy" or oracle.model != "ready":
                continue
            if oracle.link:
                unanswered(frame[0], now)
                if slot is not None:
                    oracle.owed_since = now
                take(now)
                continue
            if mode == "die":
                worker = "dead"
                pilot.worker_fault("model failed", now)
                oracle.worker_fault("model failed", now)
                continue
            worker = "idle"
            small = now >= arrives_at
            velocities = small_velocities if small else good_velocities
            stamp, axes = frame[0], AXES
            if mode == "nan":
                velocities = velocities.copy()
                velocities[int(draw(0, CHUNK)), int(draw(0, 3))] = math.nan
            elif mode == "inf":
                velocities = velocities * np.float32(math.inf)
            elif mode == "shape":
                velocities = choose((velocities[:, :2], velocities[0], velocities[:0]))
            elif mode == "axes":
                axes = ("linear.x", "angular.z", "linear.y")
            elif mode == "ahead":
                stamp = BASE + now + 3.0
            chunk = ActionChunk(velocities, axes, stamp, ACTION_PERIOD, generation=frame[1])
            oracle.answered = True
            oracle.owed_since = None
            bad = mode in ("nan", "inf", "shape", "axes", "ahead")
            pilot.result(chunk, now, clock)
            oracle.result(not bad, frame[2], stamp, small, now, clock)
            if slot is not None:
                oracle.owed_since = now
            take(now)
        elif kind in SPELLS:
            oracle.spell(kind, data, now)
            if kind == "two cameras":
                pilot.two_cameras(data, now)
            else:
                pilot.link(SPELLS[kind] if data else None, now)
        elif kind == "clock back":
            clock_offset -= choose((0.01, 0.1, 0.3, 2.0))
            oracle.trouble_at = now
        elif kind == "clock forward":
            clock_offset += choose((0.01, 0.1, 0.3, 2.0))
            oracle.trouble_at = now
        elif kind in ("clock stands", "clock stands alone"):
            if clock_held is None:
                clock_held = clock
                at(data, "clock runs")
        elif kind == "clock runs":
            clock_held = None
            oracle.trouble_at = now
        else:
            order(kind, now)
    return states
