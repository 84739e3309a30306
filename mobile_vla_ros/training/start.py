"""The network a run starts from: Kosmos-2 or a RoboVLMs checkpoint, and a driving head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mobile_vla_ros.hub import is_uri, resolve
from mobile_vla_ros.policy import adapters as lora
from mobile_vla_ros.policy.checkpoint import Checkpoint, open_checkpoint
from mobile_vla_ros.policy.config import PolicyConfig, policy_config
from mobile_vla_ros.policy.filling import reader_for
from mobile_vla_ros.policy.heads import KINDS, HeadShape, head_shape
from mobile_vla_ros.policy.model import PolicyModel, kosmos_config
from mobile_vla_ros.policy.prompt import PromptReader, read_tokenizer
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.training.run import RunConfig
from mobile_vla_ros.training.run_schema import RunError


def fetched_start(run: RunConfig) -> RunConfig:
    """The run with starting weights that lie on a hub (``hf://``) fetched, and named by path.

    Raises:
        HubError: they are not there or cannot be had.
    """
    found: dict[str, Any] = {
        name: str(resolve(place))
        for name in ("model_path", "model_load_path")
        if (place := getattr(run, name)) and is_uri(place)
    }
    return replace(run, raw={**run.raw, **found}, **found) if found else run


def check_start(run: RunConfig) -> None:
    """Refuses a run whose starting weights are not there; opens nothing.

    Raises:
        RunError: no Kosmos-2 directory, or no checkpoint to start from.
    """
    directory = Path(run.model_path)
    if not (directory / "config.json").is_file():
        raise RunError(
            f"model_path {directory} is no Kosmos-2 directory: it has no config.json; download "
            f"the model or correct the run file."
        )
    if run.model_load_path and not Path(run.model_load_path).exists():
        raise RunError(
            f"model_load_path {run.model_load_path} does not exist; download the checkpoint or "
            f"correct the run file."
        )


def starting_network(
    run: RunConfig, say: Callable[[str], None]
) -> tuple[PolicyModel, PolicyConfig, PromptReader]:
    """Builds the network of a run and fills it.

    Args:
        run: the run; `seed` decides every weight that no file gives.
        say: is told, in a sentence each, which weights came from where.

    Returns:
        The network (float32, CPU, without adapters), its configuration, and its tokenizer.

    Raises:
        CheckpointError: a file is missing or is no checkpoint.
        RunError: a checkpoint of another size, or without a backbone.
    """
    check_start(run)
    directory = Path(run.model_path)
    kosmos: Any = kosmos_config(read_run_file(directory / "config.json"), str(directory))
    width = kosmos.text_config.embed_dim
    raw = {**run.raw, "action_axes": list(run.action_axes)}
    config = policy_config(
        raw,
        head=KINDS[run.head.type].shape(
            run.head.hidden_size,
            run.head.num_layers,
            width * run.head.latent,
            run.chunk_size,
            len(run.action_axes),
        ),
        width=width,
        name=str(run.path or "the run file"),
        vision_size=kosmos.vision_config.image_size,
    )
    torch.manual_seed(run.seed)
    model = PolicyModel(kosmos, config)
    assert model.action_token is not None
    with torch.no_grad():
        # As RoboVLMs starts it.
        model.action_token.zero_()
    if run.model_load_path:
        _fill_from_checkpoint(model, run, open_checkpoint(run.model_load_path), say)
    else:
        source = open_checkpoint(directory)
        _fill(model.backbone, source, "backbone.", None, run)
        say(f"backbone from {directory}; action token zero and head random (seed {run.seed})")
    reader = reader_for(read_tokenizer(directory), str(directory), kosmos, config)
    return model, config, reader


def _fill_from_checkpoint(
    model: PolicyModel, run: RunConfig, source: Checkpoint, say: Callable[[str], None]
) -> None:
    name = source.path
    ranks = {
        module: source.stored[parts["A"]].shape[0]
        for module, parts in source.keys.adapters.items()
    }
    adapters = lora.read_adapters(ranks, source.run or run.raw, str(name))
    _fill(model.backbone, source, "backbone.", adapters, run)
    merged = f", {len(ranks)} adapters merged" if ranks else ""
    token = "action token zero"
    if "action_token" in source.keys.weights and model.action_token is not None:
        value = source.stored[source.keys.weights["action_token"]].read()
        if value.numel() != model.action_token.numel():
            raise RunError(_size(name, "action_token", value.shape, model.action_token.shape))
        with torch.no_grad():
            model.action_token.copy_(value.reshape(-1))
        token = "action token taken"
    shape = head_shape(source.head_shapes(), str(name))
    head = model.act_head
    same = (
        shape is not None
        and head is not None
        and shape.type == run.head.type
        and source.head_shapes()
        == {key: tuple(value.shape) for key, value in head.state_dict().items()}
    )
    if same and head is not None:
        _fill(head, source, "act_head.", None, run)
        said = "head taken"
    elif shape is None:
        said = f"fresh head for {', '.join(run.action_axes)} (seed {run.seed})"
    else:
        kind = _other_head(shape, run)
        said = f"{kind} replaced by a fresh one for {', '.join(run.action_axes)} (seed {run.seed})"
    say(f"backbone from {name}{merged}; {token}; {said}")


def _other_head(shape: HeadShape, run: RunConfig) -> str:
    kind = KINDS[shape.type]
    if not kind.drives:
        return f"{len(kind.axes)}-DoF arm head"
    return f"{kind.name} head" if kind.name != run.head.type else "head of another size"


@torch.no_grad()
def _fill(
    module: nn.Module,
    source: Checkpoint,
    root: str,
    adapters: lora.Adapters | None,
    run: RunConfig,
) -> None:
    missing = []
    for owner_name, owner in module.named_modules():
        for name, parameter in owner.named_parameters(recurse=False):
            path = f"{root}{owner_name}.{name}" if owner_name else f"{root}{name}"
            if path not in source.keys.weights:
                missing.append(path)
                continue
            value = source.stored[source.keys.weights[path]].read()
            if value.shape != parameter.shape:
                raise RunError(_size(source.path, path, value.shape, parameter.shape))
            parts = source.keys.adapters.get(path.removesuffix(".weight"))
            if parts is not None and adapters is not None and path.endswith(".weight"):
                down, up = (source.stored[parts[part]].read() for part in "AB")
                value = lora.merge(owner, value, down, up, adapters, path.removesuffix(".weight"))
            parts = source.keys.adapters.get(path.removesuffix(".bias"), {})
            if "bias" in parts and adapters is not None:
                added = source.stored[parts["bias"]].read()
                value = adapters.merge_bias(path.removesuffix(".bias"), value, added)
            parameter.copy_(value)
    if missing:
        raise RunError(
            f"{source.path} lacks {len(missing)} weights of the network in {run.model_path}, the "
            f"first is {missing[0]}."
        )


def _size(path: Path, name: str, found: Tensor | tuple, wanted: Tensor | tuple) -> str:
    return (
        f"{path} is of another size: {name} is {tuple(found)} there, and model_path needs "
        f"{tuple(wanted)}; choose the checkpoint or the Kosmos-2 directory that belongs to it."
    )
