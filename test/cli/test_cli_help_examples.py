from __future__ import annotations

import shlex

from mobile_vla_ros.cli.help_examples import copyable

COMMAND = (
    "mobile_vla verify --checkpoint runs/frozen/best.ckpt --data episodes/held_out"
    " --threshold 0.12 --json runs/frozen/verify.json"
)


def test_an_example_is_the_same_command_for_a_shell_however_long() -> None:
    text = copyable(f"Measures.\n\nExample: {COMMAND}")
    first, example = text.split("\n\n")
    assert first == "Measures."
    mark, title, *lines = example.split("\n")
    assert (mark, title) == ("\b", "Example:")
    assert len(lines) > 1
    assert all(len(line) < 78 for line in lines)
    assert shlex.split("\n".join(lines).replace("\\\n", " ")) == shlex.split(COMMAND)


def test_other_paragraphs_stay_as_they_are() -> None:
    assert (
        copyable("One\nline.\n\nmobile_vla-like words.") == "One\nline.\n\nmobile_vla-like words."
    )
