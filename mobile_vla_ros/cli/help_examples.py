"""Examples in help texts as they can be copied: with a backslash where a line is broken."""

from __future__ import annotations

import textwrap

_WIDTH = 72


def copyable(text: str) -> str:
    """``text`` with each paragraph that is an example set off from it and broken for a shell.

    A paragraph is an example when it begins with "Example:" or with the command's own name.
    """
    return "\n\n".join(_paragraph(paragraph) for paragraph in text.split("\n\n"))


def _paragraph(paragraph: str) -> str:
    words = " ".join(paragraph.split())
    command = words.removeprefix("Example: ")
    if not command.startswith("mobile_vla "):
        return paragraph
    lines = textwrap.wrap(
        command, _WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    title = "Example:\n" if command != words else ""
    # \b tells the parser to leave the paragraph's lines as they are.
    return "\b\n" + title + " \\\n".join(f"  {line}" for line in lines)
