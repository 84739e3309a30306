"""The names of weights in checkpoints, brought to one form.

It is ``backbone.<name>``, ``act_head.<name>`` and ``action_token``.

Checkpoints differ in what stands before a name (``module.`` from data-parallel training,
``model.`` from Lightning, both, or nothing), in what compiling, sharding and recomputing put into
it wherever they wrapped a module, and in what adapters put into it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from mobile_vla_ros.policy.errors import CheckpointError

# Parts of a name that say how a module was run, not which one it is.
WRAPPERS = {
    "module",
    "_forward_module",
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
}
# A second set of weights beside the trained ones, and the count of an averaged model.
AVERAGES = re.compile(r"(ema_model|model_ema|ema|averaged_model)\..+$")
COUNTERS = ("n_averaged",)
ROOTS = ("backbone.", "act_head.", "action_token")
ADAPTED = "backbone.base_model.model."

# Weights that belong to Kosmos-2 and are not needed here: the language-model head (a copy of the
# embeddings), and buffers that older versions of transformers saved.
UNUSED = re.compile(
    r"backbone\.(text_model\.lm_head\..*"
    r"|vision_model\.model\.embeddings\.position_ids"
    r"|text_model\.model\.embed_positions\..*)$"
)
LORA = re.compile(r"(?P<module>.+)\.lora_(?P<part>A|B)(?:\.(?P<adapter>[^.]+))?\.weight$")
LORA_BIAS = re.compile(r"(?P<module>.+)\.lora_B(?:\.(?P<adapter>[^.]+))?\.(?P<part>bias)$")
LORA_TABLE = re.compile(r"(?P<module>.+)\.lora_embedding_(?P<part>A|B)(?:\.(?P<adapter>[^.]+))?$")
SAVED = re.compile(r"(?P<module>.+)\.modules_to_save\.(?P<adapter>[^.]+)\.(?P<name>.+)$")
ORIGINAL = re.compile(r".+\.original_module\..+$")


@dataclass
class SortedKeys:
    """What a checkpoint's names mean.

    Attributes:
        weights: canonical name -> the checkpoint's own name.
        adapters: canonical module name -> {"A": own name, "B": own name}, and "bias" where
            ``lora_B`` has one.
        unused: own names of weights that belong to the model and are not needed.
        averages: own names of a second, averaged set of weights; not used.
        foreign: own names that belong to nothing known.
    """

    weights: dict[str, str] = field(default_factory=dict)
    adapters: dict[str, dict[str, str]] = field(default_factory=dict)
    unused: list[str] = field(default_factory=list)
    averages: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def sort_keys(names: Iterable[str], source: str, *, root: str = "") -> SortedKeys:
    """Sorts a checkpoint's names.

    Args:
        names: the names as they stand in the checkpoint.
        source: how errors name the checkpoint.
        root: put before every name (``backbone.`` for a plain Kosmos-2 directory).

    Raises:
        CheckpointError: two names mean the same weight, or there are several adapters.
    """
    found = SortedKeys()
    adapters: set[str] = set()
    for own in names:
        if AVERAGES.match(own) or own.rpartition(".")[2] in COUNTERS:
            found.averages.append(own)
            continue
        name = root + _plain(own) if root else _unwrapped(_plain(own))
        if not name.startswith(ROOTS):
            found.foreign.append(own)
            continue
        if name.startswith(ADAPTED):
            name = "backbone." + name[len(ADAPTED) :]
        match = LORA.match(name) or LORA_TABLE.match(name) or LORA_BIAS.match(name)
        if match:
            if UNUSED.match(match["module"] + ".weight"):
                found.unused.append(own)
                continue
            adapters.add(match["adapter"] or "default")
            found.adapters.setdefault(match["module"], {})[match["part"]] = own
            continue
        if ORIGINAL.match(name):
            found.unused.append(own)
            continue
        saved = SAVED.match(name)
        if saved:
            name = f"{saved['module']}.{saved['name']}"
        name = name.replace(".base_layer.", ".")
        if UNUSED.match(name):
            found.unused.append(own)
        elif name in found.weights:
            raise CheckpointError(
                f"{source} holds the same weight twice: {found.weights[name]} and {own}"
            )
        else:
            found.weights[name] = own
    if len(adapters) > 1:
        raise CheckpointError(
            f"{source} holds {len(adapters)} adapters ({', '.join(sorted(adapters))}); only one "
            "can be merged"
        )
    doras = [own for own in found.foreign if ".lora_magnitude_vector" in own]
    doras += [own for own in found.weights.values() if ".lora_magnitude_vector" in own]
    if doras:
        raise CheckpointError(
            f"{source} carries DoRA adapters ({doras[0]}), which are not merged here; merge them "
            "with peft (merge_and_unload) and save the checkpoint again"
        )
    flat = [own for own in found.foreign if "_flat_param" in own]
    if flat:
        raise CheckpointError(
            f"{source} holds FSDP's flattened weights ({flat[0]}), of which no module can be "
            "read; save it again with StateDictType.FULL_STATE_DICT"
        )
    for module, parts in found.adapters.items():
        for missing in {"A", "B"} - set(parts):
            raise CheckpointError(f"{source} has an adapter without lora_{missing} at {module}")
    return found


def _unwrapped(name: str) -> str:
    """Takes ``model.`` off the front, however often it stands there."""
    while not name.startswith(ROOTS) and name.startswith("model."):
        name = name.removeprefix("model.")
    return name


def _plain(name: str) -> str:
    """Without the parts that wrappers put in, wherever they stand."""
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)
