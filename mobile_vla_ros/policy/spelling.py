"""Which known key a misspelt one is near to."""

from __future__ import annotations

import re

# What people call some keys; too far from the key's own spelling to be found by it.
ALSO_CALLED = {
    "lr": "learning_rate",
    "head_lr": "head_learning_rate",
    "epochs": "max_epochs",
    "num_epochs": "max_epochs",
    "steps": "max_steps",
    "rank": "lora_r",
    "alpha": "lora_alpha",
    "use_lora": "lora_enable",
    "grad_clip": "gradient_clip_val",
    "chunk_size": "fwd_pred_next_n",
    "workers": "num_workers",
}


def meant_key(key: str, known: set[str]) -> str | None:
    """The known key that a misspelt one is near to, or None."""
    also = ALSO_CALLED.get(key.lower())
    if also in known:
        return also
    plain = _plain(key)
    for candidate in sorted(known):
        whole = _plain(candidate)
        short, long = sorted((plain, whole), key=len)
        longer = long.startswith(short) and len(short) >= 4 and len(long) - len(short) <= 3
        if longer or _edits(plain, whole) <= _allowed(min(len(plain), len(whole))):
            return candidate
    return None


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _allowed(length: int) -> int:
    """Slips of the hand that a key of so many letters may have and still be known."""
    return 0 if length < 4 else 1 if length < 8 else 2


def _edits(a: str, b: str) -> int:
    """Letters inserted, left out, changed, or swapped with their neighbour between two words."""
    if abs(len(a) - len(b)) > 2:
        return 3
    before: list[int] = []
    last = list(range(len(b) + 1))
    for i, left in enumerate(a, 1):
        row = [i]
        for j, right in enumerate(b, 1):
            row.append(min(last[j] + 1, row[-1] + 1, last[j - 1] + (left != right)))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                row[j] = min(row[j], before[j - 2] + 1)
        before, last = last, row
    return last[-1]
