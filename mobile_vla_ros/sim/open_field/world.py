"""The MuJoCo model of one open field: its room, obstacles, things, person, robot and light."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from mobile_vla_ros.pictures import encode_png
from mobile_vla_ros.sim import textures
from mobile_vla_ros.sim.camera import CameraSettings
from mobile_vla_ros.sim.engine import mujoco
from mobile_vla_ros.sim.layout import Box
from mobile_vla_ros.sim.open_field.layout import OpenLayout, Stool
from mobile_vla_ros.sim.open_field.person import HEIGHT, RADIUS
from mobile_vla_ros.sim.open_field.things import thing_mjcf
from mobile_vla_ros.sim.robot import ACTUATORS, robot_mjcf
from mobile_vla_ros.sim.room import GROUND_SHADE, UNTOUCHED, grey, lamps, shell
from mobile_vla_ros.sim.world import TIMESTEP

PERSON = "person"  # the body that moves by itself


@dataclass(frozen=True)
class Style:
    """What makes a room: floor, hues of the walls, how light they are, how strong the light."""

    floor: str
    hue: tuple[float, float]
    bright: float
    light: tuple[float, float]


_CHEQUERED = "chequered"
STYLES = {
    "office": Style("carpet", (0.50, 0.70), 0.95, (0.85, 1.15)),
    "kitchen": Style("tiles", (0.08, 0.16), 0.97, (0.90, 1.25)),
    "corridor": Style("concrete", (0.52, 0.65), 0.85, (0.60, 0.95)),
    "lounge": Style("planks", (0.02, 0.12), 0.90, (0.70, 1.05)),
    "store": Style("concrete", (0.05, 0.14), 0.75, (0.55, 0.90)),
    "studio": Style("planks", (0.75, 1.00), 0.95, (0.85, 1.25)),
    "gym": Style("planks", (0.55, 0.62), 0.80, (1.00, 1.35)),
    "cellar": Style(_CHEQUERED, (0.10, 0.18), 0.62, (0.45, 0.70)),
}


def open_camera(layout: OpenLayout, camera: CameraSettings) -> CameraSettings:
    """The camera as it truly stands: a little higher and more tilted than it is said to."""
    off = layout.camera
    return replace(
        camera, mount_height=camera.mount_height + off.height, tilt=camera.tilt + off.tilt
    )


def build_open_model(layout: OpenLayout, camera: CameraSettings) -> mujoco.MjModel:
    """Compiles the field; colours, textures and light are drawn from the layout's seed."""
    xml, assets = build_open_mjcf(layout, camera)
    return mujoco.MjModel.from_xml_string(xml, assets)


def build_open_mjcf(layout: OpenLayout, camera: CameraSettings) -> tuple[str, dict[str, bytes]]:
    """The field as MJCF text and the PNG files that it names."""
    rng = np.random.default_rng([layout.seed, 707])
    style = STYLES[layout.style]
    pictures = {
        "floor": (
            textures.chequered(rng)
            if style.floor == _CHEQUERED
            else textures.floor(rng, style.floor)
        ),
        "wall": textures.wall(rng, style.hue, (style.bright - 0.25, style.bright)),
        "side": textures.cardboard(rng, lid=False),
        "lid": textures.cardboard(rng, lid=True),
    }
    light = rng.uniform(*style.light)
    parts = [_room(layout, rng, light)]
    parts += [_box(box, index) for index, box in enumerate(layout.boxes)]
    parts += [_stool(stool, index, rng) for index, stool in enumerate(layout.stools)]
    parts += [thing_mjcf(thing, index, rng) for index, thing in enumerate(layout.things)]
    if layout.walk is not None:
        parts.append(_person(layout.walk.start, rng))
    parts.append(robot_mjcf(layout.start, _camera_mjcf(layout, camera)))
    tiles = 1.0 / rng.uniform(0.8, 1.3)
    xml = f"""<mujoco model="open_field">
  <compiler angle="degree" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="pyramidal" iterations="20"/>
  <visual>
    <global offwidth="{camera.width}" offheight="{camera.height}"/>
    <quality shadowsize="{2048 if camera.shadows else 0}" offsamples="{camera.samples}"/>
    <headlight ambient="{grey(0.36 * light)}" diffuse="{grey(0.16 * light)}" specular="0 0 0"/>
    <map znear="0.02" zfar="30"/>
  </visual>
  <asset>
    <texture name="floor" type="2d" file="floor.png"/>
    <material name="floor" texture="floor" texuniform="true" texrepeat="{tiles} {tiles}"
      specular="0.1" shininess="0.2"/>
    <texture name="wall" type="2d" file="wall.png"/>
    <material name="wall" texture="wall" texuniform="true" texrepeat="0.5 0.5" specular="0"/>
    <texture name="box" type="cube" fileright="side.png" fileleft="side.png" fileup="side.png"
      filedown="side.png" filefront="lid.png" fileback="lid.png"/>
    <material name="box" texture="box" specular="0.05" shininess="0.1"/>
  </asset>
  <worldbody>{"".join(parts)}
  </worldbody>
  <actuator>{ACTUATORS}
  </actuator>
</mujoco>
"""
    return xml, {f"{name}.png": encode_png(image) for name, image in pictures.items()}


def _rgba(rng: np.random.Generator, hue: tuple[float, float], *rest: tuple[float, float]) -> str:
    drawn = textures.colour(rng, hue, rest[0], rest[1])
    return " ".join(f"{value:.4f}" for value in drawn) + " 1"


def _camera_mjcf(layout: OpenLayout, settings: CameraSettings) -> str:
    """The camera in the robot's base frame, off as the layout says."""
    off, stands = layout.camera, open_camera(layout, settings)
    tilt, yaw = math.radians(stands.tilt), math.radians(off.yaw)
    c, s = math.cos(yaw), math.sin(yaw)
    # x of the camera is the robot's right, turned by the yaw; y leans forward by the tilt.
    axes = f"{s} {-c} 0 {math.sin(tilt) * c} {math.sin(tilt) * s} {math.cos(tilt)}"
    return (
        f'<camera name="front" pos="{settings.forward} {off.lateral} {stands.mount_height}" '
        f'xyaxes="{axes}" fovy="{settings.vertical_field_of_view}"/>'
    )


def _room(layout: OpenLayout, rng: np.random.Generator, light: float) -> str:
    skirting = _rgba(rng, (0.0, 0.12), (0.0, 0.3), (0.25, 0.95))
    return shell(layout.room, skirting) + lamps(layout.room, rng, 0.82, light)


def _box(box: Box, index: int) -> str:
    turned = f'euler="0 0 {math.degrees(box.yaw)}"'
    return f"""
    <geom name="box{index}" type="box" size="{box.half_x} {box.half_y} {box.height / 2}"
      pos="{box.x} {box.y} {box.height / 2}" {turned} material="box"/>
    <geom type="box" size="{box.half_x + 0.02} {box.half_y + 0.02} 0.0005"
      pos="{box.x} {box.y} 0.001" {turned} {GROUND_SHADE}/>"""


def _stool(stool: Stool, index: int, rng: np.random.Generator) -> str:
    """A dark wooden stool: no hue that a thing has."""
    wood = _rgba(rng, (0.05, 0.08), (0.45, 0.6), (0.22, 0.34))
    return f"""
    <geom name="stool{index}" type="cylinder" size="{stool.radius} {stool.height / 2}"
      pos="{stool.x} {stool.y} {stool.height / 2}" rgba="{wood}"/>
    <geom type="cylinder" size="{stool.radius * 1.15} 0.0005" pos="{stool.x} {stool.y} 0.001"
      {GROUND_SHADE}/>"""


def _person(place: tuple[float, float], rng: np.random.Generator) -> str:
    """Dark trousers, a muted pullover, a head: moved by hand, so the robot cannot push it."""
    trousers = _rgba(rng, (0.55, 0.70), (0.1, 0.4), (0.10, 0.22))
    pullover = _rgba(rng, (0.70, 0.95), (0.10, 0.30), (0.25, 0.55))
    skin = _rgba(rng, (0.05, 0.08), (0.3, 0.6), (0.35, 0.9))
    legs, trunk = 0.43 * HEIGHT, 0.22 * HEIGHT
    return f"""
    <body name="{PERSON}" mocap="true" pos="{place[0]} {place[1]} 0">
      <geom name="{PERSON}" type="cylinder" size="{RADIUS} {HEIGHT / 2}" pos="0 0 {HEIGHT / 2}"
        group="3" rgba="0 0 0 0"/>
      <geom type="cylinder" size="{RADIUS * 1.1} 0.0005" pos="0 0 0.001" {GROUND_SHADE}/>
      <geom type="cylinder" size="{RADIUS * 0.75} {legs / 2}" pos="0 0 {legs / 2}"
        rgba="{trousers}" {UNTOUCHED}/>
      <geom type="cylinder" size="{RADIUS} {trunk}" pos="0 0 {legs + trunk}"
        rgba="{pullover}" {UNTOUCHED}/>
      <geom type="sphere" size="0.11" pos="0 0 {HEIGHT - 0.11}" rgba="{skin}" {UNTOUCHED}/>
    </body>"""
