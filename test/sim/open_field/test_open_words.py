import numpy as np
import pytest

from mobile_vla_ros.sim.open_field.scenario import parse_open_scenario, target_words
from mobile_vla_ros.sim.open_field.words import LANGUAGES, say, taught_sentences
from mobile_vla_ros.sim.scenario import ScenarioError
from mobile_vla_ros.training.augmentation import mirror_text


def said(count: int = 300, **options):
    values = {"colour": "grey", "kind": "basket", "side": None, **options}
    return [say(np.random.default_rng(seed), **values) for seed in range(count)]


def test_what_is_kept_for_testing_is_never_said_in_training() -> None:
    for options in ({}, {"side": "left"}, {"colour": None, "kind": None}):
        taught = {one.wording for one in said(**options)}
        kept = {one.wording for one in said(kept=True, **options)}
        assert len(taught) >= 5
        assert len(kept) >= 2
        assert not taught & kept
        assert {one.language for one in said(**options)} == set(LANGUAGES)


def test_a_colour_is_said_wherever_another_thing_of_the_kind_stands_there() -> None:
    assert all(
        any(word in one.text for word in ("grey", "gray", "회색"))
        for one in said(colour_is_needed=True)
    )
    assert any(
        not any(word in one.text for word in ("grey", "gray", "회색"))
        for one in said(colour_is_needed=False)
    )


def test_the_mirror_finds_the_side_in_every_wording() -> None:
    for kept in (False, True):
        for one in said(side="left", kept=kept):
            mirrored = mirror_text(one.text)
            assert mirrored != one.text
            assert mirror_text(mirrored) == one.text


def test_the_taught_sentences_hold_every_taught_word() -> None:
    words = {word for text in taught_sentences() for word in text.split()}
    for options in ({}, {"side": "right"}, {"colour": None, "kind": None}):
        for one in said(**options):
            assert set(one.text.split()) <= words, one.text


def test_names_of_scenarios_say_what_stands_there() -> None:
    scenario = parse_open_scenario("open_hard_gray_basket_left_new")
    assert (scenario.tier, scenario.colour, scenario.kind) == ("hard", "grey", "basket")
    assert scenario.side == "left"
    assert scenario.new
    assert target_words("Gray basket") == ("grey", "basket")


@pytest.mark.parametrize(
    "name",
    ["open", "open_grey_basket", "open_easy_grey", "open_easy_purple_cow", "open_easy_easy"],
)
def test_a_name_that_means_nothing_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(ScenarioError, match="no scenario of the open field"):
        parse_open_scenario(name)


def test_an_unknown_target_word_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ScenarioError, match=r"'purple cow' names no thing .*grey.*basket"):
        target_words("purple cow")
    with pytest.raises(ScenarioError, match="told to stop"):
        parse_open_scenario("open_easy_stop_left")
