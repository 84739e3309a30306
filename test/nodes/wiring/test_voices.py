from __future__ import annotations

import pytest

from mobile_vla_ros.nodes.wiring.voices import Voices


def heard(numbers, period: float = 0.1) -> Voices:
    voices = Voices()
    for k, number in enumerate(numbers):
        voices.hear(number, k * period)
    return voices


def test_one_that_speaks_beside_one_that_is_silent_or_dead_is_one() -> None:
    assert heard(range(1, 30)).count(2, 2.9) == 1


def test_a_publisher_that_was_started_anew_is_one() -> None:
    assert heard([*range(100, 110), *range(1, 10)]).count(2, 1.9) == 1


@pytest.mark.parametrize(
    "numbers",
    [
        [number for k in range(10) for number in (k, 500 + k)],
        [number for k in range(10) for number in (500 + k, k)],
        [number for k in range(10) for number in (k, k)],
        [*range(1, 9), 3, *range(9, 17), 4, *range(17, 20)],
    ],
)
def test_two_that_speak_in_turns_are_two_until_one_falls_silent(numbers) -> None:
    voices = heard(numbers)
    end = 0.1 * len(numbers)
    assert voices.count(2, end) == 2
    for k in range(30):
        voices.hear(1000 + k, end + 0.1 * k)
    assert voices.count(2, end + 3.0) == 1


def test_where_messages_carry_no_numbers_the_graph_counts() -> None:
    assert heard([None, None]).count(2, 0.2) == 2
    assert Voices().count(1, 0.0) == 1
