"""What every test shares: offline model loading, the fixtures folder, a DDS domain of its own."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ.setdefault("MUJOCO_GL", "egl")
# The policies are tiny and the tests run side by side: more threads only wait for each other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Discovery stays on this machine; Humble has another variable for that than its successors.
if os.environ.get("ROS_DISTRO") == "humble":
    os.environ["ROS_LOCALHOST_ONLY"] = "1"
else:
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"

# A shell that starts the tests in the background may have it ignored; so would what they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

FIXTURES = Path(__file__).parent / "fixtures"
GOLDEN = FIXTURES / "golden"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skips, by name, what needs a package that is not there."""
    without_launch = importlib.util.find_spec("launch_ros") is None
    for item in items:
        if item.get_closest_marker("launch_ros") and without_launch:
            item.add_marker(pytest.mark.skip(reason="launch_ros is not installed"))


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference policies: mobile_vla_frozen, mobile_vla_lora, robovlms_oxe_7dof."""
    return GOLDEN


def _spoken_on(domain: int) -> bool:
    """Whether a process that some test has left behind still runs on a domain."""
    word = f"ROS_DOMAIN_ID={domain}".encode()
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            if word in environment.read_bytes().split(b"\0"):
                return True
        except OSError:
            continue  # it has ended, or is not ours
    return False


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch):
    """A ROS_DOMAIN_ID that no other test on this machine uses, also set in the environment."""
    for domain in range(1, 101):
        lock = open(f"/tmp/ros_domain_{domain}.lock", "w")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.close()
            continue
        if _spoken_on(domain):
            lock.close()
            continue
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        yield domain
        lock.close()
        return
    pytest.fail("all ROS domains 1 to 100 are in use on this machine")
