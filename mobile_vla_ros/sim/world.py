"""The MuJoCo model of one field, built by code: room, boxes, bottle, robot, light."""

from __future__ import annotations

import math

import numpy as np

from mobile_vla_ros.pictures import encode_png
from mobile_vla_ros.sim import textures
from mobile_vla_ros.sim.camera import CameraSettings, camera_mjcf
from mobile_vla_ros.sim.engine import mujoco
from mobile_vla_ros.sim.layout import BOTTLE_HEIGHT, BOTTLE_RADIUS, Layout
from mobile_vla_ros.sim.robot import ACTUATORS, robot_mjcf
from mobile_vla_ros.sim.room import GROUND_SHADE, grey, lamps, shell

TIMESTEP = 0.005  # s


def build_model(layout: Layout, camera: CameraSettings) -> mujoco.MjModel:
    """Compiles the field; colours, textures and light are drawn from the layout's seed."""
    xml, assets = build_mjcf(layout, camera)
    return mujoco.MjModel.from_xml_string(xml, assets)


def build_mjcf(layout: Layout, camera: CameraSettings) -> tuple[str, dict[str, bytes]]:
    """The field as MJCF text and the PNG files that it names."""
    rng = np.random.default_rng([layout.seed, 202])
    pictures: dict[str, np.ndarray] = {
        "floor": textures.floor(rng),
        "wall": textures.wall(rng),
        "poster0": textures.poster(rng),
        "poster1": textures.poster(rng),
    }
    parts = [_room(layout, rng)]
    for index, box in enumerate(layout.boxes):
        pictures[f"side{index}"] = textures.cardboard(rng, lid=False)
        pictures[f"lid{index}"] = textures.cardboard(rng, lid=True)
        parts.append(
            f"""
    <geom name="box{index}" type="box" size="{box.half_x} {box.half_y} {box.height / 2}"
      pos="{box.x} {box.y} {box.height / 2}" euler="0 0 {math.degrees(box.yaw)}"
      material="box{index}"/>
    <geom type="box" size="{box.half_x + 0.02} {box.half_y + 0.02} 0.0005"
      pos="{box.x} {box.y} 0.001" euler="0 0 {math.degrees(box.yaw)}" {GROUND_SHADE}/>"""
        )
    label_colour = textures.colour(rng, (-0.04, 0.04), (0.7, 0.9), (0.7, 0.95))
    pictures["label"] = textures.label(rng, label_colour)
    parts.append(_bottle(layout.bottle, rng))
    parts.append(robot_mjcf(layout.start, camera_mjcf(camera)))

    boxes = "".join(
        f"""
    <texture name="box{i}" type="cube" fileright="side{i}.png" fileleft="side{i}.png"
      fileup="side{i}.png" filedown="side{i}.png" filefront="lid{i}.png" fileback="lid{i}.png"/>
    <material name="box{i}" texture="box{i}" specular="0.05" shininess="0.1"/>"""
        for i in range(len(layout.boxes))
    )
    tiles = 1.0 / rng.uniform(0.8, 1.3)
    xml = f"""<mujoco model="field">
  <compiler angle="degree" autolimits="true"/>
  <option timestep="{TIMESTEP}" integrator="implicitfast" cone="pyramidal" iterations="20"/>
  <visual>
    <global offwidth="{camera.width}" offheight="{camera.height}"/>
    <quality shadowsize="{2048 if camera.shadows else 0}" offsamples="{camera.samples}"/>
    <headlight ambient="{grey(rng.uniform(0.30, 0.42))}"
      diffuse="{grey(rng.uniform(0.10, 0.25))}" specular="0 0 0"/>
    <map znear="0.02" zfar="30"/>
  </visual>
  <asset>
    <texture name="floor" type="2d" file="floor.png"/>
    <material name="floor" texture="floor" texuniform="true" texrepeat="{tiles} {tiles}"
      specular="0.1" shininess="0.2"/>
    <texture name="wall" type="2d" file="wall.png"/>
    <material name="wall" texture="wall" texuniform="true" texrepeat="0.5 0.5" specular="0"/>
    <texture name="poster0" type="cube" file="poster0.png"/>
    <material name="poster0" texture="poster0" specular="0.1"/>
    <texture name="poster1" type="cube" file="poster1.png"/>
    <material name="poster1" texture="poster1" specular="0.1"/>
    <texture name="label" type="2d" file="label.png"/>
    <material name="label" texture="label" specular="0.2"/>{boxes}
  </asset>
  <worldbody>{"".join(parts)}
  </worldbody>
  <actuator>{ACTUATORS}
  </actuator>
</mujoco>
"""
    return xml, {f"{name}.png": encode_png(image) for name, image in pictures.items()}


def _room(layout: Layout, rng: np.random.Generator) -> str:
    _, x_max, y_min, y_max = layout.room
    skirting = textures.colour(rng, (0.0, 0.12), (0.0, 0.3), (0.25, 0.95))
    parts = [shell(layout.room, " ".join(f"{c:.4f}" for c in skirting) + " 1")]
    for index in range(2):
        wide, high = rng.uniform(0.2, 0.5), rng.uniform(0.2, 0.4)
        y = rng.uniform(y_min + 0.6, y_max - 0.6)
        z = rng.uniform(0.8, 1.4)
        if index == 0:
            place, size = f"{x_max} {y} {z}", f"0.012 {wide} {high}"
        else:
            sign = 1 if rng.random() < 0.5 else -1
            wall_y = y_max if sign > 0 else y_min
            place = f"{rng.uniform(0.5, x_max - 0.7)} {wall_y} {z}"
            size = f"{wide} 0.012 {high}"
        parts.append(
            f"""
    <geom type="box" size="{size}" pos="{place}" material="poster{index}" contype="0"
      conaffinity="0"/>"""
        )
    parts.append(lamps(layout.room, rng, 0.88))
    return "".join(parts)


def _bottle(place: tuple[float, float], rng: np.random.Generator) -> str:
    """A green bottle with a red label: hues that neither carton nor room has."""
    x, y = place
    r, tall = BOTTLE_RADIUS, BOTTLE_HEIGHT
    body = textures.colour(rng, (0.33, 0.42), (0.75, 0.95), (0.45, 0.70))
    cap = textures.colour(rng, (0.0, 1.0), (0.0, 0.9), (0.6, 0.95))
    green = f'rgba="{" ".join(f"{c:.4f}" for c in body)} 1"'
    lid = f'rgba="{" ".join(f"{c:.4f}" for c in cap)} 1"'
    yaw = rng.uniform(0, 360)
    body_height = 0.64 * tall

    def part(kind: str, size: str, height: float, look: str) -> str:
        return (
            f'\n      <geom type="{kind}" size="{size}" pos="0 0 {height}" {look} '
            'contype="0" conaffinity="0"/>'
        )

    parts = (
        part("cylinder", f"{r} {body_height / 2}", body_height / 2, green)
        + part("cylinder", f"{r * 1.02} {0.13 * tall}", 0.38 * tall, 'material="label"')
        + part("ellipsoid", f"{r} {r} {0.19 * tall}", body_height, green)
        + part("cylinder", f"{r * 0.36} {0.07 * tall}", 0.87 * tall, green)
        + part("cylinder", f"{r * 0.42} {0.035 * tall}", 0.965 * tall, lid)
    )
    return f"""
    <geom type="cylinder" size="{r * 1.5} 0.0005" pos="{x} {y} 0.001" {GROUND_SHADE}/>
    <geom name="bottle" type="cylinder" size="{r} {tall / 2}" pos="{x} {y} {tall / 2}" group="3"
      rgba="0 0 0 0"/>
    <body name="bottle_looks" pos="{x} {y} 0" euler="0 0 {yaw}">{parts}
    </body>"""
