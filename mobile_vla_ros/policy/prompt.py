"""The prompt as the policy was trained to read it, and its token ids."""

from __future__ import annotations

from pathlib import Path

from tokenizers import Tokenizer

from mobile_vla_ros.policy.errors import CheckpointError, PolicyError

TEMPLATE = "<grounding>An image of a robot {instruction}"


def read_tokenizer(directory: Path) -> Tokenizer:
    """Opens a backbone's tokenizer.

    ``tokenizer.json`` is read by the tokenizers library directly: it holds the complete
    tokenizer, so the ids do not depend on the version of transformers.

    Raises:
        CheckpointError: there is no usable tokenizer.
    """
    path = directory / "tokenizer.json"
    if not path.is_file():
        raise CheckpointError(
            f"there is no tokenizer in {directory}: tokenizer.json is missing; download the whole "
            "Kosmos-2 directory"
        )
    try:
        tokenizer = Tokenizer.from_file(str(path))
    # The library raises plain Exception for an unreadable file.
    except Exception as error:
        raise CheckpointError(f"the tokenizer {path} cannot be read: {error}") from error
    if tokenizer.token_to_id("<grounding>") is None:
        raise CheckpointError(f"the tokenizer {path} does not know <grounding>: not Kosmos-2's")
    return tokenizer


class PromptReader:
    """Turns instructions into token ids with the backbone's own tokenizer.

    Args:
        tokenizer: the tokenizer, as ``read_tokenizer`` gives it.
        source: how errors name it.
        begin: id of ``<s>``.
        end: id of ``</s>``.
        vocabulary: rows of the embedding table; ids at or above it are an error.
        longest: most tokens a prompt may have, ``<s>`` and ``</s>`` included.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        source: str,
        *,
        begin: int,
        end: int,
        vocabulary: int,
        longest: int,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self._tokenizer = tokenizer
        self._source = source
        self._begin = begin
        self._end = end
        self._vocabulary = vocabulary
        self._longest = longest

    def ids(self, instruction: str) -> list[int]:
        """Token ids of the prompt, ``<s>`` first and ``</s>`` last.

        Raises:
            PolicyError: it is no text, or the prompt is longer than the policy reads.
        """
        if not isinstance(instruction, str):
            raise PolicyError(f"an instruction is text, not {type(instruction).__name__}")
        try:
            instruction.encode()
        except UnicodeEncodeError as error:
            raise PolicyError(
                f"the instruction cannot be read: its character {error.start + 1} is no character "
                "(a lone surrogate)"
            ) from error
        prompt = TEMPLATE.format(instruction=instruction.strip())
        ids = list(self._tokenizer.encode(prompt).ids)
        if ids[:1] != [self._begin]:
            ids.insert(0, self._begin)
        if ids[-1:] != [self._end]:
            ids.append(self._end)
        if len(ids) > self._longest:
            raise PolicyError(
                f"the instruction is too long: {len(ids)} tokens with its prompt, and the policy "
                f"reads at most {self._longest}"
            )
        if max(ids) >= self._vocabulary:
            raise CheckpointError(
                f"the tokenizer {self._source} gives token {max(ids)}, but the model knows only "
                f"{self._vocabulary}: tokenizer and weights do not belong together"
            )
        return ids
