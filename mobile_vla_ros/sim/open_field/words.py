"""What a person may say in the open field, in English and Korean; some of it is kept back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LANGUAGES = ("english", "korean")
_SIDES: dict[str, dict[str, str]] = {
    "english": {"left": "left", "right": "right"},
    "korean": {"left": "왼쪽", "right": "오른쪽"},
}
_COLOURS: dict[str, dict[str, tuple[str, ...]]] = {
    "english": {
        "green": ("green",),
        "grey": ("grey", "gray"),
        "orange": ("orange",),
        "blue": ("blue",),
        "red": ("red",),
        "yellow": ("yellow",),
    },
    "korean": {
        "green": ("초록색",),
        "grey": ("회색",),
        "orange": ("주황색",),
        "blue": ("파란색",),
        "red": ("빨간색",),
        "yellow": ("노란색",),
    },
}
_KINDS: dict[str, dict[str, tuple[str, ...]]] = {
    "english": {
        "bottle": ("bottle", "beverage bottle"),
        "basket": ("basket",),
        "cone": ("cone", "traffic cone"),
        "ball": ("ball",),
        "bin": ("bin", "rubbish bin"),
    },
    "korean": {
        "bottle": ("병", "음료수 병"),
        "basket": ("바구니",),
        "cone": ("콘", "고깔"),
        "ball": ("공",),
        "bin": ("휴지통", "쓰레기통"),
    },
}


@dataclass(frozen=True)
class Wordings:
    """Sentences with gaps; `kept` ones are for testing only."""

    taught: tuple[str, ...]
    kept: tuple[str, ...]


_PLAIN = {
    "english": Wordings(
        (
            "Go to the {thing}",
            "Drive to the {thing} and stop in front of it",
            "Navigate around obstacles and reach the front of the {thing}",
            "Find the {thing}",
        ),
        ("Please head over to the {thing}", "Bring yourself in front of the {thing}"),
    ),
    "korean": Wordings(
        ("{thing} 앞까지 가", "장애물을 피해 {thing} 앞에 멈춰", "{thing} 쪽으로 이동해"),
        ("{thing} 있는 데로 가 줘", "{thing} 앞에 도착해"),
    ),
}
_SIDED = {
    "english": Wordings(
        (
            "Navigate around obstacles and reach the front of the {thing} on the {side}",
            "Pass the box on the {side} and go to the {thing}",
            "Go around the box on the {side} side and stop in front of the {thing}",
        ),
        ("Keep {side} of the box on your way to the {thing}",),
    ),
    "korean": Wordings(
        (
            "장애물을 {side}으로 돌아 {thing} 앞까지 가",
            "상자를 {side}으로 지나 {thing} 쪽으로 이동해",
        ),
        ("{side}으로 비켜서 {thing} 앞에 도착해",),
    ),
}
_STOP = {
    "english": Wordings(("Stop", "Stand still", "Do not move"), ("Halt", "Stay where you are")),
    "korean": Wordings(("멈춰", "정지"), ("움직이지 마", "그대로 있어")),
}


@dataclass(frozen=True)
class Said:
    """An instruction and what it is made of.

    Attributes:
        text: as it is said.
        language: one of `LANGUAGES`.
        wording: the sentence with its gaps.
        kept: the wording is for testing only.
    """

    text: str
    language: str
    wording: str
    kept: bool


def say(
    rng: np.random.Generator,
    colour: str | None,
    kind: str | None,
    side: str | None,
    *,
    kept: bool = False,
    colour_is_needed: bool = True,
) -> Said:
    """Draws one way to ask for a thing, or to stop.

    Args:
        rng: draws language, wording and names.
        colour, kind: of the target; None both: stop.
        side: on which to pass the box, "left", "right" or None for either.
        kept: a wording that no collected episode has.
        colour_is_needed: another thing of the kind is in view; else the colour may be left out.
    """
    language = LANGUAGES[int(rng.integers(len(LANGUAGES)))]
    table = _STOP if kind is None else _PLAIN if side is None else _SIDED
    known = table[language]
    wording = _one(rng, known.kept if kept else known.taught)
    leaves_out = rng.random() < 0.25 and not colour_is_needed
    thing = ""
    if kind is not None and colour is not None:
        words = [_one(rng, _COLOURS[language][colour]), _one(rng, _KINDS[language][kind])]
        thing = words[1] if leaves_out else " ".join(words)
    said = wording.format(thing=thing, side=_SIDES[language].get(side or "", ""))
    return Said(said, language, wording, kept)


def taught_sentences() -> tuple[str, ...]:
    """Sentences that hold every word of the taught wordings: a tokenizer is made of them."""
    found = []
    for language in LANGUAGES:
        names = [
            f"{colour} {kind}"
            for colours, kinds in zip(
                _COLOURS[language].values(), _cycled(_KINDS[language]), strict=False
            )
            for colour in colours
            for kind in kinds
        ]
        for number, wording in enumerate(
            _PLAIN[language].taught + _SIDED[language].taught + _STOP[language].taught
        ):
            for side in _SIDES[language].values():
                thing = names[number % len(names)]
                found.append(wording.format(thing=thing, side=side))
        found += [_PLAIN[language].taught[0].format(thing=name) for name in names]
    return tuple(dict.fromkeys(found))


def _cycled(kinds: dict[str, tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The names of the kinds, once more than there are colours at least."""
    return [*kinds.values(), *kinds.values()]


def _one(rng: np.random.Generator, choices: tuple[str, ...]) -> str:
    return choices[int(rng.integers(len(choices)))]
