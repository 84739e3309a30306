import math

import pytest

from mobile_vla_ros.trials.agreement import Agreement

AXES = ("linear.x", "angular.z")


def test_agreement_is_counted_by_the_persons_direction() -> None:
    agreement = Agreement()
    agreement.predicted(AXES, (0.3, 0.0))  # nobody drives yet
    for person, policy in (
        ((0.3, 0.0, 0.0), (0.2, 0.0)),
        ((0.3, 0.0, 0.0), (0.1, 0.6)),
        ((0.0, 0.0, 0.5), (0.0, 0.4)),
    ):
        agreement.driven(*person)
        agreement.predicted(AXES, policy)
    summary = agreement.summary()
    assert summary["frames"] == 3
    assert summary["agree"] == pytest.approx(2 / 3, abs=1e-3)
    assert (summary["agree forward"], summary["agree left"]) == (0.5, 1.0)
    assert summary["rmse linear.x"] == pytest.approx(math.sqrt((0.01 + 0.04) / 3), abs=1e-3)


def test_driving_backward_counts_as_a_direction_of_its_own() -> None:
    agreement = Agreement()
    agreement.driven(-0.3, 0.0, 0.0)
    agreement.predicted(AXES, (-0.2, 0.05))
    agreement.predicted(AXES, (0.2, 0.05))
    assert agreement.summary()["agree backward"] == 0.5


def test_nothing_compared_is_said_as_zero_frames() -> None:
    agreement = Agreement()
    agreement.driven(float("nan"), 0.0, 0.0)
    agreement.predicted(AXES, (0.1, 0.1))
    assert agreement.summary() == {"frames": 0}
