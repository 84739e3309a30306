"""Importing torchao, which transformers and peft import too, without its warnings."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

# torchao reports every optional GPU kernel it cannot load, and torch that torchao uses a call it
# would rather see replaced; neither is something the user of a policy can act on.
NOISY = ("torchao", "torch.utils._pytree")


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Holds those loggers at ERROR while something that imports torchao is imported."""
    loggers = [logging.getLogger(noisy) for noisy in NOISY]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
