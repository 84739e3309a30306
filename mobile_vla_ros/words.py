"""The instructions that a policy was trained with, and how far another one is from them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import Any

# A file stays small with as many; the open field has about a thousand sentences.
MOST = 2000
LONGEST = 300  # letters; what is longer is no sentence that somebody says
_WORD = re.compile(r"\w+")
_NEAR = 3


def plain(text: str) -> str:
    """A sentence without case, punctuation and double spaces: what two of the same share."""
    return " ".join(_WORD.findall(text.casefold()))


class KnownInstructions:
    """The sentences of a policy's training.

    Args:
        sentences: as they were said; what is no text, too long or said twice is left out.
    """

    def __init__(self, sentences: Any = ()) -> None:
        several = sentences if isinstance(sentences, list | tuple | set | frozenset) else ()
        fit = [text.strip() for text in several if isinstance(text, str) and len(text) <= LONGEST]
        self.sentences: tuple[str, ...] = tuple(sorted({text for text in fit if text}))[:MOST]
        self._plain = {plain(text): text for text in self.sentences}
        self.words = frozenset(word for text in self._plain for word in text.split())

    def __bool__(self) -> bool:
        return bool(self.sentences)

    @property
    def templates(self) -> tuple[str, ...]:
        """The sentences, where those that differ in one word are one: 'the {left|right} box'."""
        groups: list[list[set[str]]] = []
        for text in self._plain:
            words = text.split()
            for group in groups:
                others = (
                    [at for at, word in enumerate(words) if {word} != group[at]]
                    if (len(group) == len(words))
                    else [0, 1]
                )
                varied = [at for at, choices in enumerate(group) if len(choices) > 1]
                if len(others) <= 1 and all(at in others for at in varied):
                    for at in others:
                        group[at].add(words[at])
                    break
            else:
                groups.append([{word} for word in words])
        return tuple(
            " ".join(
                next(iter(choices)) if len(choices) == 1 else f"{{{'|'.join(sorted(choices))}}}"
                for choices in group
            )
            for group in groups
        )

    def knows(self, instruction: str) -> bool:
        """Whether it was trained with this sentence, or does not say with which."""
        return not self or plain(instruction) in self._plain

    def distance(self, instruction: str) -> float:
        """How far a sentence is from the nearest known one: 0 the same, 1 nothing in common."""
        if self.knows(instruction):
            return 0.0
        said = plain(instruction).split()
        return 1.0 - max(
            difflib.SequenceMatcher(None, said, text.split()).ratio() for text in self._plain
        )

    def strange_words(self, instruction: str) -> tuple[str, ...]:
        """Words of a sentence that stand in no known one."""
        if not self:
            return ()
        said = plain(instruction).split()
        return tuple(dict.fromkeys(word for word in said if word not in self.words))

    def nearest(self, instruction: str, count: int = _NEAR) -> tuple[str, ...]:
        """Known sentences, the most alike first."""
        said = plain(instruction).split()

        def unlike(text: str) -> float:
            return -difflib.SequenceMatcher(None, said, text.split()).ratio()

        return tuple(self._plain[text] for text in sorted(self._plain, key=unlike)[:count])

    def remark(self, instruction: str) -> str:
        """What to say about a sentence; empty for a known one.

        It names the words that were never said, and what was.
        """
        if not instruction.strip() or self.knows(instruction):
            return ""
        strange = self.strange_words(instruction)
        why = f" ({', '.join(map(repr, strange))} it has never heard)" if strange else ""
        near = "; ".join(repr(text) for text in self.nearest(instruction))
        return f"the policy was not trained with {instruction!r}{why}; nearest: {near}"


def instructions_of(extra: Any) -> tuple[str, ...]:
    """The sentences that a checkpoint's own notes list; () where they list none."""
    found = extra.get("instructions") if isinstance(extra, dict) else None
    return KnownInstructions(found).sentences


def said_in(sentences: Iterable[str]) -> list[str]:
    """What a checkpoint notes of its training's instructions: each once, bounded, sorted."""
    return list(KnownInstructions(list(sentences)).sentences)
