"""Great vessels, airways, oesophagus, heart with its fat, and the lungs with their vessels."""

from __future__ import annotations

import numpy as np

from networks.phantoms.body import Trunk, spine_y
from networks.phantoms.canvas import THORAX, Canvas, moved, rotation
from networks.phantoms.fields import SmoothField
from networks.phantoms.patient import Patient
from networks.phantoms.tissue import Tissue

FAT = (
    Tissue.MEDIASTINAL_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.DIAPHRAGM,
    Tissue.MUSCLE,
    Tissue.INTERMUSCULAR_FAT,
)
NEAR_SPINE = 0.35
"""Share of the visceral warp that vessels on the spine follow."""


def draw_aorta(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the aorta from its root to the bifurcation, the arch branches and the iliac arteries."""
    age = (patient.age_years - 55) / 30
    wide = float((11.9 + 1.4 * age + rng.normal(0, 0.9)) * (1.04 if patient.sex == "M" else 0.93))
    unfold = float(np.clip(6 * age + rng.normal(0, 4), -6, 16))
    lean = float(rng.normal(0, 5))
    ascending = [
        (112, -14, 4), (135, -30, -10), (165, -36, -20 - 0.4 * unfold), (195, -28, -18),
        (212 + unfold * 0.5, -8, -4), (213 + unfold * 0.5, 16, 14 + unfold * 0.4),
        (198, 36, 25 + unfold * 0.5), (170, 44, 27 + unfold),
    ]  # fmt: skip
    descending = [
        (z, float(spine_y(z)) - gap, x + unfold * share + lean)
        for z, gap, x, share in (
            (120, 16, 25, 0.9), (70, 22, 21, 0.8), (30, 28, 14, 0.4), (-10, 33, 8, 0.1),
            (-50, 35, 7, 0), (-90, 35, 8, 0), (-122, 34, 7, 0),
        )
    ]  # fmt: skip
    radius = [*[wide * f for f in (1.32, 1.34, 1.3, 1.25, 1.15, 1.08, 1.02, 1.0)]]
    radius += [wide * f for f in (0.97, 0.93, 0.9, 0.8, 0.74, 0.68, 0.64)]
    canvas.draw_tube([*ascending, *descending], radius, Tissue.AORTA, over=FAT, visceral=NEAR_SPINE)
    fork = np.array(descending[-1])
    for side in (-1, 1):
        leg = [
            fork,
            moved(fork, -30, 2, side * 20),
            moved(fork, -75, 8, side * 42),
            moved(fork, -125, -10, side * 68),
        ]
        canvas.draw_tube(leg, wide * 0.42, Tissue.ARTERY, over=FAT, visceral=NEAR_SPINE)
        vein = moved(leg, -4, 10, side * 2 - 8)
        canvas.draw_tube(vein, wide * 0.5, Tissue.CENTRAL_VEIN, over=FAT, visceral=NEAR_SPINE)
    branches = (
        ([ascending[3], (235, -14, -24), (275, -8, -34), (330, -4, -34)], 5.8),
        ([ascending[4], (240, -4, 8), (280, 2, 26), (330, -2, 32)], 4.2),
        ([ascending[5], (242, 18, 26), (272, 20, 40), (285, 15, 95), (280, 20, 150)], 4.8),
    )
    for path, r in branches:
        canvas.draw_tube(path, r, Tissue.ARTERY, over=FAT, visceral=NEAR_SPINE)


def draw_veins(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw both venae cavae and the brachiocephalic and hepatic veins' mouths."""
    wide = float(np.clip(12 + rng.normal(0, 1.6), 8.5, 15.5))
    flat = float(np.clip(rng.normal(0.85, 0.15), 0.5, 1.05))
    lean = float(rng.normal(0, 4))
    low = [
        (z, float(spine_y(z)) - gap, x + lean)
        for z, gap, x in ((-128, 30, -20), (-95, 33, -22), (-50, 34, -22), (-10, 36, -24))
    ]
    high = [(30, 16, -28), (58, 4, -27), (84, -6, -22)]
    canvas.draw_tube(
        [*low, *high], wide, Tissue.INFERIOR_VENA_CAVA, over=FAT, visceral=NEAR_SPINE,
        stretch=(1, flat, 1.05),
    )  # fmt: skip
    for path, radius in (
        ([(120, -10, -30), (160, -16, -32), (205, -20, -30), (228, -26, -32)], 9.0),
        ([(228, -26, -32), (262, -14, -42), (290, 5, -110)], 7.5),
        ([(222, -28, -30), (232, -36, 0), (252, -22, 36), (285, 2, 105)], 7.0),
        ([(40, 44, -4), (120, 50, -6), (175, 40, -14), (180, 5, -28)], 4.0),
    ):
        canvas.draw_tube(path, radius, Tissue.CENTRAL_VEIN, over=FAT, visceral=NEAR_SPINE)


def draw_airways(canvas: Canvas, rng: np.random.Generator) -> None:
    """Draw oesophagus, trachea and the main and lobar bronchi."""
    canvas.draw_tube(
        [(335, 12, 2), (260, 26, 5), (190, 32, 6), (130, 36, 4), (80, 32, 10), (52, 18, 20)],
        rng.uniform(6.0, 9.5), Tissue.OESOPHAGUS, over=FAT, visceral=NEAR_SPINE,
        stretch=(1, 0.75, 1.15),
    )  # fmt: skip
    carina = np.array((186.0, 10.0, 2.0))
    right, left = moved(carina, -20, 6, -26), moved(carina, -30, 10, 36)
    tree = [
        ([(340, -2, 0), (260, 4, -2), carina], 8.6),
        ([carina, right, moved(right, -22, 4, -16)], 6.6),
        ([carina, left, moved(left, -12, 8, 12)], 6.0),
        ([right, moved(right, 14, -2, -20)], 4.2),
        ([moved(right, -18, 2, -14), moved(right, -55, 18, -26)], 4.0),
        ([left, moved(left, 16, -8, 16)], 4.0),
        ([moved(left, -8, 6, 8), moved(left, -48, 22, 20)], 3.9),
    ]
    for path, radius in tree:
        canvas.draw_tube(path, radius + 1.5, Tissue.AIRWAY_WALL, over=FAT, visceral=NEAR_SPINE)
    for path, radius in tree:
        canvas.draw_tube(
            path, radius, Tissue.AIRWAY_LUMEN, over=(Tissue.AIRWAY_WALL,), visceral=NEAR_SPINE
        )


def draw_heart(canvas: Canvas, trunk: Trunk, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the heart on the diaphragm, its chambers and fat, and the pulmonary arteries."""
    shift = patient.organ_shift_mm["heart"]
    centre = (
        95 + 0.6 * patient.breath_mm + shift[0], -30 + shift[1], 24 + shift[2],
    )  # fmt: skip
    turn = rotation(*patient.organ_rotation_degrees["heart"])
    # the long axis runs to the left, to the front and down
    long_axis = np.array([-0.42, -0.5, 0.76])
    across = np.cross(long_axis, [1, 0, 0])
    across /= np.linalg.norm(across)
    frame = np.stack([long_axis, across, np.cross(long_axis, across)]) @ turn
    box = canvas.box(centre, (95, 90, 95))
    a, b, c = canvas.offset(box, centre, frame)
    level = np.sqrt((a / 66) ** 2 + (b / 50) ** 2 + (c / 49) ** 2)
    level += 0.06 * canvas.field(box, SmoothField.draw(rng, sd=1.0, step_mm=40.0))
    fat = 0.12 + 0.006 * (patient.bmi - 24) + 0.05 * rng.standard_normal()
    lumpy = canvas.field(box, SmoothField.draw(rng, sd=0.07, step_mm=30.0))
    rind = np.clip(fat + lumpy, 0.02, 0.35)
    mask, surface = canvas.grow(
        box, level, Tissue.RIGHT_HEART, volume_ml=patient.volume_ml["heart"], room=THORAX, rind=rind
    )
    labels = canvas.labels[box]
    near = (level < surface + rind) & (labels == Tissue.MEDIASTINAL_FAT)
    labels[near & (trunk.above_diaphragm_mm[box] > 1)] = Tissue.PERICARDIAL_FAT
    # left ventricle: a thick shell around its cavity, towards the back left
    ventricle = np.sqrt(((a - 14) / 50) ** 2 + ((b + 13) / 33) ** 2 + ((c - 8) / 33) ** 2)
    wall = float(rng.uniform(0.66, 0.74))
    labels[mask & (ventricle < 1)] = Tissue.MYOCARDIUM
    labels[mask & (ventricle < wall)] = Tissue.LEFT_HEART
    atrium = np.sqrt(((a + 36) / 28) ** 2 + ((b + 22) / 26) ** 2 + ((c - 4) / 30) ** 2)
    labels[mask & (atrium < 1)] = Tissue.LEFT_HEART
    thin = mask & (level > surface - 0.06) & (labels == Tissue.RIGHT_HEART)
    labels[thin] = Tissue.MYOCARDIUM
    over = (*FAT, Tissue.PERICARDIAL_FAT)
    fork = (163, -4, 8)
    for path, radius in (
        ([(128, -42, 16), (148, -30, 20), fork], 12.5),
        ([fork, (163, 4, -18), (158, 10, -46)], 9.5),
        ([fork, (172, 10, 30), (166, 22, 50)], 9.5),
        ([(130, 12, -45), (128, 12, -18)], 6.5),
        ([(132, 20, 48), (128, 14, 20)], 6.5),
    ):
        canvas.draw_tube(path, radius, Tissue.PULMONARY_ARTERY, over=over, visceral=NEAR_SPINE)


def draw_lungs(canvas: Canvas, trunk: Trunk, patient: Patient, rng: np.random.Generator) -> None:
    """Fill what the mediastinum leaves of the thoracic cavity with lung, then draw its vessels."""
    z_axis = canvas.axes[0] / canvas.size[0]
    _, y, x = canvas.body
    fat = 1 + 0.02 * (patient.bmi - 24)
    waist = np.interp(z_axis, [-40, 60, 100, 150, 195, 230, 280], [19, 17, 22, 33, 33, 31, 27])
    lean = np.interp(z_axis, [-40, 60, 120, 200], [0, 6, 4, 0]) + rng.normal(0, 3)
    front = np.interp(z_axis, [40, 120, 170, 200, 230, 260], [12, 6, 4, 10, 22, 28])
    shape = tuple(value.astype(np.float32)[:, None, None] for value in (waist * fat, front, lean))
    # narrow in front (the anterior junction line), wide around the vessels and the spine
    run = np.clip((y + 78) / 40, 0, 1)
    edge = shape[1] + (shape[0] - shape[1]) * run
    wobble = SmoothField.draw(rng, sd=2.5, step_mm=45.0).on_grid(canvas.axes)
    across = x - shape[2]
    free = (canvas.room == THORAX) & (trunk.above_diaphragm_mm > 3.0)
    free &= trunk.depth_mm > 2.0
    wobble += np.abs(across)
    free &= wobble > edge
    side = across < 0
    canvas.labels[free & side] = Tissue.LUNG_RIGHT
    canvas.labels[free & ~side] = Tissue.LUNG_LEFT
    canvas.room[free] = 0
    for side_sign, lung, vessel in (
        (-1.0, Tissue.LUNG_RIGHT, Tissue.LUNG_RIGHT_VESSEL),
        (1.0, Tissue.LUNG_LEFT, Tissue.LUNG_LEFT_VESSEL),
    ):
        hilum = np.array([152.0, 14.0, side_sign * 48])
        for _ in range(38):
            goal = np.array(
                [rng.uniform(0, 255), rng.uniform(-75, 75), side_sign * rng.uniform(45, 122)]
            )
            bend = 0.55 * hilum + 0.45 * goal + rng.normal(0, 9, 3)
            size = rng.uniform(2.4, 4.2)
            canvas.draw_tube(
                [hilum + rng.normal(0, 5, 3), bend, goal], [size, 0.55 * size, 0.9], vessel,
                over=(lung,), visceral=NEAR_SPINE,
            )  # fmt: skip
