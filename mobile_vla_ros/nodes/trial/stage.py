"""The other programs as one trial needs them: policy loaded, field set up, recorder recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from std_srvs.srv import SetBool

from mobile_vla_ros.files import sha256_of
from mobile_vla_ros.hub import cached, origin_of
from mobile_vla_ros.nodes.wiring.remote import Remote, RemoteError
from mobile_vla_ros.trials.conductor import SAVE_SECONDS
from mobile_vla_ros.trials.record import TrialError

LOAD_SECONDS = 300.0
# After a new field the camera shows it within this time, or it is not running.
FRAME_SECONDS = 10.0


class TrialStage:
    """Orders to the policy, the recorder and the simulated field; each may wait for an answer.

    Args:
        policy: the inference node.
        recorder: the recorder node; None when no episodes are recorded.
        field: a simulated field; None on a real robot.
        images: how many camera messages have come so far.
        warn: called with a sentence about what did not work and need not stop the trial.
    """

    def __init__(
        self,
        policy: Remote,
        recorder: Remote | None,
        field: Remote | None,
        images: Callable[[], int],
        warn: Callable[[str], None],
    ) -> None:
        self.policy_name = policy.name
        self._policy = policy
        self._recorder = recorder
        self._field = field
        self._images = images
        self._warn = warn
        self._hashes: dict[str, str] = {}

    def checkpoint(self) -> str:
        """Path of the checkpoint that the policy has.

        Raises:
            RemoteError: the policy is not there.
        """
        return str(self._policy.parameter("checkpoint") or "")

    def load(self, path: str, say: Callable[[], None]) -> None:
        """Has the policy drive by the checkpoint at `path` ("": by the one it has).

        Args:
            path: where the policy finds it.
            say: called before a load that takes time.

        Raises:
            RemoteError: the policy is not there, or cannot load it.
        """
        state = self._policy.settled_state(LOAD_SECONDS)
        present = self.checkpoint()
        if path in ("", present) and state == State.PRIMARY_STATE_ACTIVE:
            return
        say()
        self._policy.reconfigure(LOAD_SECONDS, checkpoint=path or present, enabled=False)

    def sha256(self, path: str) -> str:
        """Of a checkpoint (its weights file, for a directory).

        "" when it is not here: the policy may run on another machine, with files of its own.
        """
        target = cached(path)
        if target.is_dir():
            target = target / "model.safetensors"
        if path not in self._hashes:
            self._hashes[path] = sha256(target)
        return self._hashes[path]

    def run_file(self) -> dict[str, str]:
        """Name and hash of the run file that the policy was given, if any.

        A checkpoint from a hub stands there too, by its repository and commit.
        """
        path = str(self._policy.parameter("config") or "")
        found = {Path(path).name: self.sha256(path)} if path else {}
        checkpoint = self.checkpoint()
        origin = origin_of(cached(checkpoint)) if checkpoint else ""
        return {**found, origin: self.sha256(checkpoint)} if origin else found

    def set_up_field(self, scenario: str, seed: int) -> None:
        """A simulated field as this start wants it, and a picture of it; the robot stands.

        Args:
            scenario: name of the scenario.
            seed: of the field.

        Raises:
            TrialError: no pictures come.
            RemoteError: the field is not there, or has no such scenario.
        """
        if self._field is None:
            return
        self._field.set_parameters(scenario=scenario, seed=seed)
        self._field.trigger("reset", timeout=30.0)
        # The picture after the next may still be of the old field, the one after that is not.
        wanted = self._images() + 2
        end = time.monotonic() + FRAME_SECONDS
        while self._images() < wanted:
            if time.monotonic() > end:
                raise TrialError("the simulated field shows no pictures: is it running?")
            time.sleep(0.01)

    def start_recording(self, scenario: str, instruction: str) -> None:
        """Begins the trial's episode.

        Raises:
            RemoteError: the recorder is not there, or refuses (no camera, full disk).
        """
        if self._recorder is None:
            return
        words: dict[str, Any] = {"scenario": scenario, "instruction": instruction}
        try:
            self._recorder.set_parameters(**words)
        except RemoteError:
            # Left over from a manager that was killed in mid-trial.
            self._recorder.set_parameters(outcome="interrupted")
            self._recorder.trigger("save", timeout=SAVE_SECONDS)
            self._recorder.set_parameters(**words)
        self._recorder.set_parameters(outcome="")
        self._recorder.trigger("start", timeout=20.0)

    def save_recording(self, outcome: str, patience: float) -> tuple[str, str] | None:
        """Ends the trial's episode; returns name and hash of its file, when there is one.

        Raises:
            RemoteError: the recorder has gone or could not save it.
        """
        if self._recorder is None:
            return None
        self._recorder.set_parameters(min(patience, 5.0), outcome=outcome)
        saved = _saved_path(self._recorder.trigger("save", timeout=patience))
        return (saved.name, sha256(saved)) if saved is not None else None

    def discard_recording(self) -> None:
        """There was no trial after all."""
        if self._recorder is None:
            return
        try:
            self._recorder.trigger("discard")
        except RemoteError as error:
            self._warn(str(error))

    def tell(self, instruction: str) -> None:
        """Gives the policy its instruction, with an empty memory.

        Raises:
            RemoteError: the policy is not there, or refuses.
        """
        self._policy.trigger("reset")
        self._policy.set_parameters(instruction=instruction)

    def drive(self) -> None:
        """Lets the policy drive.

        Raises:
            RemoteError: the policy is not there, or refuses.
        """
        self._policy.switch("enable", True)

    def stand(self) -> None:
        """Has the robot stand; where the policy has gone, the guard sends zeros."""
        try:
            self.order_to_stand()
        except RemoteError as error:
            self._warn(str(error))

    def policy_listens(self) -> bool:
        """Whether the policy offers to be told something; does not wait."""
        return self._policy.offers(SetBool, "enable")

    def order_to_stand(self) -> None:
        """Has the robot stand.

        Raises:
            RemoteError: the policy is not there, or refuses.
        """
        self._policy.switch("enable", False)


def sha256(path: Path) -> str:
    """Of a file's content; "" when it is not on this machine."""
    try:
        return sha256_of(path)
    except OSError:
        return ""


def _saved_path(message: str) -> Path | None:
    """The file in the recorder's answer `saved <path>: ...`."""
    _, mark, rest = message.partition("saved ")
    return Path(rest.split(".h5", 1)[0] + ".h5") if mark and ".h5" in rest else None


def stage_of(node: Node, values: Mapping[str, Any], images: Callable[[], int]) -> TrialStage:
    """The stage of a trial manager: the other nodes by the names in its parameters."""
    answers = ReentrantCallbackGroup()

    def remote(name: str) -> Remote:
        return Remote(node, values[name], answers)

    return TrialStage(
        remote("policy"),
        remote("recorder") if values["record"] else None,
        remote("field") if values["field"] else None,
        images,
        node.get_logger().warning,
    )
