from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest
from rig import Rig

FRAME_PERIOD = 0.4
NORM = 1.15


@pytest.mark.ros
@pytest.mark.parametrize("name", ["mobile_vla_frozen", "mobile_vla_lora"])
def test_every_chunk_equals_the_reference_stream(name, golden, ros_domain, tmp_path) -> None:
    folder = golden / name
    inputs = np.load(folder / "inputs.npz")
    expected = (np.load(folder / "expected.npz")["stream_velocities"] + 1) / 2 * 2 * NORM - NORM
    (checkpoint,) = folder.glob("*.ckpt")
    with Rig(tmp_path) as rig:
        node = rig.start_node(
            str(checkpoint),
            double=False,
            instruction=str(inputs["instruction"]),
            image_timeout=1.0,
            dtype="float32",
            device="cpu",
        )
        rig.wait(lambda: rig.state == "waiting_for_camera", "a loaded policy", 120.0)
        rig.wait(lambda: rig.camera.get_subscription_count() == 1, "a subscription")
        _torch_is_in_the_worker_alone(node.pid)
        stamps = [time.time() + FRAME_PERIOD * i for i in range(len(inputs["images"]))]
        for stamp, image in zip(stamps, inputs["images"], strict=True):
            time.sleep(max(0.0, stamp - time.time()))
            rig.publish_image(image, stamp)
        rig.wait(lambda: len(rig.chunks) == len(stamps), "a chunk for every frame")
        for chunk, stamp, velocities in zip(rig.chunks, stamps, expected, strict=True):
            header = chunk.header
            assert header.stamp.sec == int(stamp)
            assert header.stamp.nanosec == int((stamp - int(stamp)) * 1e9)
            assert header.frame_id == "base_link"
            assert chunk.joint_names == ["base_link"]
            twists = [point.velocities[0] for point in chunk.points]
            got = [(twist.linear.x, twist.angular.z) for twist in twists]
            np.testing.assert_allclose(got, velocities, atol=1e-4)
            times = [p.time_from_start.sec + p.time_from_start.nanosec / 1e9 for p in chunk.points]
            np.testing.assert_allclose(times, np.arange(10) * FRAME_PERIOD)
            assert all(not point.transforms for point in chunk.points)
        assert any(any(velocities) for _, velocities in rig.commands)
        node.send_signal(signal.SIGINT)
        assert rig.wait_for_exit(node, 10.0) == 0
        assert not any(rig.commands[-1][1])


def _torch_is_in_the_worker_alone(node: int) -> None:
    maps = Path(f"/proc/{node}/maps").read_text()
    assert "torch" not in maps
    children = set()
    for thread in Path(f"/proc/{node}/task").iterdir():
        children |= set((thread / "children").read_text().split())
    assert any("libtorch" in Path(f"/proc/{child}/maps").read_text() for child in children)
