"""Which keys a node shows where ROS 2 is secured (SROS2): those of its own name, if any."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

_GIVEN = ("-e", "--enclave")
_RULE = ("-r", "--remap")
# Below the keystore's `enclaves`; scripts/write_sros2.py writes policies for the same places.
ROOT = "mobile_vla"


def enclave_arguments(
    node: str, ros_arguments: Sequence[str], environment: Mapping[str, str]
) -> list[str]:
    """What is to be added to a node's arguments, so that it finds its keys.

    Args:
        node: name of the node, unless the arguments rename it.
        ros_arguments: what stands after ``--ros-args``.
        environment: of the process.

    Returns:
        ``--enclave /mobile_vla/NAMESPACE/NODE`` where the keystore has it; nothing where ROS 2 is
        not secured, or somebody has chosen the enclave.
    """
    if environment.get("ROS_SECURITY_ENABLE") != "true":
        return []
    chosen = environment.get("ROS_SECURITY_ENCLAVE_OVERRIDE")
    if chosen or any(word in _GIVEN for word in ros_arguments):
        return []
    names = {"__ns": "", "__node": node, "__name": node}
    for option, rule in itertools.pairwise(ros_arguments):
        old, mark, new = rule.partition(":=")
        if option in _RULE and mark and old in names:
            names[old] = new
    name = names["__node"] if names["__node"] != node else names["__name"]
    place = "/".join(filter(None, (ROOT, names["__ns"].strip("/"), name)))
    keys = Path(environment.get("ROS_SECURITY_KEYSTORE", "")) / "enclaves" / place
    return ["--enclave", f"/{place}"] if keys.is_dir() else []
