"""package.xml and setup.py name everything that is imported, and nothing that is not."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
ROS = {
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "nav_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosgraph_msgs",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "tf2_msgs",
    "trajectory_msgs",
}
# What is imported by another name than it is installed by: from pip, and by rosdep.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python-headless",
    "google": "protobuf",
    "jinja2": "jinja2",
    "pydantic_core": "pydantic",
    "rerun": "rerun-sdk",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
KEYS = {
    "PIL": "python3-pil",
    "cv2": "python3-opencv",
    "google": "python3-protobuf",
    "huggingface_hub": "python3-huggingface-hub-pip",
    "mujoco": "python3-mujoco-pip",
    "onnxruntime": "python3-onnxruntime-pip",
    "pydantic_core": "python3-pydantic",
    "rosbags": "python3-rosbags-pip",
    "transformers": "python3-transformers-pip",
}
# Needed without being imported: Lightning's logger writes with it, colcon builds with the other.
UNSEEN = {"tensorboard", "setuptools"}


def imports() -> set[str]:
    """Top names of everything that is imported and neither ours nor Python's own."""
    found = set()
    for path in [*(ROOT / "mobile_vla_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    return found - set(sys.stdlib_module_names) - {"mobile_vla_ros", "__future__"}


def required() -> set[str]:
    """Names of the distributions in setup.py's lists, as pip normalises them."""
    lists = [
        node
        for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("base", "extras")
    ]
    words = [
        word.value
        for node in lists
        for found in ast.walk(node.value)
        if isinstance(found, ast.List)
        for word in found.elts
        if isinstance(word, ast.Constant)
    ]
    return {re.split(r"[<>=!~\[; ]", word)[0].lower().replace("_", "-") for word in words}


@pytest.fixture(scope="module")
def manifest() -> tuple[set[str], str]:
    text = (ROOT / "package.xml").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    assert {url.get("type") for url in root.iter("url")} == {
        "website",
        "repository",
        "bugtracker",
    }
    pip_only = re.search(r"No rosdep key; requirements.txt brings them:\s*([a-z0-9\s]+)-->", text)
    assert pip_only is not None
    return {node.text or "" for node in root.iter("exec_depend")}, pip_only.group(1)


def test_setup_py_names_every_import_that_pip_brings() -> None:
    wanted = {DISTRIBUTIONS.get(name, name.lower().replace("_", "-")) for name in imports() - ROS}
    assert wanted - required() == set()
    assert required() - wanted - UNSEEN == set()


def test_package_xml_names_every_import(manifest: tuple[set[str], str]) -> None:
    depends, pip_only = manifest
    found = imports()
    assert ROS & found - depends == set()
    for name in found - ROS:
        key = KEYS.get(name, f"python3-{name}")
        assert key in depends or name in pip_only.split(), f"package.xml does not name {name}"
    used = {KEYS.get(name, f"python3-{name}") for name in found - ROS} | found
    assert depends - used == {"python3-tensorboard-pip"}
    assert set(pip_only.split()) - found == set()
