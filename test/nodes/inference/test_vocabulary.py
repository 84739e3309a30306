"""What the node says of words that its policy does not know."""

from __future__ import annotations

from types import SimpleNamespace

from mobile_vla_ros.nodes.inference.vocabulary import Vocabulary

KNOWN = ["go to the bottle on the left", "go to the bottle on the right"]


def vocabulary(strict: bool = False) -> tuple[Vocabulary, list[str]]:
    said: list[str] = []
    found = Vocabulary(SimpleNamespace(warning=said.append))
    found.begin(KNOWN, strict)
    return found, said


def test_a_strange_instruction_is_warned_of_with_the_nearest_known_ones() -> None:
    words, said = vocabulary()
    words.hear(KNOWN[0])
    assert said == []
    assert words.readings() == {"words": 0.0, "words_remark": ""}
    words.hear("go to the basket on the left")
    assert KNOWN[0] in said[0]
    assert 0 < float(str(words.readings()["words"])) < 1
    assert words.objection("go to the basket on the left") == ""


def test_strict_instructions_refuse_it_and_clearing_is_never_refused() -> None:
    words, _ = vocabulary(strict=True)
    assert "strict_instructions" in words.objection("off")
    assert words.objection("Go to the bottle on the left!") == ""
    assert words.objection("") == ""


def test_a_policy_that_does_not_say_what_it_was_told_objects_to_nothing() -> None:
    words, said = vocabulary(strict=True)
    words.begin((), True)
    words.hear("off")
    assert (said, words.objection("off")) == ([], "")
    assert words.readings()["words"] == ""
