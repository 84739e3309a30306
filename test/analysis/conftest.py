"""Small episodes and reference policies that the tests of this room share."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from episode_factory import write_episode

from mobile_vla_ros.policy import load_policy

CHECKPOINT = "epoch_epoch=09-val_loss=val_loss=0.013.ckpt"


@pytest.fixture(autouse=True)
def one_thread():
    """Small matrices run several times faster on one thread when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def frozen(golden: Path):
    """The reference policy with a frozen backbone."""
    return load_policy(golden / "mobile_vla_frozen" / CHECKPOINT, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def lora(golden: Path):
    """The reference policy with adapters."""
    return load_policy(golden / "mobile_vla_lora" / CHECKPOINT, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def arm(golden: Path):
    """The 7-DoF reference policy."""
    path = golden / "robovlms_oxe_7dof" / "kosmos_ph_oxe-pretrain.pt"
    return load_policy(path, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six episodes, three to each side."""
    folder = tmp_path_factory.mktemp("episodes")
    for number in range(6):
        write_episode(folder, number, ("left", "right")[number % 2])
    return folder
