"""A day of trials in the simulated field, over ROS: plan, pairs, verdicts, report."""

import json
import time
from pathlib import Path

import pytest
from rig import Rig
from std_msgs.msg import String

from mobile_vla_ros.episodes import check_episode
from mobile_vla_ros.trials.log import read_trials
from mobile_vla_ros.trials.plan import make_plan, plan_to_json
from mobile_vla_ros.trials.report import report_trials

pytestmark = pytest.mark.ros

# Everything waits longer than on a robot: the field's second is a quarter of ours.
FACTOR = 4.0
PATIENT = {
    "image_timeout": 2.0,
    "max_frame_age": 3.0,
    "future_tolerance": 1.0,
    "chunk_timeout": 3.5,
    "worker_timeout": 5.0,
    "arrival_hold": 6.0,
}


@pytest.fixture
def rig(ros_domain, tmp_path):
    with Rig(tmp_path) as rig:
        yield rig


def start(rig: Rig, name: str, **parameters):
    file = rig.write_parameters({"use_sim_time": True, **parameters})
    command = ["-m", f"mobile_vla_ros.nodes.{name}", "--ros-args", "--params-file", str(file)]
    return rig.start(*command, name=name)


def test_a_planned_day_ranks_two_checkpoints_and_says_how_sure_it_is(rig, tmp_path) -> None:
    folder = tmp_path / "day"
    paths = {"good": rig.behaviour("expert:0.6"), "bad": rig.behaviour("forward:0.6")}
    plan, key = make_plan(
        {"1box_left_close": "go left", "1box_right_close": "go right"},
        paths,
        repeats=6,
        blind=True,
        difference=(0.95, 0.2),
        seed=3,
    )
    assert len(plan.trials) == 24
    plan_file, key_file = tmp_path / "plan.json", tmp_path / "plan.key.json"
    plan_file.write_text(json.dumps(plan_to_json(plan)))
    key_file.write_text(
        json.dumps({"names": key, "paths": {code: paths[name] for code, name in key.items()}})
    )
    start(
        rig,
        "sim_node",
        use_sim_time=False,
        publish_clock=True,
        real_time_factor=FACTOR,
        width=64,
        height=48,
        time_limit=20.0,
    )
    rig.start_node(
        "forward:0.6",
        "-r",
        "cmd_vel:=policy_cmd_vel",
        enabled=False,
        use_sim_time=True,
        max_linear=0.6,
        max_linear_accel=4.0,
        max_linear_decel=4.0,
        max_angular_accel=8.0,
        max_angular_decel=8.0,
        action_period=0.4,
        **PATIENT,
    )
    start(rig, "cmd_vel_guard", use_sim_time=False, deadman_required=True)
    start(rig, "recorder_node", directory=str(folder / "episodes"), image_format="jpeg", rate=5.0)
    statuses: list[dict] = []
    rig.node.create_subscription(
        String, "trial_manager/status", lambda m: statuses.append(json.loads(m.data)), 50
    )
    start(
        rig,
        "trial_node",
        directory=str(folder),
        plan=str(plan_file),
        key=str(key_file),
        field="sim",
        unattended=True,
        time_limit=60.0,
        incidents=False,
    )
    begin = time.monotonic()
    log = folder / "trials.jsonl"
    rig.wait(
        lambda: log.exists() and len(read_trials(log)[0]) >= 24,
        f"24 trials written ({statuses[-1:]})",
        180.0,
    )
    print(f"24 trials in {time.monotonic() - begin:.0f} s")
    records, problems = read_trials(log)
    assert not problems
    assert {record.outcome for record in records} <= {"success", "failure"}
    assert [record.number for record in records] == list(range(1, 25))
    assert all(record.path_source == "odometry" for record in records)
    # Both checkpoints of a pair met the same field: the same first picture was kept for both.
    assert len(list((folder / "starts").glob("*.jpg"))) == 12
    report = report_trials(records, plan, key)
    assert report.comparison.better == "good"
    assert report.comparison.enough
    assert report.comparison.p is not None
    assert report.comparison.p < 0.01
    assert report.comparison.pairs == 12
    assert report.failures["bad"].get("touched a box", 0) >= 10
    # With the first eight trials alone nobody may say so.
    early = report_trials(records[:8], plan, key)
    assert early.comparison.better is None
    assert early.comparison.sentence.startswith("Not enough to tell")
    assert "12 matched starts" in early.comparison.sentence
    # Every trial left an episode that is whole and knows its outcome.
    episodes = [folder / "episodes" / Path(str(record.episode)).name for record in records]
    assert len(set(episodes)) == 24
    checked = check_episode(episodes[0])
    assert checked.complete, checked.problems
