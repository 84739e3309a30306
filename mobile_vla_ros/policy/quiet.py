"""Importing torchao without its warnings about kernels that this machine cannot use anyway."""

from __future__ import annotations

import importlib
import logging
from types import ModuleType

# torchao reports every optional GPU kernel it cannot load, and torch that torchao uses a call it
# would rather see replaced; neither is something the user of a policy can act on.
NOISY = ("torchao", "torch.utils._pytree")


def import_torchao(name: str = "torchao") -> ModuleType:
    """Imports torchao (or a module of it) with those loggers held at ERROR meanwhile.

    peft imports torchao too, so whoever imports peft calls this first.
    """
    loggers = [logging.getLogger(noisy) for noisy in NOISY]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        return importlib.import_module(name)
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
