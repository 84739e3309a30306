"""operator_node beside the guard: holding drives the base, and whatever ends it ends in zero."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rig import HERE, Rig
from sensor_msgs.msg import BatteryState
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes import open_episode
from mobile_vla_ros.nodes.wiring.qos import latched
from mobile_vla_ros.web import words as web_words
from mobile_vla_ros.words import KnownInstructions

pytestmark = pytest.mark.ros

# Between the last fresh message and the last velocity that moves.
ALLOWED = 0.3


class Page:
    """A page in a process of its own, which can be frozen and killed like a phone."""

    def __init__(self, rig: Rig, address: str, token: str = "") -> None:
        self.rig = rig
        environment = dict(os.environ, PYTHONPATH=str(HERE.parents[1]))
        self.log = rig.tmp_path / f"page{len(rig.processes)}.log"
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "page_client.py"), address, token],
            stdin=subprocess.PIPE,
            stdout=self.log.open("w"),
            env=environment,
            text=True,
        )
        rig.processes.append(self.process)

    def do(self, words: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(words + "\n")
        self.process.stdin.flush()

    def heard(self, kind: str) -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines()
        found = [json.loads(line) for line in lines if line.endswith("}")]
        return [words for words in found if words["t"] == kind]

    @property
    def answers(self) -> list[dict[str, Any]]:
        """To orders that are done or refused; not the word after a second that it takes longer."""
        return [words for words in self.heard("answer") if words["ok"] is not None]

    def said(self, word: str) -> float:
        """When it said the last of these, once it has."""
        told: list[float] = []

        def look() -> bool:
            told[:] = [words["at"] for words in self.heard("said") if words["word"] == word]
            return bool(told)

        self.rig.wait(look, word)
        return told[-1]

    @property
    def view(self) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        for words in self.heard("view"):
            merged |= words
        return merged


class Robot:
    """The page's node, the guard, and what the base hears."""

    def __init__(self, rig: Rig, **parameters: Any) -> None:
        self.rig = rig
        self.node = rig.start(
            "-m", "mobile_vla_ros.nodes.operator_node", "--print-url", "--ros-args",
            *(word for k, v in {"port": 0, **parameters}.items() for word in ("-p", f"{k}:={v}")),
            name="operator",
        )  # fmt: skip
        rig.wait(lambda: "http" in rig.log("operator"), "the page's address")
        found = re.search(r"https?://([^/\s]+)/", rig.log("operator"))
        assert found is not None
        self.address = found[1]

    def held(self) -> Page:
        """A page whose stick is held, and a base that moves."""
        page = Page(self.rig, self.address)
        self.rig.wait(lambda: page.heard("welcome"), "the welcome")
        page.do("ask")
        page.do("hold 0 1")
        self.rig.wait(lambda: self.rig.moving, "motion")
        time.sleep(0.3)
        assert self.rig.commands[-1][1][0] == pytest.approx(0.3)
        return page

    def last_motion(self) -> float:
        """When the base was last told to move; it has been told zeros for a while."""
        self.rig.wait(lambda: not self.rig.moving, "zero")
        time.sleep(0.7)
        moving = [at for at, velocities in self.rig.commands if any(velocities)]
        assert not self.rig.moving
        return moving[-1]


@pytest.fixture
def rig(ros_domain: int, tmp_path: Path) -> Iterator[Rig]:
    with Rig(tmp_path) as one:
        yield one


def start_guard(rig: Rig, *parameters: str) -> None:
    given = [word for parameter in parameters for word in ("-p", parameter)]
    rig.start("-m", "mobile_vla_ros.nodes.cmd_vel_guard", "--ros-args", *given, name="guard")
    rig.wait(lambda: rig.commands, "the guard's zeros")


def test_every_way_of_letting_go_means_standing(rig: Rig) -> None:
    start_guard(rig)
    robot = Robot(rig)

    page = robot.held()
    rig.wait(lambda: page.view.get("speed") == [0.3, 0.0], "the speed on the page")
    page.do("go")
    assert robot.last_motion() - page.said("go") < ALLOWED
    rig.wait(lambda: page.view.get("speed") == [0.0, 0.0], "no speed on the page")

    # The page hangs with the stick held: no more messages, the socket stays open.
    page.do("hold 0 1")
    rig.wait(lambda: rig.moving, "motion")
    time.sleep(0.3)
    page.do("freeze")
    rig.wait(lambda: page.heard("frozen"), "the silence")
    assert robot.last_motion() - page.heard("frozen")[0]["last"] < ALLOWED

    # The phone is locked: its process stands still, and later delivers what it had to say.
    page.do("hold 0 1")
    rig.wait(lambda: rig.moving, "motion")
    time.sleep(0.3)
    os.kill(page.process.pid, signal.SIGSTOP)
    frozen = time.monotonic()
    assert robot.last_motion() - frozen < ALLOWED
    page.do("freeze")
    os.kill(page.process.pid, signal.SIGCONT)
    woken = len(rig.commands)
    time.sleep(0.6)
    assert not any(any(velocities) for _, velocities in rig.commands[woken:])

    # The tab is closed.
    page.do("hold 0 1")
    rig.wait(lambda: rig.moving, "motion")
    page.process.kill()
    closed = time.monotonic()
    assert robot.last_motion() - closed < ALLOWED

    # The page's program dies.
    robot.held()
    robot.node.kill()
    killed = time.monotonic()
    assert robot.last_motion() - killed < ALLOWED


def test_stop_holds_until_it_is_released_in_two_steps(rig: Rig) -> None:
    start_guard(rig)
    robot = Robot(rig)
    page = robot.held()
    page.do("stop")
    assert robot.last_motion() - page.said("stop") < ALLOWED
    page.do("hold 0 1")
    rig.wait(lambda: page.heard("held"), "why not")
    assert not rig.moving
    assert page.view["stop_held"]
    assert page.view["guard"] == "e-stop"
    page.do("order release")
    rig.wait(lambda: page.answers, "a refusal")
    assert page.answers[-1]["ok"] is False
    page.do("order release true")
    rig.wait(lambda: not page.view["stop_held"], "the release")
    # The e-stop is free, but the guard stays taken over until it is told to hand back.
    time.sleep(0.6)
    assert not rig.moving
    answers = len(page.answers)
    page.do("freeze")
    page.do("order hand_back")
    rig.wait(lambda: page.answers[answers:], "the hand-back")
    assert page.answers[-1]["ok"]
    page.do("hold 0 1")
    rig.wait(lambda: rig.moving, "motion")
    page.do("order hand_back")
    rig.wait(lambda: "let go first" in page.answers[-1]["text"], "a refusal")
    # What is handed back at once after letting go stays handed back.
    page.do("go")
    page.do("order hand_back")
    rig.wait(lambda: page.answers[-1]["text"] == "released", "the hand-back")
    time.sleep(0.8)
    assert page.view["taken_over"] is False


def test_without_a_guard_it_speaks_to_the_base_and_falls_silent(rig: Rig) -> None:
    robot = Robot(rig, guard="false")
    page = robot.held()
    page.do("go")
    assert robot.last_motion() - page.said("go") < ALLOWED
    heard = len(rig.commands)
    time.sleep(0.5)
    assert len(rig.commands) == heard
    page.do("hold 0 1")
    rig.wait(lambda: rig.moving, "motion")
    robot.node.send_signal(signal.SIGINT)
    assert rig.wait_for_exit(robot.node, 10.0) == 0
    assert not rig.moving


def test_an_episode_is_recorded_and_looked_at_from_the_page(rig: Rig, tmp_path: Path) -> None:
    rig.start_camera("--size", "640x360", "--rate", "10")
    rig.start(
        "-m", "mobile_vla_ros.nodes.recorder_node", "--ros-args",
        "-p", f"directory:={tmp_path}/episodes", "-p", "scenario:=1box_left",
        name="recorder",
    )  # fmt: skip
    page = Page(rig, Robot(rig).address)
    rig.wait(lambda: page.view.get("recorder"), "the recorder's words")
    # The camera is shown where no policy draws.
    rig.wait(lambda: page.heard("picture"), "a picture")
    text = "왼쪽 상자로 가세요"
    for order in (f"instruction {json.dumps(text)}", "record"):
        answers = len(page.answers)
        page.do(f"order {order}")
        rig.wait(lambda n=answers: page.answers[n:], order)
        assert page.answers[-1]["ok"], page.answers
    rig.wait(lambda: page.view["recorder"]["frames"] >= 5, "rows")
    page.do("order save")
    rig.wait(lambda: page.view["recorder"].get("last"), "the look at the episode")
    words = page.view["recorder"]["last"]["words"]
    assert re.match(r"episode_.*_1box_left\.h5: \d+ rows, ", words)
    rig.wait(lambda: any(p["kind"] == 2 for p in page.heard("picture")), "the thumbnail")
    (file,) = (tmp_path / "episodes").glob("*.h5")
    with open_episode(file) as episode:
        assert episode.instruction == text
    page.do("order discard")
    rig.wait(lambda: "deliberate" in page.answers[-1]["text"], "a refusal")


def test_a_reason_arrives_before_its_verdict_and_the_checkpoint_stays_blind(rig: Rig) -> None:
    heard: list[str] = []

    def judge(_request: Any, response: Any) -> Any:
        heard.append("failure")
        response.success, response.message = True, "written down"
        return response

    rig.node.create_subscription(String, "trial_manager/reason", lambda m: heard.append(m.data), 5)
    rig.node.create_service(Trigger, "trial_manager/failure", judge)
    status = rig.node.create_publisher(String, "trial_manager/status", latched())
    told = {"phase": "waiting", "next": {"number": 3, "scenario": "1box_left", "checkpoint": "b"}}
    page = Page(rig, Robot(rig).address)
    rig.wait(lambda: page.heard("welcome"), "the welcome")

    def seen() -> bool:
        status.publish(String(data=json.dumps(told)))
        time.sleep(0.05)
        return bool(page.view.get("trials"))

    rig.wait(seen, "the trials")
    assert page.view["trials"]["next"] == {"number": 3, "scenario": "1box_left"}
    reason = "왼쪽 상자를 지나침"
    page.do(f"order trial_failure {json.dumps(reason)}")
    rig.wait(lambda: page.answers, "the answer")
    assert heard == [reason, "failure"]
    rig.wait(lambda: page.view["reasons"] == [reason], "the reason's button")


def test_a_reason_that_nobody_hears_ends_in_a_sentence_and_no_verdict(rig: Rig) -> None:
    given: list[str] = []

    def judge(_request: Any, response: Any) -> Any:
        given.append("failure")
        response.success = True
        return response

    rig.node.create_service(Trigger, "trial_manager/failure", judge)
    page = Page(rig, Robot(rig).address)
    rig.wait(lambda: page.heard("welcome"), "the welcome")
    page.do('order trial_failure "box"')
    rig.wait(lambda: page.answers, "the answer")
    answer = page.answers[-1]
    assert answer["ok"] is False
    assert "does not hear the reason" in answer["text"]
    assert not given


def test_words_that_the_policy_does_not_know_are_warned_of_on_the_page(rig: Rig) -> None:
    remark = KnownInstructions(["go to the bottle"]).remark("go to the moon")
    states = rig.node.create_publisher(String, "mobile_vla/state", latched())
    diagnostics = rig.node.create_publisher(DiagnosticArray, "/diagnostics", 5)
    page = Page(rig, Robot(rig).address)
    rig.wait(lambda: page.heard("welcome"), "the welcome")

    def told(state: str, words_remark: str) -> None:
        states.publish(String(data=state))
        pairs = {"instruction": "go to the moon", "words_remark": words_remark}
        values = [KeyValue(key=key, value=value) for key, value in pairs.items()]
        status = DiagnosticStatus(name="mobile_vla: driving", values=values)
        diagnostics.publish(DiagnosticArray(status=[status]))
        time.sleep(0.1)

    def shown(state: str, words_remark: str, advice: str) -> bool:
        told(state, words_remark)
        view = page.view
        return (view.get("remark"), view.get("advice")) == (words_remark, advice)

    rig.wait(lambda: shown("driving", remark, web_words.UNKNOWN_WORDS), "the warning")
    assert "'moon' it has never heard" in remark
    assert remark in [event["text"] for event in page.view["events"]]
    # A stop is the more important thing to say.
    stopped = "stopped: stop service"
    rig.wait(lambda: shown(stopped, remark, web_words.sentence(stopped)[1]), "the stop's advice")
    rig.wait(lambda: shown("driving", "", ""), "no warning")


def test_wrong_input_is_refused_in_a_sentence(rig: Rig, tmp_path: Path) -> None:
    short = tmp_path / "token"
    short.write_text("short")
    for parameters, sentence in (
        (("host:=0.0.0.0",), "listens on this machine only"),
        ((f"token_file:={short}",), "8 to 4096 characters"),
        (("token_file:=nowhere",), "nowhere"),
        (("plan:=nowhere.yaml",), "nowhere.yaml"),
    ):
        given = [word for one in parameters for word in ("-p", one)]
        ended = subprocess.run(
            [sys.executable, "-m", "mobile_vla_ros.nodes.operator_node", "--ros-args", *given],
            capture_output=True,
            text=True,
            timeout=60,
            env=dict(os.environ, PYTHONPATH=str(HERE.parents[1])),
        )
        assert ended.returncode == 2
        assert ended.stderr.startswith("operator: ")
        assert sentence in ended.stderr
        assert len(ended.stderr.splitlines()) == 1


def test_the_battery_reaches_the_page_and_the_common_deadman_is_held_with_the_stick(
    rig: Rig,
) -> None:
    start_guard(rig, "deadman_required:=true")
    robot = Robot(rig, deadman="true")
    deadman: list[bool] = []
    rig.node.create_subscription(Bool, "deadman", lambda m: deadman.append(m.data), 10)
    battery = rig.node.create_publisher(BatteryState, "battery_state", 1)
    page = robot.held()  # which the guard lets through only with the deadman held
    rig.wait(lambda: deadman[-1:] == [True], "a deadman held")
    page.do("go")
    rig.wait(lambda: deadman[-1:] == [False], "a deadman let go")
    assert page.view.get("battery") is None

    def told(left: float) -> bool:
        battery.publish(BatteryState(percentage=left))
        wanted = None if math.isnan(left) else round(100 * left)
        return page.view.get("battery") == wanted

    rig.wait(lambda: told(0.81), "the battery")
    rig.wait(lambda: told(math.nan), "a battery that does not know")
