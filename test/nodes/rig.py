"""A robot's side of the network, for tests: cameras, listeners, services, node processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import Twist
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter as Setting
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from mobile_vla_ros.nodes.wiring.image_message import image_message
from mobile_vla_ros.nodes.wiring.velocity import VelocitySubscription

HERE = Path(__file__).parent
# rclpy has ended the process while it took this service down beside killed processes; nobody here
# asks for it.
UNDESCRIBED = Setting("start_type_description_service", value=False)
REPOSITORY = HERE.parents[1]
# Of a machine that does other things as well.
DEADLINE = 40.0


class Rig:
    """Everything around the node under test; `with Rig(...) as rig`."""

    def __init__(self, tmp_path: Path, namespace: str = "") -> None:
        self.tmp_path = tmp_path
        self.namespace = namespace
        self.processes: list[subprocess.Popen] = []
        self.commands: list[tuple[float, tuple[float, ...]]] = []
        """(steady clock, (x, y, yaw rate)) of everything heard on cmd_vel"""
        self.states: list[str] = []
        self.chunks: list[MultiDOFJointTrajectory] = []
        self.events: list[str] = []
        self.diagnostics: list[dict[str, str]] = []

    def __enter__(self) -> Rig:
        self.context = rclpy.Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node(
            "rig",
            context=self.context,
            namespace=self.namespace,
            parameter_overrides=[UNDESCRIBED],
        )
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        late = QoSProfile(depth=50, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        listen = self.node.create_subscription
        listen(String, "mobile_vla/state", lambda m: self.states.append(m.data), late)
        listen(String, "mobile_vla/event", lambda m: self.events.append(m.data), 50)
        listen(MultiDOFJointTrajectory, "mobile_vla/chunk", self.chunks.append, 50)
        listen(DiagnosticArray, "/diagnostics", self._diagnosed, 50)
        self.hear_velocities("cmd_vel")
        self.camera = self.node.create_publisher(Image, "image", QoSProfile(depth=5))
        self.thread = threading.Thread(target=self.executor.spin, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes:
            # What a launch file has started must not outlive it on this domain.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.executor.shutdown(timeout_sec=2.0)
        self.thread.join(5.0)
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    # -- processes ---------------------------------------------------------------------------

    def start(self, *command: str, name: str = "process") -> subprocess.Popen:
        """Starts a python program of ours; its output goes to a file that `log` reads."""
        output = open(self.tmp_path / f"{name}.log", "a")  # noqa: SIM115
        path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        environment = dict(os.environ, PYTHONPATH=path, PYTHONUNBUFFERED="1")
        environment.setdefault("OMP_NUM_THREADS", "1")
        process = subprocess.Popen(
            [sys.executable, *command],
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=self.tmp_path,
            start_new_session=True,
        )
        self.processes.append(process)
        return process

    def start_node(
        self, checkpoint: str, *arguments: str, double: bool = True, **parameters
    ) -> subprocess.Popen:
        """Starts inference_node; parameters as keywords, other ROS arguments as they are."""
        program = [str(HERE / "driven_by_double.py")]
        if not double:
            program = ["-m", "mobile_vla_ros.nodes.inference_node"]
        if double and checkpoint:
            checkpoint = self.behaviour(checkpoint)
        given = {"checkpoint": checkpoint, **parameters}
        ros = ["--ros-args", "--params-file", str(self.write_parameters(given)), *arguments]
        if self.namespace:
            ros += ["-r", f"__ns:=/{self.namespace}"]
        return self.start(*program, *ros, name="node")

    def behaviour(self, text: str) -> str:
        """A checkpoint for `worker_double`: the path of a file with `text` in it."""
        path = self.tmp_path / f"{text.replace(':', '_')}.policy"
        path.write_text(text)
        return str(path)

    def write_parameters(self, values: dict) -> Path:
        import yaml

        path = self.tmp_path / f"parameters{len(self.processes)}.yaml"
        path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
        return path

    def start_camera(self, *arguments: str) -> subprocess.Popen:
        topic = f"/{self.namespace}/image" if self.namespace else "image"
        return self.start(
            str(HERE / "camera_double.py"), "--topic", topic, *arguments, name="camera"
        )

    def log(self, name: str = "node") -> str:
        return (self.tmp_path / f"{name}.log").read_text()

    # -- hearing -----------------------------------------------------------------------------

    def hear_velocities(self, topic: str, into: list | None = None) -> VelocitySubscription:
        heard = self.commands if into is None else into

        def hear(twist: Twist) -> None:
            heard.append((time.monotonic(), (twist.linear.x, twist.linear.y, twist.angular.z)))

        return VelocitySubscription(self.node, topic, hear, poll_period=0.05)

    def _diagnosed(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            self.diagnostics.append({"name": status.name, "message": status.message, **values})

    def diagnosis(self, key: str) -> str:
        """The latest value of a key in the node's diagnostics; '' when there is none."""
        return self.diagnostics[-1].get(key, "") if self.diagnostics else ""

    @property
    def state(self) -> str:
        return self.states[-1] if self.states else ""

    @property
    def moving(self) -> bool:
        return bool(self.commands) and any(self.commands[-1][1])

    def wait(self, condition: Callable[[], object], what: str, seconds: float = DEADLINE) -> None:
        """Waits until `condition()`; fails with `what` and the node's output otherwise."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                log = self.log() if (self.tmp_path / "node.log").exists() else ""
                raise AssertionError(
                    f"{what} did not come true in {seconds} s; states {self.states[-6:]},"
                    f" commands {self.commands[-3:]}\n{log[-4000:]}"
                )
            time.sleep(0.005)

    def wait_for_state(self, state: str) -> None:
        self.wait(lambda: self.state == state, f"state '{state}'")

    def wait_until_moving(self) -> None:
        self.wait(lambda: self.state == "driving" and self.moving, "moving")

    def wait_for_exit(self, process: subprocess.Popen, seconds: float = DEADLINE) -> int:
        self.wait(lambda: process.poll() is not None, "the end of the process", seconds)
        return process.returncode

    # -- asking ------------------------------------------------------------------------------

    def call(self, kind, name: str, request):
        client = self.node.create_client(kind, name)
        try:
            assert client.wait_for_service(DEADLINE), name
            future = client.call_async(request)
            self.wait(future.done, f"an answer of {name}")
            return future.result()
        finally:
            self.node.destroy_client(client)

    def trigger(self, name: str) -> Trigger.Response:
        return self.call(Trigger, f"mobile_vla/{name}", Trigger.Request())

    def enable(self, flag: bool) -> SetBool.Response:
        return self.call(SetBool, "mobile_vla/enable", SetBool.Request(data=flag))

    def transition(self, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        request.transition.id = {"configure": 1, "cleanup": 2, "activate": 3, "deactivate": 4}[
            label
        ]
        return self.call(ChangeState, "mobile_vla/change_state", request).success

    def lifecycle(self) -> str:
        return self.call(GetState, "mobile_vla/get_state", GetState.Request()).current_state.label

    def set_parameter(self, name: str, value) -> str:
        """Sets a parameter; returns the reason of a refusal, '' when it was taken."""
        kinds = {
            bool: (ParameterType.PARAMETER_BOOL, "bool_value"),
            float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
            str: (ParameterType.PARAMETER_STRING, "string_value"),
        }
        kind, field = kinds[type(value)]
        parameter = Parameter(name=name, value=ParameterValue(type=kind, **{field: value}))
        request = SetParameters.Request(parameters=[parameter])
        result = self.call(SetParameters, "mobile_vla/set_parameters", request).results[0]
        return "" if result.successful else result.reason

    def get_parameter(self, name: str) -> ParameterValue:
        request = GetParameters.Request(names=[name])
        return self.call(GetParameters, "mobile_vla/get_parameters", request).values[0]

    # -- publishing --------------------------------------------------------------------------

    def publish_image(self, pixels: np.ndarray, stamp: float | None = None, **fields) -> None:
        """Publishes uint8 [H,W,3] RGB; fields replace those of the message."""
        message = image_message(pixels)
        stamp = time.time() if stamp is None else stamp
        message.header.stamp.sec = int(stamp)
        message.header.stamp.nanosec = int((stamp - int(stamp)) * 1e9)
        for name, value in fields.items():
            setattr(message, name, value)
        self.camera.publish(message)
