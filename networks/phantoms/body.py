"""The trunk: skin, fat rim, muscle wall, thoracic and abdominal cavity, diaphragm, arms, table.

Outlines are superellipses whose half-axes are tabulated along the body axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import PchipInterpolator

from networks.phantoms.canvas import ABDOMEN, THORAX, Canvas
from networks.phantoms.fields import FloatArray, SmoothField
from networks.phantoms.patient import Patient
from networks.phantoms.tissue import Tissue

_Z = (-330, -260, -200, -140, -80, -20, 40, 100, 160, 210, 245, 270, 290, 310, 340)
_TABLES = {
    # half-axes of the cavity at the side, in front, behind; of the muscle wall around it; fat share
    "side": (85, 103, 115, 116, 117, 123, 128, 128, 120, 105, 84, 62, 40, 22, 16),
    "front": (58, 60, 62, 62, 66, 78, 89, 91, 84, 70, 52, 37, 22, 12, 8),
    "back": (85, 85, 70, 58, 61, 70, 83, 87, 85, 77, 65, 52, 38, 22, 12),
    "wall_side": (72, 62, 38, 17, 14, 13, 14, 16, 28, 50, 78, 95, 100, 72, 50),
    "wall_front": (28, 22, 14, 11, 11, 12, 15, 18, 21, 22, 22, 22, 22, 25, 30),
    "wall_back": (55, 50, 46, 38, 32, 26, 21, 22, 28, 36, 40, 45, 48, 48, 45),
    # what the back muscles bulge out behind the wall
    "bulge_back": (2, 4, 8, 14, 15, 12, 6, 4, 2, 0, 0, 0, 0, 0, 0),
    "fat_front": (1.1, 1.1, 1.1, 1.1, 1.0, 0.75, 0.5, 0.4, 0.35, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3),
    "fat_side": (1.5, 1.4, 1.3, 1.1, 1.0, 0.9, 0.75, 0.7, 0.7, 0.6, 0.5, 0.4, 0.4, 0.4, 0.4),
    "fat_back": (1.3, 1.3, 1.2, 1.1, 1.0, 0.85, 0.7, 0.6, 0.6, 0.6, 0.7, 0.7, 0.7, 0.7, 0.7),
    "belly": (0.2, 0.4, 0.8, 1.0, 1.0, 0.8, 0.35, 0.1, 0, 0, 0, 0, 0, 0, 0),
}
_SPINE_Z = (-330, -260, -215, -180, -130, -80, -20, 40, 100, 160, 210, 250, 290, 330)
_SPINE_Y = (70, 72, 62, 50, 42, 40, 46, 56, 62, 62, 56, 46, 36, 26)

spine_y = PchipInterpolator(_SPINE_Z, _SPINE_Y)
"""y of the middle of the vertebral bodies at body z, mm."""

SQUARENESS = 0.45
"""Weight of the mixed term of the outlines: 0 is an ellipse, larger is squarer."""


def outline(name: str, z: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Look up one of the tables along the body axis at body z in mm."""
    return PchipInterpolator(_Z, _TABLES[name])(np.clip(z, _Z[0], _Z[-1]))


@dataclass
class Trunk:
    """What the organs need to know of the cavity."""

    depth_mm: FloatArray
    """(S, R, C): distance inwards from the wall of the cavity, approximate, patient mm."""

    above_diaphragm_mm: FloatArray
    """(S, R, C): height above the diaphragm, patient mm; +200 far above, -200 far below."""

    back_mm: float
    """How far the skin of the back reaches behind y = 0, patient mm."""

    front_mm: float
    """How far the skin of the belly and chest reaches in front of y = 0, patient mm."""


def _level(canvas: Canvas, side: FloatArray, front: FloatArray, back: FloatArray) -> FloatArray:
    """Return the superellipse radius, 1 on the outline; half-axes are (S, 1, 1) in body mm."""
    y = canvas.body[1]
    v = np.where(y < 0, y / front, y / back)
    v *= v
    u = canvas.body[2] / side
    u *= u
    q = u + v
    # the mixed term is held beyond the outline, or the far corners would count as inside
    np.minimum(u, 1.3, out=u)
    np.minimum(v, 1.3, out=v)
    u *= v
    u *= np.float32(SQUARENESS)
    q -= u
    return np.sqrt(np.maximum(q, 0, out=q), out=q)


def draw_trunk(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> Trunk:
    """Draw skin, fat, muscle wall and diaphragm, and open the two cavities."""
    z = canvas.axes[0] / canvas.size[0]
    t = {name: outline(name, z).astype(np.float32)[:, None, None] for name in _TABLES}
    belly = np.float32(patient.visceral_fat_mm) * t["belly"]
    side, front, back = t["side"] + 0.45 * belly, t["front"] + belly, t["back"]
    muscle = np.float32(patient.muscle**0.5)
    wall = [t["wall_side"] * muscle, t["wall_front"] * muscle, t["wall_back"] * muscle**0.5]
    if patient.arms_up:
        wall[0] = wall[0] - 18 * np.clip((z[:, None, None] - 215) / 40, 0, 1)
    rim = [
        np.float32(thickness) * t[f"fat_{name}"]
        for thickness, name in zip(
            (patient.subcutaneous_mm[1], patient.subcutaneous_mm[0], patient.subcutaneous_mm[2]),
            ("side", "front", "back"),
        )
    ]
    outer = [axis + w for axis, w in zip((side, front, back), wall)]
    skin = [axis + f for axis, f in zip(outer, rim)]
    skin[2] = skin[2] + t["bulge_back"]
    labels = canvas.labels

    level = _level(canvas, *skin)
    labels[level < 1] = Tissue.SKIN
    labels[level < 1 - 2.0 / 150] = Tissue.SUBCUTANEOUS_FAT
    back_mm = float(skin[2].max() * canvas.size[1])
    front_mm = float(skin[1].max() * canvas.size[1])
    level = _level(canvas, *outer)
    fascia = SmoothField.draw(rng, sd=1.0, step_mm=16.0)
    in_wall = level < 1
    labels[in_wall] = Tissue.MUSCLE
    cut = 1.75 - 0.02 * (patient.bmi - 24) - 0.006 * (patient.age_years - 50)
    labels[in_wall & (fascia.on_grid(canvas.axes) > cut)] = Tissue.INTERMUSCULAR_FAT

    level = _level(canvas, side, front, back)
    above = _height_above_diaphragm(canvas, patient, rng)
    cavity = level < 1
    labels[cavity] = Tissue.DIAPHRAGM
    thorax = cavity & (above > 1.5)
    abdomen = cavity & (above < -2.5)
    labels[thorax] = Tissue.MEDIASTINAL_FAT
    labels[abdomen] = Tissue.VISCERAL_FAT
    canvas.room[thorax] = THORAX
    canvas.room[abdomen] = ABDOMEN
    level -= 1
    level *= np.float32(-105.0)
    return Trunk(depth_mm=level, above_diaphragm_mm=above, back_mm=back_mm, front_mm=front_mm)


def _height_above_diaphragm(
    canvas: Canvas, patient: Patient, rng: np.random.Generator
) -> FloatArray:
    """Return the height of each voxel above the diaphragm's two domes, patient mm."""
    domes = (rng.normal(8, 5), rng.normal(-6, 5))
    ripple = SmoothField.draw(rng, sd=4.5, step_mm=60.0)
    above = np.full(canvas.shape, -200.0, dtype=np.float32)
    z_axis = canvas.axes[0] / canvas.size[0]
    low, high = np.searchsorted(z_axis, (-75.0, 145.0))
    above[high:] = 200.0
    if high <= low:
        return above
    part = slice(int(low), int(high))
    z, y, x = (canvas.body[axis][part] for axis in range(3))
    v = np.where(y < 0, y / 92, y / 85) ** 2
    u = (x / 129) ** 2
    q = np.clip(u + v - SQUARENESS * u * v, 0, 1.3)
    side = np.tanh(x / 30)
    dome = np.float32(0.5 * (domes[0] + domes[1])) + np.float32(0.5 * (domes[1] - domes[0])) * side
    height = (
        -12
        - 0.2 * y
        + patient.breath_mm * (1 - q)
        + (96 + dome) * (1 - q * np.sqrt(q))
        - 20 * np.exp(-((x - 8) ** 2) / 35**2) * np.maximum(1 - q, 0)
    )
    # close below the ribs' lower edge, so that the costal recess ends
    height = np.maximum(height, -60)
    box = (part, slice(None), slice(None))
    above[part] = (z - height) * np.float32(canvas.size[0]) + canvas.field(box, ripple)
    return above


def draw_breasts(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw breasts of fat and gland outside the muscle wall."""
    large = float(np.clip(28 + 1.6 * (patient.bmi - 20) + rng.normal(0, 6), 16, 70))
    gland = float(np.clip(0.75 - 0.006 * (patient.age_years - 30) + rng.normal(0, 0.1), 0.25, 0.9))
    drop = float(rng.normal(0, 12))
    z = 125 + drop
    front = (
        float(outline("front", z))
        + float(outline("wall_front", z)) * patient.muscle**0.5
        + float(outline("fat_front", z)) * patient.subcutaneous_mm[0]
    )
    y = -0.9 * front
    for side in (-1, 1):
        for scale, tissue in ((1.0, Tissue.SKIN), (0.95, Tissue.SUBCUTANEOUS_FAT)):
            canvas.draw_tube(
                [(z, y, side * 70), (z - 7, y - 6, side * 76)],
                large * 1.15 * scale,
                tissue,
                over=(Tissue.AIR, Tissue.SKIN),
                visceral=0,
                stretch=(1.1, 0.62, 1.1),
            )
        canvas.draw_tube(
            [(z, y - 10, side * 72), (z - 5, y - 14, side * 74)],
            large * 0.6 * gland,
            Tissue.BREAST_GLAND,
            over=(Tissue.SUBCUTANEOUS_FAT,),
            visceral=0,
            stretch=(1.1, 0.6, 1.1),
        )


def draw_arms(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the arms: beside the trunk, or raised so that only their roots show."""
    rim = 0.5 * patient.subcutaneous_mm[1] + 3
    flesh = 33 * patient.muscle**0.5
    for side in (-1, 1):
        if patient.arms_up:
            path = [(262, 30, side * 140), (300, 22, side * 172), (345, 10, side * 185)]
        else:
            out = 158 + 0.5 * patient.visceral_fat_mm + patient.subcutaneous_mm[1]
            path = [
                (285, 28, side * 160),
                (240, 34, side * max(178, out + 22)),
                (120, 40, side * (out + 38)),
                (-20, 30, side * (out + 34 + rng.normal(0, 6))),
                (-200, -10, side * (out + 30 + rng.normal(0, 8))),
                (-340, -30, side * (out + 26)),
            ]
        taper = np.linspace(1.0, 0.78, len(path))
        outside = (Tissue.AIR, Tissue.SKIN)
        canvas.draw_tube(
            path, (flesh + rim + 2) * taper, Tissue.SKIN, over=(Tissue.AIR,), visceral=0
        )
        canvas.draw_tube(
            path, (flesh + rim) * taper, Tissue.SUBCUTANEOUS_FAT, over=outside, visceral=0
        )
        fat = (*outside, Tissue.SUBCUTANEOUS_FAT)
        canvas.draw_tube(path, flesh * taper, Tissue.MUSCLE, over=fat, visceral=0)
        within = (Tissue.MUSCLE, Tissue.SUBCUTANEOUS_FAT, Tissue.INTERMUSCULAR_FAT)
        for radius, tissue in ((12.0, Tissue.BONE_CORTEX), (8.5, Tissue.BONE_MARROW)):
            canvas.draw_tube(
                path, radius * taper, tissue, over=(*within, Tissue.BONE_CORTEX), visceral=0
            )
        for radius, tissue in ((24.0, Tissue.BONE_CORTEX), (21.5, Tissue.BONE_MARROW)):
            canvas.draw_tube(
                path[:1], radius, tissue, over=(*within, Tissue.BONE_CORTEX), visceral=0
            )


def draw_table(canvas: Canvas, trunk: Trunk, patient: Patient, rng: np.random.Generator) -> None:
    """Draw a curved table top below the patient: a thin shell around foam."""
    _, y, x = canvas.axes
    width = rng.uniform(190, 250)
    radius = rng.uniform(380, 1200)
    thickness = rng.uniform(22, 45)
    shell_mm = max(4.0, 1.4 * canvas.spacing_mm)
    lowest = trunk.back_mm if canvas.down > 0 else trunk.front_mm
    surface = lowest + patient.table_top_mm - x**2 / (2 * radius)
    below = canvas.down * y[:, None] - surface[None, :]
    within = np.abs(x)[None, :] < width
    shell = within & (below > 0) & (below < thickness)
    foam = within & (below > shell_mm) & (below < thickness - shell_mm)
    table = np.where(foam, Tissue.TABLE_FOAM, np.where(shell, Tissue.TABLE_SHELL, 0))
    empty = canvas.labels == Tissue.AIR
    canvas.labels[...] = np.where(empty, table[None], canvas.labels).astype(np.uint8)
