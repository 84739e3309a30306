import pytest

from mobile_vla_ros.trials.readiness import (
    GIB,
    judge_camera,
    judge_clock,
    judge_commands,
    judge_disk,
    judge_dry_run,
    judge_memory,
    judge_ros,
    worst_level,
)

CAMERA = {
    "topic": "/camera/image_raw",
    "publishers": 1,
    "types": ["sensor_msgs/msg/Image"],
    "offered": "reliable",
    "similar": ["/front/image_raw"],
    "frames": 90,
    "seconds": 3.0,
    "worst_gap": 0.05,
    "encoding": "bgr8",
    "width": 1280,
    "height": 720,
    "error": None,
    "age_median": 0.03,
    "age_min": 0.01,
    "age_max": 0.06,
    "backward": 0,
    "identical": False,
}
COMMANDS = {
    "topic": "/cmd_vel",
    "subscribers": 1,
    "types": ["geometry_msgs/msg/Twist"],
    "publishers": [],
}


def test_a_good_camera_is_ok() -> None:
    found = judge_camera(CAMERA)
    assert worst_level(found) == "ok"
    assert "30.0 frames/s, 1280x720 bgr8, reliable" in found[0].text


@pytest.mark.parametrize(
    ("changes", "level", "words"),
    [
        ({"publishers": 0, "types": []}, "failure", "nobody publishes"),
        ({"types": ["std_msgs/msg/String"]}, "failure", "std_msgs/msg/String"),
        ({"frames": 0}, "failure", "no frame came"),
        ({"error": "image encoding 'x' is not read"}, "failure", "encoding"),
        ({"frames": 3, "worst_gap": 1.0}, "failure", "longest gap"),
        ({"frames": 45, "worst_gap": 0.4}, "warning", "longest gap"),
        ({"publishers": 2}, "warning", "2 nodes"),
        ({"backward": 3}, "failure", "backward"),
        ({"age_median": 1.7e9, "age_min": 1.7e9, "age_max": 1.7e9}, "failure", "empty"),
        ({"age_min": -0.5, "age_median": -0.4}, "failure", "in the future"),
        ({"age_median": 0.9}, "failure", "900 ms old"),
        ({"age_median": 0.3}, "warning", "300 ms old"),
        ({"identical": True}, "failure", "same to the bit"),
    ],
)
def test_what_is_wrong_with_a_camera_is_said(changes, level, words) -> None:
    found = judge_camera({**CAMERA, **changes})
    assert worst_level(found) == level
    bad = next(finding for finding in found if finding.level == level)
    assert words in bad.text
    assert bad.advice


def test_a_missing_camera_names_those_that_exist() -> None:
    found = judge_camera({**CAMERA, "publishers": 0, "types": []})
    assert "/front/image_raw" in found[0].advice


def test_a_reliable_wish_does_not_match_a_best_effort_camera() -> None:
    seen = {**CAMERA, "offered": "best_effort", "frames": 0}
    assert "image_reliability" in judge_camera(seen, reliability="reliable")[0].text
    assert worst_level(judge_camera({**CAMERA, "offered": "best_effort"})) == "ok"


def test_commands_need_a_listener_of_the_right_type() -> None:
    assert worst_level(judge_commands(COMMANDS, stamped=False)) == "ok"
    assert worst_level(judge_commands({**COMMANDS, "subscribers": 0}, stamped=False)) == "failure"
    wrong = judge_commands(COMMANDS, stamped=True)[0]
    assert (wrong.level, wrong.advice) == ("failure", "launch with stamped:=false")
    busy = judge_commands({**COMMANDS, "publishers": ["joy"]}, stamped=False)
    assert worst_level(busy) == "warning"


def test_the_ros_environment_is_judged() -> None:
    seen = {"domain": 3, "rmw": "rmw_fastrtps_cpp", "distro": "jazzy", "profile": "/x.xml"}
    assert worst_level(judge_ros({**seen, "localhost_only": False})) == "ok"
    assert worst_level(judge_ros({**seen, "localhost_only": True})) == "warning"
    assert worst_level(judge_ros({**seen, "profile": None})) == "warning"


def test_disk_memory_and_speed_have_their_limits() -> None:
    assert judge_disk("/data", 100 * GIB).level == "ok"
    assert judge_disk("/data", 2 * GIB).level == "warning"
    assert judge_disk("/data", GIB // 10).level == "failure"
    assert judge_memory(24 * GIB, 3 * GIB).level == "ok"
    assert judge_memory(4 * GIB, 3 * GIB).level == "warning"
    assert judge_memory(2 * GIB, 3 * GIB).level == "failure"
    assert judge_dry_run([0.01] * 10).level == "ok"
    assert judge_dry_run([0.01] * 9 + [0.5]).level == "warning"
    assert judge_dry_run([1.2] * 10).level == "failure"


@pytest.mark.parametrize(
    ("tracking", "level"),
    [
        (None, "warning"),
        ("System time     : 0.000012 seconds fast of NTP time\nLeap status     : Normal\n", "ok"),
        ("System time     : 0.5 seconds slow of NTP time\nLeap status     : Normal\n", "warning"),
        ("System time     : 0.0 seconds\nLeap status     : Not synchronised\n", "warning"),
        ("nonsense", "warning"),
    ],
)
def test_the_clock_is_judged_by_what_chrony_says(tracking, level) -> None:
    assert judge_clock(tracking).level == level
