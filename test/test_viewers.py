"""Foxglove layouts and the RViz file show what there is.

Every topic is one that our programs or files have, and every path into a message exists in that
message's ROS 2 definition.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rosbags.typesys import Stores, get_typestore

from mobile_vla_ros.episodes import mcap_streams as streams
from mobile_vla_ros.episodes import ros_messages as ros

CONFIG = Path(__file__).parents[1] / "config"
STORE = get_typestore(Stores.ROS2_JAZZY)
STRING, PATH, ODOMETRY, TWIST = ros.STRING, ros.PATH, ros.ODOMETRY, ros.TWIST
# What the nodes tell, under the names that the launch files give them.
LIVE = {
    "/camera/image_raw": "sensor_msgs/msg/Image",
    "/camera/camera_info": ros.CAMERA_INFO,
    "/mobile_vla/overlay/compressed": ros.COMPRESSED_IMAGE,
    "/mobile_vla/plan": PATH,
    "/mobile_vla/chunk": ros.TRAJECTORY,
    "/mobile_vla/state": STRING,
    "/mobile_vla/instruction": STRING,
    "/episode_recorder/status": STRING,
    "/cmd_vel": TWIST,
    "/odom": ODOMETRY,
    "/diagnostics": ros.DIAGNOSTICS,
    "/footprint": "geometry_msgs/msg/PolygonStamped",
    "/tf": ros.TRANSFORMS,
    "/tf_static": ros.TRANSFORMS,
}
IN_FILES = {
    f"/{streams.IMAGE}": ros.COMPRESSED_IMAGE,
    f"/{streams.INFO}": ros.CAMERA_INFO,
    f"/{streams.COMMANDS}": TWIST,
    f"/{streams.ODOM}": ODOMETRY,
    f"/{streams.CHUNK}": ros.TRAJECTORY,
    f"/{streams.PLAN}": PATH,
    f"/{streams.INSTRUCTION}": STRING,
    f"/{streams.EVENTS}": STRING,
    f"/{streams.DIAGNOSTICS}": ros.DIAGNOSTICS,
    f"/{streams.TF}": ros.TRANSFORMS,
    f"/{streams.TF_STATIC}": ros.TRANSFORMS,
}
SERVICES = {
    *(f"/mobile_vla/{name}" for name in ("stop", "enable", "mark", "reset")),
    *(f"/episode_recorder/{name}" for name in ("start", "save", "discard")),
}
PANELS = {"Image", "3D", "Plot", "RawMessages", "DiagnosticSummary", "CallService", "Publish"}
LAYOUTS = {"driving": LIVE, "recording": LIVE, "incidents": IN_FILES}
_STEP = re.compile(r"^(\w+)((?:\[\d+\])?)$")


def layout(name: str) -> dict[str, Any]:
    return json.loads((CONFIG / "foxglove" / f"{name}.json").read_text(encoding="utf-8"))


def kind_of(path: str, topics: dict[str, str]) -> Any:
    """The type at a message path like ``/odom.twist.twist.linear.x``, by the definitions."""
    topic, *steps = path.split(".")
    assert topic in topics, f"no {topic} in {sorted(topics)}"
    kind: Any = topics[topic]
    for step in steps:
        name, index = _STEP.match(step).groups()  # type: ignore[union-attr]
        fields = dict(STORE.fielddefs[kind][1])
        assert name in fields, f"{path}: {kind} has no {name}"
        sort, rest = fields[name]
        if sort.name in ("ARRAY", "SEQUENCE"):
            assert index or step == steps[-1], f"{path}: {name} is a list"
            sort, rest = rest[0]
        kind = rest if sort.name == "NAME" else rest[0]
    return kind


def leaves(tree: Any) -> list[str]:
    if isinstance(tree, str):
        return [tree]
    assert tree["direction"] in ("row", "column")
    return leaves(tree["first"]) + leaves(tree["second"])


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_a_layout_places_each_of_its_panels_once(name: str) -> None:
    found = layout(name)
    assert sorted(leaves(found["layout"])) == sorted(found["configById"])
    for panel in found["configById"]:
        assert re.match(
            r"^(Image|3D|Plot|RawMessages|DiagnosticSummary|CallService|Publish)!", panel
        )


@pytest.mark.parametrize("name", sorted(LAYOUTS))
def test_what_a_layout_shows_exists(name: str) -> None:
    topics = LAYOUTS[name]
    for panel, config in layout(name)["configById"].items():
        sort = panel.split("!")[0]
        if sort == "Plot":
            for path in config["paths"]:
                assert kind_of(path["value"], topics) in ("float64", "float32"), path["value"]
        elif sort == "RawMessages":
            kind_of(config["topicPath"], topics)
        elif sort == "Image":
            mode = config["imageMode"]
            assert "mage" in topics[mode["imageTopic"]]
            assert topics[mode["calibrationTopic"]] == ros.CAMERA_INFO
        elif sort == "3D":
            assert set(config["topics"]) <= set(topics)
        elif sort == "CallService":
            assert config["serviceName"] in SERVICES
            json.loads(config["requestPayload"])
        elif sort == "Publish":
            assert topics[config["topicName"]] == config["datatype"]
            fields = {name for name, _ in STORE.fielddefs[config["datatype"]][1]}
            assert set(json.loads(config["value"])) == fields


def test_a_misspelt_path_would_be_found() -> None:
    with pytest.raises(AssertionError, match="has no linar"):
        kind_of("/cmd_vel.linar.x", LIVE)


def test_the_rviz_file_shows_what_there_is() -> None:
    found = yaml.safe_load((CONFIG / "mobile_vla.rviz").read_text(encoding="utf-8"))
    shown = {
        display["Topic"]["Value"]
        for display in found["Visualization Manager"]["Displays"]
        if "Topic" in display
    }
    assert {f"/{name}" for name in shown} <= set(LIVE)
    assert "mobile_vla/plan" in shown
