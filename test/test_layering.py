"""The rules of who may import whom, read from the code's own import statements."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mobile_vla_ros"
ROS = {
    "rclpy",
    "rcl_interfaces",
    "sensor_msgs",
    "geometry_msgs",
    "nav_msgs",
    "trajectory_msgs",
    "std_msgs",
    "std_srvs",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rosgraph_msgs",
    "cv_bridge",
}
LEARNING = {"torch", "transformers", "lightning", "peft", "torchao"}
SHARED = {"stats", "plots"}
ROOMS = {
    "nodes": {"control", "policy", "episodes", "sim", "trials", "cli"} | SHARED,
    "cli": {
        "control",
        "policy",
        "episodes",
        "sim",
        "training",
        "analysis",
        "benchmark",
        "trials",
    }
    | SHARED,
    "training": {"policy", "control", "episodes"} | SHARED,
    "analysis": {"policy", "control", "episodes"} | SHARED,
    "benchmark": {"policy", "control", "episodes"} | SHARED,
    "sim": {"control", "episodes"} | SHARED,
    # The runtime takes from the policy what needs no torch (the last test of this file holds it to
    # that); the policy's loader hands over to it, and its converter writes what it reads.
    "policy": {"control", "runtime"} | SHARED,
    "runtime": {"control", "policy"} | SHARED,
    "control": SHARED,
    "episodes": SHARED,
    "trials": SHARED,
    "stats": SHARED,
    "plots": SHARED,
}
WITHOUT_LEARNING = {"control", "runtime", "episodes", "trials", "stats", "plots", "sim"}
WORKER = PACKAGE / "nodes" / "inference" / "worker.py"


def imported_modules(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def files(room: str) -> list[Path]:
    return sorted((PACKAGE / room).rglob("*.py"))


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    allowed = ROOMS[room] | {room}
    for path in files(room):
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[0] == "mobile_vla_ros" and len(parts) > 1 and parts[1] in ROOMS:
                assert parts[1] in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("room", sorted(set(ROOMS) - {"nodes"}))
def test_only_nodes_import_ros(room: str) -> None:
    for path in files(room):
        found = {name for name in imported_modules(path) if name.split(".")[0] in ROS}
        assert not found, f"{path} imports {found}"


@pytest.mark.parametrize("room", sorted(WITHOUT_LEARNING))
def test_these_rooms_do_without_the_learning_stack(room: str) -> None:
    for path in files(room):
        found = {name for name in imported_modules(path) if name.split(".")[0] in LEARNING}
        assert not found, f"{path} imports {found}"


def test_in_nodes_only_the_worker_imports_torch() -> None:
    for path in files("nodes"):
        found = {name for name in imported_modules(path) if name.split(".")[0] in LEARNING}
        assert not found or path == WORKER, f"{path} imports {found}"


@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("episodes", ROS | LEARNING),
        ("control", ROS | LEARNING),
        ("trials", ROS | LEARNING),
        ("policy", ROS | LEARNING),
    ],
)
def test_importing_a_room_does_not_load(room: str, forbidden: set[str]) -> None:
    program = (
        f"import sys, mobile_vla_ros.{room}; "
        f"print([name for name in {sorted(forbidden)!r} if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_runtime_does_without_the_learning_stack_whatever_it_imports() -> None:
    modules = [
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in files("runtime")
        if path.name != "__init__.py"
    ]
    program = "import sys\n"
    program += "".join(f"sys.modules[{name!r}] = None\n" for name in sorted(LEARNING | ROS))
    program += "".join(f"import {name}\n" for name in modules)
    subprocess.run([sys.executable, "-c", program], check=True)
