"""Run files are read as people write them, and actions scale both ways."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mobile_vla_ros.policy.config import policy_config
from mobile_vla_ros.policy.errors import CheckpointError
from mobile_vla_ros.policy.heads import DRIVING_HEAD, HeadShape
from mobile_vla_ros.policy.run_file import read_run_file

HEAD = HeadShape(DRIVING_HEAD, hidden_size=48, num_layers=4, input_size=64, outputs=20)
RUN = {"window_size": 8, "fwd_pred_next_n": 10, "act_head": {"type": DRIVING_HEAD}}


def test_comments_and_trailing_commas_are_allowed_outside_strings(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text(
        """// the left run
{
  "model_path": "http://lab//kosmos, /* no comment */", // a path
  /* two
     lines */ "window_size": 8, "quote": "a \\" // b",
  "list": [1, 2, /* last */],
}
"""
    )
    assert read_run_file(path) == {
        "model_path": "http://lab//kosmos, /* no comment */",
        "window_size": 8,
        "quote": 'a " // b',
        "list": [1, 2],
    }


def test_an_error_names_the_line_of_the_file_as_written(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("{\n/* one\ntwo */\n  oops\n}")
    with pytest.raises(CheckpointError, match="line 4"):
        read_run_file(path)


def test_defaults_fill_what_a_run_file_leaves_out() -> None:
    config = policy_config(RUN, head=HEAD, width=64, name="the run file")
    assert config.action_axes == ("linear.x", "angular.z")
    assert not config.action_axes_confirmed
    assert (config.frame_period, config.action_period) == (0.4, 0.4)
    assert config.drives


def test_the_run_files_word_on_axes_comes_before_the_checkpoints() -> None:
    run = {**RUN, "action_axes": ["linear.x", "linear.y"]}
    extra = {"action_axes": ["linear.x", "angular.z"], "frame_period": 0.1}
    config = policy_config(run, head=HEAD, width=64, name="the run file", extra=extra)
    assert config.action_axes == ("linear.x", "linear.y")
    assert config.action_axes_confirmed
    assert config.frame_period == 0.1


def test_actions_are_clipped_scaled_and_scaled_back_per_axis() -> None:
    run = {**RUN, "norm_min": [-1.0, -2.0], "norm_max": [1.0, 0.5]}
    config = policy_config(run, head=HEAD, width=64, name="the run file")
    actions = np.array([[0.0, 0.0], [5.0, -5.0], [-0.5, 0.25]])
    normalised = config.normalise(actions)
    np.testing.assert_allclose(normalised, [[0, 0.6], [1, -1], [-0.5, 0.8]], atol=1e-6)
    np.testing.assert_allclose(
        config.unnormalise(normalised), [[0, 0], [1, -2], [-0.5, 0.25]], atol=1e-6
    )
    assert normalised.dtype == config.unnormalise(normalised).dtype == np.float32


def test_without_normalisation_outputs_are_velocities_already() -> None:
    config = policy_config(
        {**RUN, "norm_action": False, "norm_min": -3}, head=HEAD, width=64, name="the run file"
    )
    np.testing.assert_allclose(config.unnormalise(np.array([0.3, -0.7])), [0.3, -0.7], atol=1e-6)


def test_the_configuration_is_read_without_torch() -> None:
    program = (
        "import sys, mobile_vla_ros.policy, mobile_vla_ros.policy.config; "
        "print('torch' in sys.modules, 'transformers' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["False", "False"]
