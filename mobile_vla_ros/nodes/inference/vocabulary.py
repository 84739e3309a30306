"""Whether the policy knows the words it is told: the log's warning, the reading, the refusal.

Written by the executor's thread, read by the upkeep thread; each value is replaced as a whole.
"""

from __future__ import annotations

from mobile_vla_ros.words import KnownInstructions


class Vocabulary:
    """The instructions of the present policy's training.

    Args:
        log: the node's logger.
    """

    def __init__(self, log) -> None:
        self._log = log
        self._known = KnownInstructions()
        self._instruction = ""
        self.strict = False
        """Whether an instruction that the policy does not know is refused."""

    def begin(self, sentences: object, strict: bool) -> None:
        """A policy has been loaded, trained with these sentences; () where it does not say."""
        self._known = KnownInstructions(sentences)
        self.strict = strict

    def objection(self, instruction: str) -> str:
        """Why an instruction is refused; empty when it is not."""
        remark = self._known.remark(instruction) if self.strict else ""
        return f"{remark} (strict_instructions)" if remark else ""

    def hear(self, instruction: str) -> None:
        """An instruction has been given: warns of one that the policy does not know."""
        self._instruction = instruction
        remark = self._known.remark(instruction)
        if remark:
            self._log.warning(remark)

    def readings(self) -> dict[str, object]:
        """For diagnostics: distance of the words from training, and what to say about them."""
        if not self._known or not self._instruction.strip():
            return {"words": "", "words_remark": ""}
        return {
            "words": self._known.distance(self._instruction),
            "words_remark": self._known.remark(self._instruction),
        }
