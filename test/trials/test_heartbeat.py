from __future__ import annotations

import threading

import pytest
from test_conductor import NotedStage

from mobile_vla_ros.trials import heartbeat as module
from mobile_vla_ros.trials.heartbeat import Heartbeat


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch) -> None:
    for name in ("SETTLE_SECONDS", "LOOK_PERIOD", "ASK_PERIOD"):
        monkeypatch.setattr(module, name, 0.0)


def beating(stage: NotedStage, times, needed: bool = True) -> tuple[Heartbeat, list[str]]:
    warnings: list[str] = []
    clock = iter(times)
    return (
        Heartbeat(
            stage,
            needed=needed,
            closing=threading.Event(),
            warn=warnings.append,
            real=lambda: next(clock),
        ),
        warnings,
    )


def test_nothing_moves_before_the_policy_has_been_told_to_stand() -> None:
    stage = NotedStage()
    heart, _ = beating(stage, [0.0])
    assert not heart.beats()
    assert not heart.settled(0.0)
    heart.settle()
    assert stage.orders == ["order to stand"]
    assert heart.beats()


def test_a_policy_that_is_missing_or_refuses_is_named_and_asked_again() -> None:
    stage = NotedStage()
    stage.listens = False
    stage.refuses = "order to stand"
    heart, warnings = beating(stage, [0.0, 1.0, 6.0, 6.0])
    looks = 0

    def listens() -> bool:
        nonlocal looks
        looks += 1
        if len(warnings) == 2:
            stage.refuses = ""
        return looks > 2

    stage.policy_listens = listens
    heart.settle()
    assert warnings == [
        "nothing moves yet: mobile_vla is not running",
        "nothing moves yet: order to stand is refused",
    ]
    assert heart.beats()


def test_a_switch_that_is_let_go_or_falls_silent_stops_the_robot() -> None:
    heart, _ = beating(NotedStage(), [10.0, 10.2, 10.3, 11.0, 11.1], needed=False)
    heart.settle()
    assert heart.beats()
    heart.hear_operator(True)  # at 10.0
    assert heart.beats()
    assert not heart.beats()  # 0.3 s later
    heart.hear_operator(False)
    assert not heart.beats()
