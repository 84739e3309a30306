"""Follows an instruction: camera images in, velocities out, the model in a process of its own.

    python -m mobile_vla_ros.nodes.inference_node --ros-args \
        -p checkpoint:=/path/to/checkpoint -p instruction:='go to the gray basket'

What is driven when is decided by `control.Pilot`; this file is the node around it, its parts lie
in `inference/`. Threads, and what each may wait for:

    control     `driver`: a fixed-rate loop on the steady clock: pilot.tick and publish.
                Waits for nothing.
    executor    ROS callbacks: images (`intake`: check, copy once), `requests`, lifecycle.
    model       `worker_client`, `reception`: chunks in, frames out.
    upkeep      `telemetry`, `rivals`, `patience`: /diagnostics; looks at the graph.
    overlay     `overlay_publisher`: draws while somebody looks.

The driver's lock is held around every use of the pilot and around publishing velocities; each
part says which locks it has beside.
"""

from __future__ import annotations

import functools
import gc
import sys
import traceback

from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from mobile_vla_ros.control.caution import WarningLevels
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.nodes.inference.driver import Driver, Orders
from mobile_vla_ros.nodes.inference.intake import FrameIntake
from mobile_vla_ros.nodes.inference.model import Model
from mobile_vla_ros.nodes.inference.outlets import Outlets
from mobile_vla_ros.nodes.inference.overlay_publisher import OverlayPublisher
from mobile_vla_ros.nodes.inference.parameters import PARAMETERS, WARNINGS
from mobile_vla_ros.nodes.inference.patience import Patience
from mobile_vla_ros.nodes.inference.reception import Reception
from mobile_vla_ros.nodes.inference.requests import Requests
from mobile_vla_ros.nodes.inference.rivals import Rivals
from mobile_vla_ros.nodes.inference.settings import (
    DriveError,
    briefing,
    limits_of,
    model_settings,
    pilot_settings,
)
from mobile_vla_ros.nodes.inference.telemetry import Telemetry
from mobile_vla_ros.nodes.inference.topics import ANSWERS, HEARS, TELLS
from mobile_vla_ros.nodes.inference.vocabulary import Vocabulary
from mobile_vla_ros.nodes.inference.worker_client import WORKER_COMMAND, ModelWorker
from mobile_vla_ros.nodes.wiring.camera_subscription import CameraSubscription
from mobile_vla_ros.nodes.wiring.parameters import declare, present_values
from mobile_vla_ros.nodes.wiring.program import Program
from mobile_vla_ros.nodes.wiring.running import FAILED, UNUSABLE, Life, StopSignal, run_node
from mobile_vla_ros.nodes.wiring.trajectory import NANOSECONDS
from mobile_vla_ros.nodes.wiring.velocity import VelocityPublisher
from mobile_vla_ros.states import WORKER_EVENT

EXIT_SECONDS = 2.5
# Threads that compute hand the interpreter over after this long; the default is 5 ms.
SWITCH_INTERVAL = 0.0005

PROGRAM = Program(
    node="mobile_vla",
    module="inference_node",
    about=__doc__ or "",
    parameters=PARAMETERS,
    hears=HEARS,
    tells=TELLS,
    answers=ANSWERS,
)


def _transition(step):
    """A lifecycle callback whose failure is a sentence in the log, where rclpy is silent."""

    @functools.wraps(step)
    def guarded(self, state):
        try:
            step(self)
        except InputError as error:
            self.problem = str(error)
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.FAILURE
        except Exception:  # noqa: BLE001  rclpy would swallow it without a word
            self.problem = f"{step.__name__} failed: {traceback.format_exc()}"
            self.get_logger().error(self.problem)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    return guarded


class InferenceNode(Life, LifecycleNode):
    """The lifecycle node `mobile_vla`.

    Args:
        stop: set when the process is to end; configuring gives up then.
        worker_command: program of the model's process.
        options: handed to rclpy's node.

    Raises:
        InputError: a parameter that cannot be.
    """

    def __init__(
        self,
        stop: StopSignal,
        worker_command: tuple[str, ...] = WORKER_COMMAND,
        **options,
    ) -> None:
        super().__init__("mobile_vla", **options)
        self._stop = stop
        self._values = declare(self, PARAMETERS)
        self.problem = ""
        """Why the last transition failed."""
        orders = Orders(
            self._values["instruction"], self._values["enabled"], limits_of(self._values)
        )
        self._telemetry = Telemetry(self)
        self._restarts = 0
        self._driver = Driver(
            self._seconds, orders, self._telemetry.say_state, self._on_model_down
        )
        self._reception = Reception(self.get_logger(), self._driver)
        self._model: Model = ModelWorker(self._reception, worker_command)
        self._overlays = OverlayPublisher(self, self._driver)
        self._intake = FrameIntake(self, self._driver, self._model, self._overlays)
        self._reception.intake = self._intake
        self._rivals = Rivals(self, self._driver)
        self._camera: CameraSubscription | None = None
        self._patience = Patience(self, self._driver, self._camera_topic)

        self._vocabulary = Vocabulary(self.get_logger())
        self._requests = Requests(self, self._driver, self._telemetry, self._vocabulary)
        # A node that starts itself is never 'unconfigured' in anybody's eyes.
        self._driver.start(loading=self._values["autostart"])
        self._telemetry.start(
            (
                self._overlays.look_around,
                self._want_features,
                self._rivals.look_around,
                self._intake.look_around,
                self._patience.look_around,
            ),
            (
                self._driver.readings,
                self._intake.readings,
                self._own_readings,
                self._reception.readings,
                self._vocabulary.readings,
            ),
        )

    # -- lifecycle ---------------------------------------------------------------------------

    @_transition
    def on_configure(self) -> None:
        try:
            report = self._load()
            sentences = report["policy"].get("instructions", ())
            self._vocabulary.begin(sentences, self._values["strict_instructions"])
            if objection := self._vocabulary.objection(self._driver.orders.instruction):
                raise DriveError(objection)
            self._install(report)
        except InputError:
            self._dismantle()
            raise
        finally:
            self._driver.end_loading()
        briefing(self.get_logger(), report, self._values, self._driver.orders.instruction)
        self._vocabulary.hear(self._driver.orders.instruction)
        # What was made so far lives as long as the node: no later collection looks at it again.
        gc.collect()
        gc.freeze()

    def _load(self) -> dict:
        """Has the model loaded by the present parameters; returns its report."""
        values = self._values = present_values(self, PARAMETERS)
        settings = model_settings(values)
        self._telemetry.levels = WarningLevels(**{w: values[f"warn_{w}"] for w in WARNINGS})
        self._restarts = 0
        self._rivals.exclusive = values["exclusive"]
        self._intake.begin(values["stamp_source"], values["clock_offset"])
        self._reception.begin()
        self._driver.begin_loading()
        asked = f"asking {values['server']} for its policy"
        named = "the checkpoint" if values["blind"] else values["checkpoint"]
        self.get_logger().info(asked if values["server"] else f"loading {named}")
        self._model.start(settings)
        return self._reception.wait(self._stop)

    def _install(self, report: dict) -> None:
        """Makes the topics of a configured node, and a pilot."""
        values, policy = self._values, report["policy"]
        self._reception.outlets = Outlets(self, values["base_frame"])
        self._overlays.begin(values["base_frame"])
        base = None
        if not values["dry_run"]:
            base = VelocityPublisher(
                self, "cmd_vel", stamped=values["stamped"], frame=values["base_frame"]
            )
        try:
            self._driver.install(
                pilot_settings(values, report["step_seconds"]),
                tuple(policy["action_axes"]),
                policy["frame_period"],
                base,
            )
        except InputError:
            if base is not None:
                base.destroy()
            raise

    @_transition
    def on_activate(self) -> None:
        self._driver.activate()
        values = self._values
        self._camera = CameraSubscription(
            self,
            self._intake.take,
            transport=values["image_transport"],
            reliability=values["image_reliability"],
            depth=values["image_depth"],
            lost=self._intake.lost,
        )
        self._intake.camera = self._camera

    @_transition
    def on_deactivate(self) -> None:
        self._halt()

    @_transition
    def on_cleanup(self) -> None:
        self._dismantle()

    @_transition
    def on_shutdown(self) -> None:
        self._halt()
        self._dismantle()

    @_transition
    def on_error(self) -> None:
        self._halt()
        self._dismantle()

    def _halt(self) -> None:
        """No more frames, then zeros that the base has confirmed."""
        if self._camera is not None:
            self._intake.camera = None
            self._camera.destroy()
            self._camera = None
        if not self._driver.halt():
            self.get_logger().warning("not every velocity subscriber has confirmed the stop")

    def _dismantle(self) -> None:
        self._model.stop()
        base = self._driver.remove()
        if base is not None:
            base.destroy()
        self._overlays.end()
        outlets, self._reception.outlets = self._reception.outlets, None
        if outlets is not None:
            outlets.close()

    def work(self, stop: StopSignal) -> int:
        success = TransitionCallbackReturn.SUCCESS
        if self.get_parameter("autostart").value and not (
            self.trigger_configure() == success and self.trigger_activate() == success
        ):
            return 0 if stop.is_set() else UNUSABLE
        parts = (self._model, self._driver, self._telemetry)
        while not stop.wait(0.1):
            # Without one of its threads it cannot keep its promises: zeros, and an end seen.
            if not all(part.alive for part in parts):
                return FAILED
        return 0

    def last_words(self) -> None:
        """A halt, then the end of the model and of the threads."""
        self._halt()
        self._driver.close()
        self._model.close()
        self._telemetry.close()
        self._overlays.close()

    # -- what its parts ask ------------------------------------------------------------------

    def _seconds(self) -> float:
        """Now, on the clock of the image stamps."""
        return self.get_clock().now().nanoseconds / NANOSECONDS

    def _camera_topic(self) -> str | None:
        camera = self._camera
        return None if camera is None else camera.topic_name

    def _want_features(self) -> None:
        outlets = self._reception.outlets
        self._model.features_wanted = outlets is not None and outlets.features_wanted

    def _own_readings(self) -> dict[str, object]:
        return {
            "worker_restarts": self._restarts,
            "other_publishers": ", ".join(self._rivals.names),
            "checkpoint": self._values["checkpoint"] or self._values["server"],
        }

    def _on_model_down(self, reason: str, detail: str) -> None:
        """From the control thread: the model's process must be started anew."""
        self._restarts += 1
        self.get_logger().error(f"{reason} ({detail}): the model's process is started anew")
        self._telemetry.tell(f"{WORKER_EVENT}{reason}")
        self._model.start(model_settings(self._values))


def main(args: list[str] | None = None, worker_command: tuple[str, ...] = WORKER_COMMAND) -> int:
    """Runs the node; returns its exit status (2: it cannot work with what it was given)."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    # Whatever hangs at its end, the process ends in time.
    return run_node(
        PROGRAM, lambda stop: InferenceNode(stop, worker_command), args, end_within=EXIT_SECONDS
    )


if __name__ == "__main__":
    sys.exit(main())
