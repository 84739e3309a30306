"""What a command says on stderr when something is not right; imports nothing that takes time."""

from __future__ import annotations

import sys

from mobile_vla_ros.errors import without_secrets


def complain(sentence: str) -> None:
    """Prints one line under the command's name."""
    print(f"mobile_vla: {' '.join(without_secrets(sentence).split())}", file=sys.stderr)
