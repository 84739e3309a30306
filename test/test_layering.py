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
# Who may import whom. A room is a folder; what lies beside the rooms is the ground floor.
ROOMS = {
    "nodes": {"control", "policy", "runtime", "serving", "web", "episodes", "sim", "trials"}
    | SHARED,
    "cli": {
        "control",
        "policy",
        "runtime",
        "serving",
        "web",
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
    "policy": {"control"} | SHARED,
    "runtime": {"control", "policy"} | SHARED,
    "serving": {"control"} | SHARED,
    "web": SHARED,
    "control": SHARED,
    "episodes": SHARED,
    "trials": SHARED,
    "stats": SHARED,
    "plots": SHARED,
}
# Arrows against the table, by file or folder.
EXCEPTIONS = {
    # Whoever asks for a policy asks here, also for one that runs without torch.
    "policy/loading.py": {"runtime"},
    # They write what the runtime reads, and try it; its names and version have their home there.
    "policy/convert.py": {"runtime"},
    "policy/export": {"runtime"},
    # The process that holds the server's model.
    "serving/model.py": {"policy", "runtime"},
}
# Inside nodes/: programs lie on top, below them what belongs to one of them, below that what
# all of them share.
FLOORS = {
    "programs": {
        "camera",
        "inference",
        "operator",
        "recorder",
        "sim",
        "teleop",
        "trial",
        "wiring",
    },
    "tools": {"wiring"},
    "inference": {"wiring"},
    "camera": {"wiring"},
    "operator": {"wiring"},
    "recorder": {"wiring"},
    "sim": {"wiring"},
    "teleop": {"wiring"},
    "trial": {"wiring"},
    "wiring": set(),
}
WITHOUT_LEARNING = {
    "control",
    "runtime",
    "episodes",
    "trials",
    "stats",
    "plots",
    "sim",
    "serving",
    "web",
}
WORKER = PACKAGE / "nodes" / "inference" / "worker.py"
GROUND = sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


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


def rooms_of(path: Path) -> set[str]:
    """The rooms that a file imports from."""
    parts = [name.split(".") for name in imported_modules(path)]
    return {p[1] for p in parts if p[0] == "mobile_vla_ros" and len(p) > 1 and p[1] in ROOMS}


def floor_of(path: Path) -> str:
    """The floor of nodes/ that a file lies on."""
    inner = path.relative_to(PACKAGE / "nodes").parts
    return inner[0] if len(inner) > 1 else "programs"


def modules() -> dict[str, Path]:
    """Every module of the package by name."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The ways round, one for each circle found walking every edge once."""
    found: list[list[str]] = []
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> None:
        if name in way:
            found.append([*way[way.index(name) :], name])
            return
        if name in done:
            return
        for target in sorted(graph[name]):
            walk(target, [*way, name])
        done.add(name)

    for name in sorted(graph):
        walk(name, [])
    return found


def test_every_folder_of_the_package_has_its_rule() -> None:
    folders = {path.parent.name for path in PACKAGE.glob("*/*.py")}
    assert folders <= set(ROOMS), "say in ROOMS whom the new room may import"


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_a_room_imports_only_the_rooms_it_may(room: str) -> None:
    for path in files(room):
        name = path.relative_to(PACKAGE).as_posix()
        allowed = ROOMS[room] | {room}
        for place in (path, *path.parents):
            if place.is_relative_to(PACKAGE):
                allowed |= EXCEPTIONS.get(place.relative_to(PACKAGE).as_posix(), set())
        assert rooms_of(path) <= allowed, f"{name} imports {rooms_of(path) - allowed}"


@pytest.mark.parametrize("name", sorted(EXCEPTIONS))
def test_an_exception_is_one_that_is_used(name: str) -> None:
    place = PACKAGE / name
    used = [rooms_of(path) for path in (place.rglob("*.py") if place.is_dir() else [place])]
    assert set().union(*used) & EXCEPTIONS[name]


def test_the_rules_themselves_have_no_circle() -> None:
    assert not circles({room: targets - {room} - SHARED for room, targets in ROOMS.items()})
    assert not circles(FLOORS)


@pytest.mark.parametrize("name", GROUND)
def test_the_ground_floor_imports_no_room(name: str) -> None:
    path = PACKAGE / f"{name}.py"
    assert not rooms_of(path)
    outside = {module.split(".")[0] for module in imported_modules(path)}
    assert not outside & (ROS | LEARNING)


def test_the_ground_floor_loads_neither_opencv_nor_hdf5() -> None:
    program = "import sys\n" + "".join(f"import mobile_vla_ros.{name}\n" for name in GROUND)
    program += "print([name for name in ('cv2', 'h5py', 'torch', 'rclpy') if name in sys.modules])"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_inside_nodes_no_arrow_points_up_or_aside() -> None:
    for path in files("nodes"):
        floor = floor_of(path)
        for name in imported_modules(path):
            parts = name.split(".")
            if parts[:2] != ["mobile_vla_ros", "nodes"] or len(parts) < 3:
                continue
            target = parts[2] if parts[2] in FLOORS else "programs"
            beside = target == floor and floor != "programs"
            assert beside or target in FLOORS[floor], f"{path} imports {name}"


def test_no_module_imports_itself_by_way_of_others() -> None:
    known = modules()
    graph = {name: imported_modules(path) & set(known) for name, path in known.items()}
    for name, targets in graph.items():
        # `from a import b` names both a and a.b; the package is meant only when b is no module.
        graph[name] = {
            target
            for target in targets - {name}
            if not any(other.startswith(f"{target}.") for other in targets)
        }
    assert not circles(graph)


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
