"""The operator's page: see, stop, drive, record and judge from a phone beside the robot.

    python -m mobile_vla_ros.nodes.operator_node --ros-args -p token_file:=token -p host:=0.0.0.0

Serves one page. Holding its stick publishes `teleop_cmd_vel` and `operator_deadman`; letting go,
closing the page, losing the link or this program's death ends in zero. STOP calls the policy's
~/stop and holds `estop` until it is released in two steps. Without a token the page is for this
machine only. With --print-url the address is printed as one line instead of a QR code.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node

from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.operator.drive import StickDrive
from mobile_vla_ros.nodes.operator.emergency import EmergencyStop
from mobile_vla_ros.nodes.operator.last_episode import LastEpisode
from mobile_vla_ros.nodes.operator.orders import (
    ASKS,
    OrderError,
    Orders,
    planned_instructions,
)
from mobile_vla_ros.nodes.operator.parameters import PARAMETERS
from mobile_vla_ros.nodes.operator.pictures import PagePictures
from mobile_vla_ros.nodes.operator.watch import RobotWatch
from mobile_vla_ros.nodes.wiring.parameters import declare
from mobile_vla_ros.nodes.wiring.program import VELOCITY, Program, Topic
from mobile_vla_ros.nodes.wiring.running import Life, StopSignal, run_node
from mobile_vla_ros.serving.access import check_exposure, is_loopback, read_token, server_context
from mobile_vla_ros.states import DRIVING
from mobile_vla_ros.web.code import address_code
from mobile_vla_ros.web.desk import Desk
from mobile_vla_ros.web.page import EPISODE, START
from mobile_vla_ros.web.server import PageServer, PageSettings
from mobile_vla_ros.web.stick import Stick

PROGRAM = Program(
    node="operator",
    module="operator_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=(
        Topic("mobile_vla/state", "std_msgs/String", "what the policy does"),
        Topic(
            "mobile_vla/overlay/compressed", "sensor_msgs/CompressedImage", "while a page looks"
        ),
        Topic("image", "sensor_msgs/Image", "the camera, where no policy draws an overlay"),
        Topic("cmd_vel", VELOCITY, "what the base is told, m/s and rad/s"),
        Topic("cmd_vel_guard/state", "std_msgs/String", "who drives, or why it stands"),
        Topic("cmd_vel_guard/taken_over", "std_msgs/Bool"),
        Topic("episode_recorder/status", "std_msgs/String", "JSON, of the recorder"),
        Topic("trial_manager/status", "std_msgs/String", "JSON, of the trial manager"),
        Topic(
            "trial_manager/start_view/compressed", "sensor_msgs/CompressedImage", "between trials"
        ),
        Topic("battery_state", "sensor_msgs/BatteryState"),
        Topic("/diagnostics", "diagnostic_msgs/DiagnosticArray", "the policy's numbers"),
    ),
    tells=(
        Topic("teleop_cmd_vel", VELOCITY, "while the stick is held (cmd_vel with guard:=false)"),
        Topic("operator_deadman", "std_msgs/Bool", "true while it is held"),
        Topic("deadman", "std_msgs/Bool", "the same, with deadman:=true"),
        Topic("estop", "std_msgs/Bool", "true from STOP to its release"),
        Topic("mobile_vla/instruction", "std_msgs/String"),
        Topic("trial_manager/reason", "std_msgs/String", "of a verdict"),
    ),
    asks=ASKS,
)
PRINT_URL = "--print-url"
# A little longer than the stick's farewell.
QUIET_SECONDS = 0.8


class OperatorNode(Life, Node):
    """The robot, as the page's server sees it."""

    def __init__(self, *, print_url: bool = False, **options: Any) -> None:
        super().__init__("operator", **options)
        settings = declare(self, PARAMETERS)
        self._settings = settings
        self._print_url = print_url
        self._plan = planned_instructions(settings["plan"])
        token = read_token(settings["token_file"])
        check_exposure(settings["host"], token)
        tls = server_context(settings["certificate"], settings["key"])
        self._desk = Desk(self, Stick(settings["max_linear"], settings["max_angular"]))
        self._server = PageServer(
            PageSettings(settings["host"], settings["port"], token, tls), self._desk
        )
        self._episode = LastEpisode(self._on_episode)
        self._watch = RobotWatch(self, settings, self._episode.look)
        self._estop = EmergencyStop(self)
        self._orders = Orders(self, settings, self._estop, ReentrantCallbackGroup())
        self._drive = StickDrive(
            self,
            settings,
            wish=self._desk.wish,
            taken=lambda: bool(self._desk.driver),
            began=self._on_taken,
        )
        self._pictures = PagePictures(
            self,
            settings,
            looked_at=lambda: self._server.looked_at,
            show=self._server.offer,
            placing=lambda: self._watch.placing,
            show_start=lambda jpeg: self._server.offer_still(START, jpeg),
        )

    def work(self, stop: StopSignal) -> int:
        self._server.start()
        self._drive.start()
        self._invite()
        while not stop.wait(0.2):
            # Without its threads it keeps no promise: an end that is seen, and the robot stands.
            if not (self._server.alive and self._drive.alive):
                return 1
        return 0

    def last_words(self) -> None:
        self._drive.close()
        self._server.close()

    def _invite(self) -> None:
        url = self._server.url
        if self._print_url:
            print(url, flush=True)
            return
        if self._settings["show_code"] and not is_loopback(self._settings["host"]):
            print(address_code(url), flush=True)
        print(f"the operator's page: {url}", flush=True)

    # What the server asks of the robot; from its threads.

    def view(self) -> dict[str, Any]:
        return {
            **self._watch.view(),
            "stop_held": self._estop.held,
            "reasons": self._orders.reasons,
        }

    def facts(self) -> dict[str, Any]:
        return {"plan": self._plan}

    @property
    def stopped(self) -> bool:
        return self._estop.held

    def order(self, name: str, value: Any) -> str:
        # The last zeros of a stick just let go would take over again.
        if name == "hand_back" and not self._drive.wait_until_quiet(QUIET_SECONDS):
            raise OrderError("the stick is held: let go first")
        said = self._orders.carry_out(name, value)
        self._watch.note(said)
        return said

    def stop(self, who: str) -> None:
        self._estop.press()
        self._watch.note(f"STOP by {who}")
        threading.Thread(target=self._stop_policy, name="stop", daemon=True).start()

    def letting_go(self) -> None:
        self._drive.wake()

    def _on_episode(self, words: str, jpeg: bytes) -> None:
        self._watch.last_episode = words
        self._watch.note(words)
        if jpeg:
            self._server.offer_still(EPISODE, jpeg)

    def _stop_policy(self) -> None:
        try:
            self._orders.stop()
        except InputError as error:
            # The e-stop holds it all the same.
            self._watch.note(str(error))

    def _on_taken(self) -> None:
        """The stick begins to be held."""
        self._watch.note(f"{self._desk.driver} drives")
        if not self._settings["guard"] and self._watch.view()["state"] == DRIVING:
            # Nothing stands between the two: the policy must not speak against the person.
            threading.Thread(target=self._stop_policy, name="stop", daemon=True).start()


def main(args: list[str] | None = None) -> int:
    given = list(sys.argv[1:] if args is None else args)
    print_url = PRINT_URL in given
    given = [word for word in given if word != PRINT_URL]
    return run_node(PROGRAM, lambda _stop: OperatorNode(print_url=print_url), given)


if __name__ == "__main__":
    sys.exit(main())
