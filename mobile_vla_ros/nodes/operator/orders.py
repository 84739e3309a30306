"""What the page may order of the other nodes; each order is one or two of their services."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.callback_groups import CallbackGroup
from rclpy.duration import Duration
from rclpy.node import Node
from std_msgs.msg import String
from std_srvs.srv import Trigger

from mobile_vla_ros.episodes.plan import read_plan
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.files import home_path
from mobile_vla_ros.nodes.operator.emergency import EmergencyStop
from mobile_vla_ros.nodes.wiring.program import PARAMETERS_SET, Topic
from mobile_vla_ros.nodes.wiring.qos import queued
from mobile_vla_ros.nodes.wiring.remote import Remote

# Loading a checkpoint, or the last frames of an episode on their way to the disk.
PATIENCE = 120.0
QUICK = 5.0
ACKNOWLEDGE_SECONDS = 0.5
HEARING_SECONDS = 0.6
KNOCK_SECONDS = 0.02
MOST_REASONS = 12

_SERVICES = {
    "mobile_vla": ("stop", "reset", "mark"),
    "episode_recorder": ("start", "save", "discard"),
    "trial_manager": ("start", "success", "failure", "abort", "mark"),
    "cmd_vel_guard": ("release",),
}
ASKS = (
    *(
        Topic(f"{name}/{service}", "std_srvs/Trigger")
        for name, services in _SERVICES.items()
        for service in services
    ),
    Topic("mobile_vla/enable", "std_srvs/SetBool"),
    Topic("mobile_vla/set_parameters_atomically", PARAMETERS_SET, "its instruction"),
    Topic("episode_recorder/set_parameters_atomically", PARAMETERS_SET, "what is recorded"),
)


class OrderError(InputError):
    """An order that nobody can carry out."""


class Orders:
    """Carries out orders, each in a thread of its caller that may wait.

    Args:
        node: asks the others.
        names: the node's parameters: names of the others.
        estop: is released here.
        group: a reentrant callback group.

    Attributes:
        reasons: of failures so far, the newest first.
    """

    def __init__(
        self, node: Node, names: dict[str, Any], estop: EmergencyStop, group: CallbackGroup
    ) -> None:
        self.reasons: list[str] = []
        self._estop = estop
        self._policy = Remote(node, names["policy"], group)
        self._recorder = Remote(node, names["recorder"], group)
        self._trials = Remote(node, names["trials"], group)
        self._guard = Remote(node, names["guard_name"], group)
        self._instructions = node.create_publisher(
            String, f"{names['policy']}/instruction", queued()
        )
        self._reasons = node.create_publisher(String, f"{names['trials']}/reason", queued())
        # A client knows who is there some time after it has been made.
        self._hears(self._policy)
        self._hears(self._recorder)
        self._trials.offers(Trigger, "start")
        self._known: dict[str, Callable[[Any], str]] = {
            "instruction": self._instruct,
            "enable": lambda _: self._switch(True),
            "disable": lambda _: self._switch(False),
            "reset": lambda _: self._policy.trigger("reset", QUICK) or "reset",
            "release": self._release,
            "hand_back": lambda _: self._guard.trigger("release", QUICK) or "handed back",
            "mark": lambda _: self._mark(),
            "scenario": self._choose,
            "record": lambda _: self._recorder.trigger("start", PATIENCE),
            "save": lambda _: self._recorder.trigger("save", PATIENCE),
            "discard": self._discard,
            "trial_start": lambda _: self._trials.trigger("start", PATIENCE),
            "trial_success": lambda reason: self._judge("success", reason),
            "trial_failure": lambda reason: self._judge("failure", reason),
            "trial_abort": lambda reason: self._judge("abort", reason),
        }

    def carry_out(self, name: str, value: Any) -> str:
        """Does one order; returns what to say.

        Raises:
            InputError: it is not known, or it was refused.
        """
        if name not in self._known:
            raise OrderError("there is no such order; reload the page")
        return self._known[name](value)

    def stop(self) -> str:
        """The policy's own stop, besides the e-stop.

        Raises:
            RemoteError: there is no policy, or it does not answer.
        """
        return self._policy.trigger("stop", QUICK)

    def _instruct(self, text: Any) -> str:
        if not isinstance(text, str):
            raise OrderError("an instruction is a text")
        told = [self._policy] if self._hears(self._policy) else []
        # In a trial the manager says what is recorded.
        if self._hears(self._recorder) and not self._trials.offers(Trigger, "start"):
            told.append(self._recorder)
        if not told:
            raise OrderError("neither a policy nor a recorder is running")
        for one in told:
            one.set_parameters(QUICK, instruction=text)
        return f"told: {text}" if text else "the instruction is cleared"

    @staticmethod
    def _hears(one: Remote) -> bool:
        return one.offers(SetParametersAtomically, "set_parameters_atomically")

    def _switch(self, on: bool) -> str:
        if on and self._estop.held:
            raise OrderError("the stop is held: release it first")
        self._policy.switch("enable", on, QUICK)
        return "enabled" if on else "disabled"

    def _release(self, sure: Any) -> str:
        if sure is not True:
            raise OrderError("a release takes a second, deliberate step")
        self._estop.release()
        return "the stop is released; nothing moves before it is handed back and enabled"

    def _mark(self) -> str:
        try:
            self._trials.trigger("mark", QUICK)
        except InputError:
            self._policy.trigger("mark", QUICK)
        return "marked"

    def _choose(self, name: Any) -> str:
        if not isinstance(name, str):
            raise OrderError("a scenario is a text")
        # The instruction of the scenario before must not be left standing.
        self._recorder.set_parameters(QUICK, scenario=name, instruction="")
        return f"scenario {name}" if name else "as the plan proposes"

    def _discard(self, sure: Any) -> str:
        if sure is not True:
            raise OrderError("throwing an episode away takes a second, deliberate step")
        return self._recorder.trigger("discard", PATIENCE)

    def _judge(self, outcome: str, reason: Any) -> str:
        if isinstance(reason, str) and reason:
            self._give(reason, outcome)
            if reason in self.reasons:
                self.reasons.remove(reason)
            self.reasons = [reason, *self.reasons][:MOST_REASONS]
        return self._trials.trigger(outcome, PATIENCE)

    def _give(self, reason: str, outcome: str) -> None:
        """Hands a reason to the trial manager: it is there before the verdict it belongs to.

        Raises:
            AbsentError: there is no trial manager.
            OrderError: a manager is there and does not hear it.
        """
        self._trials.await_offer(Trigger, outcome)
        # The service of a manager that has just come may be found before its ear is.
        deadline = time.monotonic() + HEARING_SECONDS
        while not self._reasons.get_subscription_count() and time.monotonic() < deadline:
            time.sleep(KNOCK_SECONDS)
        if not self._reasons.get_subscription_count():
            raise OrderError("the trial manager does not hear the reason yet: say it again")
        self._reasons.publish(String(data=reason))
        self._reasons.wait_for_all_acked(Duration(seconds=ACKNOWLEDGE_SECONDS))


def planned_instructions(path: str) -> list[dict[str, str]]:
    """Scenario and instruction of each entry of a collection plan; none without a path.

    Raises:
        InputError: the plan cannot be read.
    """
    if not path:
        return []
    plan = read_plan(home_path(path))
    names = [entry.name for entry in plan.progress({})]
    return [{"scenario": name, "instruction": plan.instruction(name)} for name in names]
