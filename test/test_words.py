"""The instructions a policy knows, and what is said about another."""

from __future__ import annotations

import pytest

from mobile_vla_ros.words import KnownInstructions, instructions_of, said_in

LEFT = "Go to the bottle on the left"
RIGHT = "Go to the bottle on the right"


@pytest.fixture
def known() -> KnownInstructions:
    return KnownInstructions([LEFT, RIGHT, "회색 바구니로 가라"])


@pytest.mark.parametrize(
    "said",
    [
        LEFT,
        "go to the  bottle on the left.",
        "GO TO THE BOTTLE ON THE LEFT!",
        "회색 바구니로 가라",
    ],
)
def test_case_punctuation_and_spaces_make_no_other_sentence(known, said: str) -> None:
    assert known.knows(said)
    assert known.distance(said) == 0.0
    assert known.remark(said) == ""


def test_another_sentence_is_told_with_its_strange_words_and_the_nearest_known_ones(known) -> None:
    remark = known.remark("Go to the basket on the left")
    assert "'basket' it has never heard" in remark
    assert remark.index(LEFT) < remark.index(RIGHT)
    assert 0 < known.distance("Go to the basket on the left") < known.distance("off") <= 1


def test_sentences_that_differ_in_one_word_are_one_template(known) -> None:
    assert "go to the bottle on the {left|right}" in known.templates
    assert len(known.templates) == 2


def test_a_policy_that_does_not_say_knows_everything() -> None:
    silent = KnownInstructions()
    assert silent.knows("anything")
    assert silent.remark("anything") == ""
    assert silent.templates == ()


@pytest.mark.parametrize("junk", [None, "text", 7, {"a": 1}, [1, None, "x" * 1000, "  ", b"y"]])
def test_what_a_stranger_lists_is_taken_only_where_it_is_sentences(junk: object) -> None:
    assert KnownInstructions(junk).sentences == ()
    assert instructions_of({"instructions": junk}) == ()


def test_what_training_notes_is_each_sentence_once_and_bounded() -> None:
    assert said_in([LEFT, LEFT, RIGHT]) == [LEFT, RIGHT]
    assert len(said_in(f"go to {number}" for number in range(5000))) == 2000
