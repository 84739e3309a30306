"""The SROS2 policies: written from the declarations, complete, of the right form, enforced."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest

from mobile_vla_ros.nodes.wiring.enclave import enclave_arguments

REPOSITORY = Path(__file__).resolve().parents[2]
POLICIES = REPOSITORY / "config" / "sros2"
FILES = ("robot.xml", "workbench.xml")
# What may stand in what, by the schema of ros2/sros2 (sros2/policy/schemas/policy.xsd): the
# elements below, the attributes needed, the attributes allowed beside.
FORM = {
    "policy": ({"enclaves"}, {"version"}, set()),
    "enclaves": ({"enclave"}, set(), set()),
    "enclave": ({"profiles"}, {"path"}, set()),
    "profiles": ({"profile", "metadata"}, set(), {"type"}),
    "profile": ({"topics", "services", "actions"}, {"ns", "node"}, set()),
    "topics": ({"topic"}, set(), {"publish", "subscribe"}),
    "services": ({"service"}, set(), {"reply", "request"}),
    "actions": ({"action"}, set(), {"call", "execute"}),
    "topic": (set(), set(), set()),
    "service": (set(), set(), set()),
    "action": (set(), set(), set()),
}
has_sros2 = importlib.util.find_spec("sros2") is not None


@pytest.fixture
def writer(monkeypatch):
    monkeypatch.syspath_prepend(REPOSITORY / "scripts")
    import write_sros2

    return write_sros2


def check_form(element: ElementTree.Element) -> None:
    below, needed, beside = FORM[element.tag]
    assert {child.tag for child in element} <= below
    assert bool(len(element)) == bool(below) or element.tag == "profile"
    assert needed <= set(element.attrib) <= needed | beside
    if element.tag in ("topics", "services", "actions"):
        assert set(element.attrib.values()) <= {"ALLOW", "DENY"}
    for child in element:
        check_form(child)


def allowed(node: str, kind: str, right: str) -> set[str]:
    """Full names that a node may use so, by the files."""
    names = set()
    for file in FILES:
        for profile in ElementTree.parse(POLICIES / file).iter("profile"):
            if profile.get("node") != node:
                continue
            for group in profile.findall(f"{kind}s[@{right}='ALLOW']"):
                names |= {entry.text.replace("~", f"/{node}") for entry in group}
    return {name if name.startswith("/") else f"/{name}" for name in names}


@pytest.mark.parametrize("file", FILES)
def test_the_policies_are_written_from_the_declarations(writer, file: str) -> None:
    assert (POLICIES / file).read_text() == writer.contents(file, writer.Layout()), (
        f"config/sros2/{file} is out of date: run .venv/bin/python scripts/write_sros2.py"
    )


def test_every_program_has_its_rights(writer) -> None:
    programs = {file.stem for file in (REPOSITORY / "mobile_vla_ros/nodes").glob("*_node.py")}
    tools = (REPOSITORY / "mobile_vla_ros/nodes/tools").glob("*_node.py")
    programs |= {"cmd_vel_guard", *(f"tools.{file.stem}" for file in tools)}
    assert {program for _, some in writer.FILES.values() for program in some} == programs


@pytest.mark.parametrize("file", FILES)
def test_the_policies_have_the_form_of_the_schema(file: str) -> None:
    policy = ElementTree.parse(POLICIES / file).getroot()
    assert (policy.tag, policy.get("version")) == ("policy", "0.2.0")
    check_form(policy)


@pytest.mark.skipif(not has_sros2, reason="no sros2 (it comes with an apt install of ROS 2)")
@pytest.mark.parametrize("file", FILES)
def test_sros2_itself_accepts_the_policies(file: str) -> None:
    from sros2.policy import load_policy

    assert load_policy(POLICIES / file) is not None


def test_on_a_robot_only_the_guard_may_publish_what_the_base_hears() -> None:
    profiles = ElementTree.parse(POLICIES / "robot.xml").iter("profile")
    names = [profile.get("node") for profile in profiles]
    assert {"mobile_vla", "operator"} <= set(names)
    speakers = [name for name in names if "/cmd_vel" in allowed(name, "topic", "publish")]
    assert speakers == ["cmd_vel_guard"]
    assert "/policy_cmd_vel" in allowed("mobile_vla", "topic", "publish")


def test_a_robot_in_a_namespace_has_enclaves_and_profiles_of_its_own(writer, tmp_path) -> None:
    writer.main(["--namespace", "robot1", "--image", "front/image", "--out", str(tmp_path)])
    policy = ElementTree.parse(tmp_path / "robot.xml").getroot()
    assert {profile.get("ns") for profile in policy.iter("profile")} == {"/robot1"}
    paths = [enclave.get("path") for enclave in policy.iter("enclave")]
    assert "/mobile_vla/robot1/mobile_vla" in paths
    assert "front/camera_info" in {topic.text for topic in policy.iter("topic")}
    check_form(policy)


def test_a_node_shows_the_keys_of_its_name_unless_others_are_chosen(tmp_path) -> None:
    (tmp_path / "enclaves" / "mobile_vla" / "robot1" / "mobile_vla").mkdir(parents=True)
    secured = {"ROS_SECURITY_ENABLE": "true", "ROS_SECURITY_KEYSTORE": str(tmp_path)}
    inside = ["-r", "__ns:=/robot1"]
    found = ["--enclave", "/mobile_vla/robot1/mobile_vla"]
    assert enclave_arguments("mobile_vla", inside, secured) == found
    assert enclave_arguments("other", ["-r", "__node:=mobile_vla", *inside], secured) == found
    assert enclave_arguments("mobile_vla", inside, {}) == []
    assert enclave_arguments("mobile_vla", [], secured) == []  # the keystore has none
    assert enclave_arguments("mobile_vla", ["--enclave", "/mine", *inside], secured) == []
    chosen = {**secured, "ROS_SECURITY_ENCLAVE_OVERRIDE": "/mine"}
    assert enclave_arguments("mobile_vla", inside, chosen) == []


@pytest.mark.ros
def test_running_nodes_use_nothing_that_the_policies_do_not_allow(ros_domain, tmp_path) -> None:
    from rig import Rig

    as_launched = ("-r", "image:=camera/image_raw", "-r", "cmd_vel:=policy_cmd_vel")
    with Rig(tmp_path) as rig:
        rig.start_node("forward", *as_launched)
        programs = {
            "cmd_vel_guard": (),
            "recorder_node": (*as_launched[:2], "-p", f"directory:={tmp_path}"),
            "trial_node": (*as_launched[:2], "-p", f"directory:={tmp_path}"),
            "operator_node": (*as_launched[:2], "-p", "port:=0"),
            "gamepad_node": ("-p", "joy:=true"),
        }
        for program, arguments in programs.items():
            module = f"mobile_vla_ros.nodes.{program}"
            rig.start("-m", module, "--ros-args", *arguments, name=program)
        nodes = ("mobile_vla", "cmd_vel_guard", "episode_recorder")
        nodes += ("trial_manager", "operator", "gamepad")
        rig.wait(lambda: set(nodes) <= set(rig.node.get_node_names()), "all nodes")
        rig.wait(lambda: "ready in" in rig.log(), "the policy is configured")
        time.sleep(2.0)  # what is subscribed to once a publisher is seen
        for node in nodes:
            used = {
                ("topic", "publish"): rig.node.get_publisher_names_and_types_by_node,
                ("topic", "subscribe"): rig.node.get_subscriber_names_and_types_by_node,
                ("service", "reply"): rig.node.get_service_names_and_types_by_node,
                ("service", "request"): rig.node.get_client_names_and_types_by_node,
            }
            for (kind, right), ask in used.items():
                names = {name for name, _ in ask(node, "/")}
                assert names or right == "request", f"{node} is not there"
                assert names <= allowed(node, kind, right), (node, kind, right)


@pytest.mark.ros
@pytest.mark.skipif(
    not has_sros2 or shutil.which("ros2") is None,
    reason="no sros2, and no Fast DDS with its security plugin (apt install of ROS 2)",
)
def test_a_stranger_is_not_heard_where_the_policies_are_enforced(ros_domain, tmp_path) -> None:
    keystore = tmp_path / "keystore"
    make = ("ros2", "security", "generate_artifacts", "-k", str(keystore))
    subprocess.run([*make, "-p", str(POLICIES / "robot.xml")], check=True)
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    open_world = {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}
    secured = {
        **open_world,
        "ROS_SECURITY_ENABLE": "true",
        "ROS_SECURITY_STRATEGY": "Enforce",
        "ROS_SECURITY_KEYSTORE": str(keystore),
    }
    speak = """
        import sys, time, rclpy
        from geometry_msgs.msg import Twist
        rclpy.init()
        node = rclpy.create_node(sys.argv[1])
        mouth = node.create_publisher(Twist, sys.argv[2], 5)
        end = time.monotonic() + 6.0
        while time.monotonic() < end:
            twist = Twist()
            twist.linear.x = 0.1
            mouth.publish(twist)
            time.sleep(0.05)
    """
    listen = """
        import time, rclpy
        from geometry_msgs.msg import Twist
        rclpy.init()
        node = rclpy.create_node("operator")
        node.create_subscription(Twist, "cmd_vel", lambda m: print(m.linear.x, flush=True), 5)
        end = time.monotonic() + 8.0
        while time.monotonic() < end:
            rclpy.spin_once(node, timeout_sec=0.2)
    """

    def start(environment: dict, code: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-c", textwrap.dedent(code), *arguments]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    def enclave(name: str) -> dict:
        return {**secured, "ROS_SECURITY_ENCLAVE_OVERRIDE": f"/mobile_vla/{name}"}

    def heard(environment: dict, node: str, topic: str) -> set[str]:
        listener = start(enclave("operator"), listen)
        speaker = start(environment, speak, node, topic)
        try:
            return set(listener.communicate(timeout=30)[0].split())
        finally:
            speaker.kill()
            speaker.wait()

    guard = subprocess.Popen(
        [sys.executable, "-m", "mobile_vla_ros.nodes.cmd_vel_guard"], env=secured
    )
    try:
        assert "0.1" in heard(enclave("mobile_vla"), "mobile_vla", "policy_cmd_vel")
        assert "0.1" not in heard(open_world, "stranger", "policy_cmd_vel")
        # Keys alone are not enough: they are for the policy's own topic.
        assert "0.1" not in heard(enclave("mobile_vla"), "mobile_vla", "cmd_vel")
    finally:
        guard.kill()
        guard.wait()
