import matplotlib.pyplot as plt
import numpy as np

from mobile_vla_ros.plots.incident import draw_capsule, draw_incident_traces

AXES = ("linear.x", "angular.z")


def breaks(line) -> list[int]:
    """Where a drawn line is interrupted: rows that are no number."""
    return np.flatnonzero(np.isnan(np.asarray(line.get_ydata(), float))).tolist()


def test_no_line_leads_across_a_jump() -> None:
    stamps = np.array([0.0, 0.4, 0.8, 4.0, 4.4, 4.8])
    rows = np.ones((6, 2))
    commands = np.column_stack([np.r_[0:1:0.1, 5:6:0.1], np.ones((20, 3))])
    begins = np.array([True, False, False, False, False, True])
    figure = draw_incident_traces(
        AXES, 2.0, stamps, rows, rows, commands, [(1.0, "reset")], begins=begins
    )
    told, recorded, replayed = figure.axes[0].get_lines()[:3]
    # One before the first row, one over the silence, one where the policy began anew.
    assert breaks(recorded) == breaks(replayed) == [0, 4, 7]
    assert breaks(told) == [10]
    plt.close(figure)


def test_no_path_leads_from_one_field_to_the_next() -> None:
    odometry = np.zeros((20, 7))
    odometry[:, 0] = np.arange(20) / 10
    odometry[:10, 1] = np.arange(10) / 10
    odometry[10:, 1] = 3 + np.arange(10) / 10
    nothing = np.zeros((0, 4))
    figure = draw_capsule(
        "mark", 1.0, [], AXES, np.zeros(0), np.zeros((0, 10, 2)), 0.4, nothing, odometry, []
    )
    path = next(axes for axes in figure.axes if axes.get_title() == "path (odometry)")
    assert breaks(path.get_lines()[0]) == [10]
    plt.close(figure)
