"""The parameters of sim_node, and what they mean together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mobile_vla_ros.files import home_path
from mobile_vla_ros.nodes.wiring import policy_image
from mobile_vla_ros.nodes.wiring.parameters import Declared, ParameterError
from mobile_vla_ros.sim import fields
from mobile_vla_ros.sim.camera import CameraSettings

_CAMERA = CameraSettings()
_ANY_SCENARIO = "1box_left"
PARAMETERS = (
    Declared(
        "scenario",
        _ANY_SCENARIO,
        "1box_left, 1box_right, 2box_left or 2box_right, if wanted with _close, _medium or _far;"
        " several with commas between are driven in turn; ~/reset sets the field up anew",
        live=True,
    ),
    Declared("field", fields.LAB, "lab (boxes and a bottle) or open (see tier and target)"),
    Declared("tier", "easy", "of the open field: easy, medium or hard, several with commas"),
    Declared("target", "", "of the open field: what to drive to ('grey basket'), or 'stop'"),
    Declared("seed", 0, "decides where things stand and how they look", 0, 2**31, live=True),
    Declared("camera_rate", 10.0, "frames/s", 0.5, 60.0),
    Declared("odom_rate", 20.0, "odometry messages/s", 1.0, 100.0),
    Declared("width", _CAMERA.width, "pixels", 16, 1920),
    Declared("height", _CAMERA.height, "pixels", 16, 1080),
    Declared("camera_height", _CAMERA.mount_height, "m above the floor", 0.1, 2.0),
    Declared("tilt", _CAMERA.tilt, "camera tilt downwards, degrees", -45.0, 80.0),
    Declared("field_of_view", _CAMERA.field_of_view, "horizontal, degrees", 20.0, 140.0),
    Declared("shadows", False, "shadow maps: four times slower without a graphics card"),
    Declared(
        "real_time_factor",
        1.0,
        "simulated seconds per second; other than 1 needs publish_clock",
        0.05,
        20.0,
    ),
    Declared("publish_clock", False, "publish /clock and stamp with it, for use_sim_time"),
    Declared(
        "time_limit",
        30.0,
        "s after which a run has failed; in the open field twice that",
        1.0,
        3600.0,
    ),
    Declared(
        "latency",
        0.0,
        "seconds by which frames come late (their stamps stay true), as a slow model's answers",
        0.0,
        2.0,
    ),
    Declared("window", False, "show the field in a window; needs a display"),
    Declared("announce", False, "give the scenario's instruction to whoever drives"),
    Declared(
        "episodes", 0, "evaluate the driving node on so many fields, then end; 0 = off", 0, 100000
    ),
    Declared("report", "", "JSON file for the evaluation's result"),
    Declared("plot", "", "figure of the evaluation's paths from above"),
    *policy_image.PARAMETERS,
    Declared("base_frame", "base_link", "child frame of odom"),
    Declared("odom_frame", "odom", "frame of odom"),
    Declared("frame_id", "camera", "frame of the images"),
)
LIVE = {parameter.name: parameter for parameter in PARAMETERS}


def scenario_names(settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The scenarios that the parameters name, with commas between.

    Raises:
        InputError: one of them means nothing, or belongs to another field.
    """
    given = tuple(name.strip() for name in settings["scenario"].split(","))
    if settings["field"] == fields.OPEN and given == (_ANY_SCENARIO,):
        tiers = tuple(name.strip() for name in settings["tier"].split(","))
        return fields.scenario_names(fields.OPEN, (), tiers, settings["target"])
    names = fields.scenario_names(settings["field"], given, target=settings["target"])
    for name in names:
        fields.parse_field_scenario(name)
    return names


def checked(settings: dict) -> dict:
    """The parameters, with the paths of an evaluation's results written out.

    Raises:
        ParameterError: parameters that do not go together, or a folder that does not exist.
    """
    if settings["real_time_factor"] != 1.0 and not settings["publish_clock"]:
        raise ParameterError(
            f"real_time_factor {settings['real_time_factor']:g} needs publish_clock:=true, and"
            " use_sim_time:=true at whoever drives"
        )
    for name in ("report", "plot") if settings["episodes"] else ():
        if settings[name]:
            path = home_path(settings[name])
            if not path.absolute().parent.is_dir():
                raise ParameterError(f"{name}: the folder {path.parent} does not exist")
            settings[name] = str(path)
    return settings


def camera_settings(settings: dict) -> CameraSettings:
    """What the robot sees with."""
    return CameraSettings(
        width=settings["width"],
        height=settings["height"],
        mount_height=settings["camera_height"],
        tilt=settings["tilt"],
        field_of_view=settings["field_of_view"],
        shadows=settings["shadows"],
    )
