"""What the parameters of inference_node mean to the model and to the pilot, and to a person."""

from __future__ import annotations

import pathlib

from mobile_vla_ros import bundled
from mobile_vla_ros.control.limiter import Limits
from mobile_vla_ros.control.pilot import PilotSettings
from mobile_vla_ros.errors import InputError
from mobile_vla_ros.hub import is_uri
from mobile_vla_ros.nodes.inference.parameters import LIMITS, TIMES
from mobile_vla_ros.states import MODEL_TOO_SLOW, STOPPED

# A first answer may include work that is done once per instruction.
FIRST_RESULT_FACTOR = 10.0
# A slow model is told from a hung one by this many times its usual step.
SLOW_MODEL_FACTOR = 3.0
_PATHS = ("checkpoint", "backbone", "config")
_OVERRIDES = ("frame_period", "action_period", "max_gap")
_OF_THE_MODEL = (*_PATHS, "device", "dtype", "runtime")
_OF_THE_LINK = ("server", "token_file", "server_certificate", "frame_quality")


class DriveError(InputError):
    """The node cannot be configured as asked."""


def model_settings(values: dict) -> dict:
    """What the model's process is to load, or which server it is to ask.

    Raises:
        InputError: there is no checkpoint and no server, a file that does not exist, or an
            address, token or certificate that cannot be used.
    """
    axes = [axis for axis in values["action_axes"] if axis]
    chosen: tuple[str, ...]
    if values["server"]:
        _check_server(values)
        chosen = (*_OF_THE_LINK, *_OVERRIDES)
        return {**{name: values[name] for name in chosen}, "action_axes": axes}
    if not values["checkpoint"]:
        raise DriveError(
            "no checkpoint is given: set the parameter 'checkpoint' to its path, or 'server' to"
            " the address of a policy elsewhere; demo is the bundled policy"
        )
    found = {}
    for name in _PATHS:
        if not values[name] or is_uri(values[name]):
            continue  # the model's process fetches what is on a hub, and says what is wrong
        found[name] = str(bundled.find(values[name]))
        if not pathlib.Path(found[name]).exists():
            looked = bundled.places(values[name])
            raise DriveError(f"{name} '{values[name]}' does not exist{looked}")
    chosen = (*_OF_THE_MODEL, *_OVERRIDES)
    return {**{name: values[name] for name in chosen}, **found, "action_axes": axes}


def _check_server(values: dict) -> None:
    # TLS takes as long to load as half of this node; most drives need none.
    from mobile_vla_ros.serving import access

    if values["checkpoint"]:
        raise DriveError("both 'checkpoint' and 'server' are given: the policy is at one of them")
    url = access.check_url(values["server"])
    access.read_token(values["token_file"])
    access.client_context(url, values["server_certificate"])


def limits_of(values: dict) -> Limits:
    """Speeds and accelerations.

    Raises:
        InputError: limits that contradict each other.
    """
    return Limits(**{name: values[name] for name in LIMITS})


def pilot_settings(values: dict, step_seconds: float) -> PilotSettings:
    """The pilot's settings, for a model that takes `step_seconds` per frame."""
    times = {name: values[name] for name in TIMES}
    times["worker_timeout"] = max(times["worker_timeout"], SLOW_MODEL_FACTOR * step_seconds)
    return PilotSettings(
        **times, first_result_timeout=FIRST_RESULT_FACTOR * times["worker_timeout"]
    )


def briefing(log, report: dict, values: dict, instruction: str) -> None:
    """Logs what a person should know before the robot moves.

    Args:
        log: the node's logger.
        report: the model's `ready` message.
        values: the node's parameters.
        instruction: the present one.
    """
    policy, step = report["policy"], report["step_seconds"]
    log.info(
        f"ready in {report['load_seconds']:.1f} s on {policy['device']}"
        f" ({policy['dtype']}): {step * 1000:.0f} ms per frame, window"
        f" {policy['window_size']} x {policy['frame_period']:g} s, chunk"
        f" {policy['chunk_size']} x {policy['action_period']:g} s of"
        f" {', '.join(policy['action_axes'])}"
    )
    limit = min(policy["chunk_size"] * policy["action_period"], values["chunk_timeout"])
    if step >= limit:
        log.error(
            f"the model takes {step:.2f} s per frame, but a command is valid for {limit:g} s:"
            f" it will be '{STOPPED}{MODEL_TOO_SLOW}' on this machine"
        )
    if not policy["action_axes_confirmed"]:
        log.warning(
            "the checkpoint does not say what its outputs are: taken as"
            f" {', '.join(policy['action_axes'])}; 'mobile_vla verify' tells which fit"
        )
    if values["dry_run"]:
        log.warning("dry_run: predictions only, no velocities are published")
    if instruction:
        log.info(f"instruction: {instruction}")
