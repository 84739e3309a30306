"""Loading a converted directory's graphs into a policy that needs no torch."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mobile_vla_ros.policy.config import PolicyConfig, policy_config
from mobile_vla_ros.policy.episode_list import read_episodes
from mobile_vla_ros.policy.errors import PolicyError
from mobile_vla_ros.policy.familiarity import FeatureStatistics
from mobile_vla_ros.policy.prompt import PromptReader, read_tokenizer
from mobile_vla_ros.policy.provenance import Provenance, revisions_of
from mobile_vla_ros.policy.run_file import read_run_file
from mobile_vla_ros.policy.safetensors_header import read_header
from mobile_vla_ros.processor import this_processor, threads
from mobile_vla_ros.rig import rig_of
from mobile_vla_ros.runtime.int8 import in_seven_bits
from mobile_vla_ros.runtime.manifest import Manifest, graph_file, read_manifest
from mobile_vla_ros.runtime.policy import OnnxPolicy, OnnxPrecision, Sessions
from mobile_vla_ros.runtime.providers import HALF, Device, choose_device
from mobile_vla_ros.runtime.sessions import GraphSession
from mobile_vla_ros.words import instructions_of

STATISTICS_FILE = "feature_statistics.safetensors"
QUANTISED_PARTS = {"vision": "model.backbone.vision_model.", "text": "model.backbone.text_model."}
FORMATS = ("float32", "float16", "bfloat16", "int8")

log = logging.getLogger(__name__)


def load_onnx_policy(
    checkpoint: str | Path,
    config: str | Path | Mapping[str, Any] | None = None,
    device: str = "auto",
    dtype: str = "auto",
    weight_bits: int | None = None,
) -> OnnxPolicy:
    """Loads a directory that ``mobile_vla convert --onnx`` wrote.

    Args:
        checkpoint: the directory.
        config: a run JSON (or its contents) in place of the directory's own.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:N``, ``tensorrt`` or ``openvino``.
        dtype: ``auto``, or the format that the directory was converted to.
        weight_bits: of an int8 directory: 8, or 7 for processors whose products of bytes are cut
            off at 16 bits; by default what this processor needs.

    Raises:
        CheckpointError: files are missing, damaged, or do not fit each other.
        PolicyError: the device or the number format cannot be had.
    """
    place = choose_device(str(device))
    directory = Path(checkpoint).expanduser()
    manifest = read_manifest(directory)
    precision = _precision(manifest, str(dtype), place)
    slow = this_processor().slow(precision.name) if place.type == "cpu" else None
    if slow:
        log.warning("%s", slow)
    settings = policy_config_of(manifest, config)
    prompts = None if settings.head is None else _reader(manifest, settings)
    return OnnxPolicy(
        sessions=_sessions(manifest, place, precision, weight_bits or _weight_bits(place)),
        config=settings,
        prompts=prompts,
        provenance=_provenance(manifest),
        device=place,
        precision=precision,
        sizes=manifest.backbone,
        weight_bytes=_weight_bytes(manifest, precision),
    )


def _precision(manifest: Manifest, dtype: str, device: Device) -> OnnxPrecision:
    """What is computed in: 16 bits on a GPU, where the weights have so many, else float32."""
    wanted = dtype.removeprefix("torch.")
    if wanted not in ("auto", *FORMATS):
        raise PolicyError(f"unknown dtype {wanted!r}; give auto, {', '.join(FORMATS)}")
    native = manifest.has_native and device.type in HALF
    found = manifest.dtype
    if wanted not in ("auto", found) and not (wanted == "float32" and manifest.has_native):
        raise PolicyError(
            f"dtype {wanted} was asked for, but the ONNX graphs in {manifest.directory} are in "
            f"{found}; give dtype auto, or convert with --onnx --dtype {wanted}"
        )
    if found == "int8":
        return OnnxPrecision("int8", "float32", quantised=True)
    if native and wanted != "float32":
        return OnnxPrecision(found, found)
    return OnnxPrecision("float32", "float32")


def _weight_bytes(manifest: Manifest, precision: OnnxPrecision) -> int:
    size = 2 if precision.compute in ("float16", "bfloat16") else 4
    quantised = [place for item in manifest.weights for place in item.places.values()]
    int8 = sum(place.nbytes for place in quantised if place.dtype == "I8")
    return int8 + (manifest.parameters - int8) * size


def _weight_bits(device: Device) -> int:
    return 8 if device.type != "cpu" or this_processor().exact_int8 else 7


def _sessions(
    manifest: Manifest, device: Device, precision: OnnxPrecision, weight_bits: int
) -> Sessions:
    native = precision.compute != "float32"
    count = threads()
    fewer = precision.quantised and weight_bits == 7

    def session(name: str, *, native: bool = False, place: Device = device) -> GraphSession:
        path = manifest.directory / graph_file(name, native=native)
        part = QUANTISED_PARTS.get(name)
        replaced = in_seven_bits(manifest, part) if fewer and part else None
        return GraphSession(path, place, count, replaced)

    vision = session("vision", native=native)
    if manifest.head is None:
        return Sessions(vision)
    # The prompt is read once, and the head is small: the way to a device and back costs more.
    processor = Device("cpu")
    return Sessions(
        vision,
        session("prompt", place=processor),
        session("text", native=native),
        session("head", place=processor),
    )


def policy_config_of(
    manifest: Manifest, given: str | Path | Mapping[str, Any] | None = None
) -> PolicyConfig:
    """The configuration of a directory's policy, or of the run JSON that is given in its place."""
    run, name = manifest.run, f"the run file inside {manifest.directory}"
    if isinstance(given, Mapping):
        run, name = given, "the run configuration"
    elif given is not None:
        run, name = read_run_file(Path(given).expanduser()), f"the run file {given}"
    preprocessor = manifest.directory / "preprocessor_config.json"
    return policy_config(
        run,
        head=manifest.head,
        width=manifest.backbone["width"],
        name=name,
        extra=manifest.extra,
        preprocessor=read_run_file(preprocessor) if preprocessor.is_file() else {},
        vision_size=manifest.backbone["image_size"],
    )


def _reader(manifest: Manifest, config: PolicyConfig) -> PromptReader:
    sizes = manifest.backbone
    room = sizes["positions"] - sizes["tokens"] - config.latent
    return PromptReader(
        read_tokenizer(manifest.directory),
        str(manifest.directory),
        begin=sizes["begin"],
        end=sizes["end"],
        vocabulary=sizes["vocabulary"],
        longest=min(config.max_text_len, room),
    )


def _provenance(manifest: Manifest) -> Provenance:
    path, extra = manifest.directory, manifest.extra
    statistics = None
    if (path / STATISTICS_FILE).is_file():
        header = read_header(path / STATISTICS_FILE)
        statistics = FeatureStatistics.from_arrays(
            {name: header.read(name) for name in header.places}
        )
    return Provenance(
        source=path,
        kind="converted",
        weights=path / "model.safetensors",
        training_files=dict(extra.get("training_files") or {}),
        validation_files=dict(extra.get("validation_files") or {}),
        episodes=read_episodes(path, extra),
        rig=rig_of(extra),
        data_revisions=revisions_of(extra),
        instructions=instructions_of(extra),
        statistics=statistics,
        recorded=dict(extra.get("source") or {}),
    )
