"""Kosmos-2's classes in transformers, imported in one place and without noise."""

from __future__ import annotations

from mobile_vla_ros.policy.quiet import quiet_imports

with quiet_imports():
    from transformers.models.kosmos2.configuration_kosmos2 import Kosmos2Config
    from transformers.models.kosmos2.modeling_kosmos2 import Kosmos2Model

__all__ = ["Kosmos2Config", "Kosmos2Model"]
