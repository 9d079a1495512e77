"""Liver, gallbladder, spleen, kidneys, adrenals, pancreas, their vessels, and the back muscles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from networks.phantoms.body import Trunk, spine_y
from networks.phantoms.canvas import Canvas, Points, moved, rotation
from networks.phantoms.chest import NEAR_SPINE
from networks.phantoms.fields import FloatArray, SmoothField
from networks.phantoms.patient import Patient
from networks.phantoms.tissue import Tissue

INNER_FAT = (Tissue.VISCERAL_FAT, Tissue.DIAPHRAGM, Tissue.MUSCLE, Tissue.INTERMUSCULAR_FAT)


def _frame(axis: Sequence[float], front: Sequence[float]) -> Points:
    """Return rows: the long axis, the part of `front` across it, and their normal."""
    first = np.asarray(axis, dtype=np.float64)
    first = first / np.linalg.norm(first)
    second = np.asarray(front, dtype=np.float64)
    second = second - first * (first @ second)
    second = second / np.linalg.norm(second)
    return np.stack([first, second, np.cross(first, second)])


def _gap(canvas: Canvas, box: tuple[slice, slice, slice], patient: Patient, mm: float,
         radius: float, rng: np.random.Generator) -> FloatArray:  # fmt: skip
    """Return the rind of fat around an organ as a share of its radius; zero where organs touch."""
    mean = mm + 0.25 * patient.visceral_fat_mm
    field = canvas.field(box, SmoothField.draw(rng, sd=0.7 * abs(mm), step_mm=45.0))
    return np.clip((mean + field) / radius, 0, None).astype(np.float32)


def draw_back_muscles(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw psoas, quadratus lumborum and the crura of the diaphragm."""
    strength = patient.muscle**0.5 * float(np.clip(rng.normal(1, 0.08), 0.8, 1.2))
    for side in (-1, 1):
        spine = [(z, float(spine_y(z))) for z in (-5, -50, -95, -140, -190, -240, -300)]
        out = (24, 35, 42, 47, 58, 72, 88)
        forward = (8, 3, 2, 2, -12, -38, -48)
        psoas = [(z, y + f, side * o) for (z, y), f, o in zip(spine, forward, out)]
        canvas.draw_tube(
            psoas, np.array([7, 13, 18, 22, 22, 19, 15]) * strength, Tissue.PSOAS,
            over=INNER_FAT, visceral=0.15, stretch=(1, 0.95, 0.9),
        )  # fmt: skip
        square = [(-5, 66, side * 50), (-60, 62, side * 66), (-130, 66, side * 82)]
        canvas.draw_tube(
            square, np.array([8, 14, 17]) * strength, Tissue.MUSCLE, over=INNER_FAT, visceral=0,
            stretch=(1, 0.65, 1.2),
        )  # fmt: skip
        crus = [
            (52, 14, side * 14),
            (20, 24, side * 17),
            (-15, 30, side * 16),
            (-55, 34, side * 11),
        ]
        canvas.draw_tube(
            crus, [4.5, 5.5, 5.0, 3.0], Tissue.DIAPHRAGM, over=INNER_FAT, visceral=NEAR_SPINE,
            stretch=(1.2, 1.5, 0.8),
        )  # fmt: skip


def draw_kidneys(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw bean-shaped kidneys with medulla, sinus fat and renal pelvis, vessels and adrenals."""
    for side, name, cortex, medulla in (
        (-1.0, "kidney_right", Tissue.KIDNEY_RIGHT_CORTEX, Tissue.KIDNEY_RIGHT_MEDULLA),
        (1.0, "kidney_left", Tissue.KIDNEY_LEFT_CORTEX, Tissue.KIDNEY_LEFT_MEDULLA),
    ):
        shift = patient.organ_shift_mm[name]
        centre = np.array(
            [-45 + 6 * (side > 0) * 2 + shift[0], 36 + shift[1] * 0.8, side * 64 + shift[2]]
        )
        centre[0] += 0.25 * patient.breath_mm
        centre[2] += side * 0.15 * patient.visceral_fat_mm
        turn = rotation(*patient.organ_rotation_degrees[name])
        # long axis: upper pole towards the spine and the back; the hilum looks inwards and forwards
        frame = _frame((1.0, 0.22, -0.22 * side), (0.0, -0.55, -0.83 * side)) @ turn
        slim = float(np.clip(rng.normal(1, 0.07), 0.82, 1.2))
        box = canvas.box(centre, (78, 62, 62))
        along, inward, across = canvas.offset(box, centre, frame)
        inward = inward + 0.0042 * along**2
        level = np.sqrt(
            (along / (55 / slim)) ** 2 + (inward / (29 * slim)) ** 2 + (across / 25) ** 2
        )
        level += 0.035 * canvas.field(box, SmoothField.draw(rng, sd=1.0, step_mm=18.0))
        deep = float(np.clip(rng.normal(1, 0.14) + 0.006 * (patient.age_years - 55), 0.6, 1.4))
        sinus = np.sqrt(
            (along / (25 * deep)) ** 2
            + ((inward - 18) / (17 * deep)) ** 2
            + (across / (8 * deep)) ** 2
        )
        level = np.where(sinus < 1, 3.0, level)
        rind = _gap(canvas, box, patient, 7.0, 33.0, rng) + 0.04
        mask, surface = canvas.grow(
            box, level, cortex, volume_ml=patient.volume_ml[name], rind=rind
        )
        labels = canvas.labels[box]
        ring = canvas.field(box, SmoothField.draw(rng, sd=0.1, step_mm=14.0))
        labels[mask & (level < 0.76 * surface + ring)] = medulla
        hollow = (sinus < 1) & (canvas.room[box] == 2) & (inward < 25)
        labels[hollow] = Tissue.RENAL_SINUS
        canvas.room[box][hollow] = 0
        pelvis = hollow & (sinus < rng.uniform(0.35, 0.55)) & (inward > 8)
        labels[pelvis] = Tissue.RENAL_PELVIS
        hilum = centre + frame[1] @ np.eye(3) * 22
        root = np.array([-28.0, float(spine_y(-28)) - 34, 8.0 if side > 0 else -20.0])
        canvas.draw_tube(
            [root, 0.5 * (root + hilum) + (0, 4, 0), hilum], 4.6, Tissue.CENTRAL_VEIN,
            over=(*INNER_FAT, Tissue.RENAL_SINUS),
        )  # fmt: skip
        canvas.draw_tube(
            [moved(root, 2, 8, 0), 0.5 * (root + hilum) + (2, 9, 0), moved(hilum, 3, 2, 0)], 2.6,
            Tissue.ARTERY, over=(*INNER_FAT, Tissue.RENAL_SINUS),
        )  # fmt: skip
        upper = (centre[0] + 52, float(spine_y(0)) - 8, side * 33)
        for tip in ((14, 10, side * 6), (8, 6, -side * 9), (-16, -4, side * 8)):
            canvas.draw_tube(
                [upper, np.add(upper, tip)], [3.2, 2.2], Tissue.ADRENAL, over=INNER_FAT,
                visceral=0.6,
            )  # fmt: skip


def draw_gallbladder(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the gallbladder where the liver's under-surface will be."""
    if not patient.volume_ml["gallbladder"]:
        return
    shift = np.array(patient.organ_shift_mm["gallbladder"]) * 0.8
    neck = np.array([-18.0, -22.0, -36.0]) + shift
    fundus = moved(neck, -34 + rng.normal(0, 6), -36 + rng.normal(0, 7), -18 + rng.normal(0, 8))
    volume = patient.volume_ml["gallbladder"]
    size = float((volume / 30) ** (1 / 3))
    box, distance, _ = canvas.tube(
        [neck, 0.5 * (neck + fundus), fundus], np.array([5.0, 11.5, 14.5]) * size, reach_mm=9.0
    )
    level = 1 + distance / 15
    canvas.grow(box, level, Tissue.GALLBLADDER, volume_ml=volume, rind=0.05, limit=1.55)


def draw_liver(canvas: Canvas, trunk: Trunk, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the liver under the right dome, its left lobe across the midline, and its vessels."""
    shift = np.array(patient.organ_shift_mm["liver"])
    turn = rotation(*patient.organ_rotation_degrees["liver"])
    volume = patient.volume_ml["liver"]
    scale = float((volume / 1500) ** (1 / 3))
    centre = np.array([16.0 + 0.6 * patient.breath_mm, -8.0, -62.0]) + shift
    box = canvas.box(centre, (165, 112, 175))
    dz, dy, dx = canvas.offset(box, centre, turn)
    riedel = float(np.clip(rng.normal(1.0, 0.14), 0.75, 1.5))
    broad = float(np.clip(rng.normal(1.0, 0.1), 0.75, 1.3))
    # upwards the diaphragm bounds the liver, not its own shape
    tall = np.where(dz > 0, 140.0, 86.0 * riedel) * scale
    shrunk = patient.right_lobe
    right = np.sqrt(
        (dz / (tall * shrunk)) ** 2 + (dy / (86 * scale)) ** 2
        + ((dx + 8 * shrunk) / (76 * broad * scale * shrunk)) ** 2
    )  # fmt: skip
    long_left = float(np.clip(rng.normal(1.0, 0.2), 0.55, 1.6)) * (2 - shrunk)
    ly, lz, lx = dy + 38, dz - 26 + 0.12 * dx, dx - 62
    left = np.sqrt(
        (lz / np.where(lz > 0, 95, 50)) ** 2 + (ly / 44) ** 2 + (lx / (72 * long_left)) ** 2
    ) / np.float32(scale)
    # a soft union of the lobes
    sharp = np.float32(0.22)
    level = -sharp * np.log(np.exp(-right / sharp) + np.exp(-left / sharp))
    if patient.caudate:
        level = np.minimum(level, _caudate(dz, dy, dx, patient.caudate, scale))
    # the visceral face looks back, down and to the left
    hollow = (-0.55 * (dz + 18) + 0.62 * (dy - 6) + 0.56 * (dx - 22)) / 60
    level += 0.85 * np.maximum(hollow, 0)
    fissure = np.exp(-(((dx - 44) / 4.5) ** 2)) * np.clip((-dz + 30) / 40, 0, 1)
    level += 0.5 * fissure
    level += 0.05 * canvas.field(box, SmoothField.draw(rng, sd=1.0, step_mm=35.0))
    # the right lobe clings to the diaphragm and the wall
    wall = np.minimum(trunk.depth_mm[box], -0.8 * trunk.above_diaphragm_mm[box])
    cling = np.clip((dz + 55) / 45, 0, 1) / (1 + np.exp((dx - 68) / 12))
    level -= 0.42 * np.exp(-np.maximum(wall, 0) / 16) * cling
    rind = _gap(canvas, box, patient, 1.5, 80.0, rng)
    mask, _ = canvas.grow(box, level, Tissue.LIVER, volume_ml=volume, rind=rind, limit=3.0)
    if not mask.any():
        return
    porta = np.array([-12.0, -2.0, -30.0]) + shift * 0.7
    canvas.draw_tube(
        [(-42, 0, 0), (-28, 0, -14), porta], 6.2 * patient.portal_vein, Tissue.PORTAL_VEIN,
        over=INNER_FAT,
    )  # fmt: skip
    inside = (Tissue.LIVER,)
    trees: list[tuple[list[Points], float]] = []
    for goal in ((35, -5, -95), (-15, 10, -105), (40, 35, -90), (-30, -25, -90)):
        mid = porta + np.array([8.0, 0.0, -28.0])
        end = np.add(goal, shift)
        trees.append(([porta, mid, 0.5 * (mid + end) + rng.normal(0, 5, 3), end], 5.2))
    for goal in ((42, -45, 25), (15, -60, 5), (30, -40, 60)):
        mid = porta + np.array([14.0, -22.0, 22.0])
        trees.append(([porta, mid, np.add(goal, shift)], 4.4))
    vena = np.array([66.0 + 0.5 * patient.breath_mm, 6.0, -28.0])
    for goal in ((20, 25, -105), (10, -55, -70), (38, -50, 20), (-10, 40, -80), (45, -30, -110)):
        end = np.add(goal, shift)
        trees.append(([vena, 0.55 * vena + 0.45 * end + rng.normal(0, 6, 3), end], 4.6))
    for path, radius in trees:
        canvas.draw_tube(
            path, np.linspace(radius, 1.4, len(path)), Tissue.LIVER_VESSEL, over=inside
        )


def _caudate(
    dz: FloatArray, dy: FloatArray, dx: FloatArray, growth: float, scale: float
) -> FloatArray:
    """Return the level of a grown caudate lobe, between the vena cava and the left lobe."""
    size = np.float32(scale * (0.55 + 0.45 * min(growth, 1.4)))
    z, y, x = dz - 4, dy - 10, dx - 58
    return np.sqrt((z / (36 * size)) ** 2 + (y / (24 * size)) ** 2 + (x / (25 * size)) ** 2)


def spleen_centre(patient: Patient) -> Points:
    """Return the body point about which the spleen lies."""
    shift = patient.organ_shift_mm["spleen"]
    return np.array([18.0 + 0.45 * patient.breath_mm, 40.0, 96.0]) + shift


def draw_spleen(canvas: Canvas, trunk: Trunk, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the spleen as a crescent on the diaphragm along the tenth rib."""
    centre = spleen_centre(patient)
    turn = rotation(*patient.organ_rotation_degrees["spleen"])
    frame = _frame((-0.62, -0.62, 0.42), (0.0, 0.62, 0.78)) @ turn
    volume = patient.volume_ml["spleen"]
    scale = np.float32((volume / 180) ** (1 / 3))
    box = canvas.box(centre, (85, 85, 70))
    along, outward, across = canvas.offset(box, centre, frame)
    wall = np.minimum(trunk.depth_mm[box], -0.75 * trunk.above_diaphragm_mm[box] - 2)
    plump = float(np.clip(rng.normal(1, 0.12), 0.75, 1.35))
    level = np.sqrt(
        (along / (57 / plump)) ** 2 + (across / 38) ** 2 + (wall / (31 * plump)) ** 2
        + (np.minimum(outward + 20, 0) / 40) ** 2
    ) / scale  # fmt: skip
    level += 0.06 * canvas.field(box, SmoothField.draw(rng, sd=1.0, step_mm=22.0))
    rind = _gap(canvas, box, patient, 3.0, 35.0, rng)
    canvas.grow(box, level, Tissue.SPLEEN, volume_ml=volume, rind=rind, limit=2.6)
    if rng.random() < 0.15:
        extra = centre + frame @ np.array([5.0, -32.0, 0.0]) + rng.normal(0, 5, 3)
        canvas.draw_tube([extra], rng.uniform(4, 8), Tissue.SPLEEN, over=(Tissue.VISCERAL_FAT,))


def draw_pancreas(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the pancreas from the duodenal C to the splenic hilum, lobulated, and its vessels."""
    shift = np.array(patient.organ_shift_mm["pancreas"])
    lift = float(rng.normal(0, 14))
    head = np.array([-60.0, 2.0, -26.0]) + shift
    tail = moved(spleen_centre(patient), -12 + 0.3 * lift, -12, -34)
    body = np.array([-28.0 + lift * 0.6, -20.0, 14.0]) + shift * 0.8
    course = [moved(head, -14, 4, 2), head, moved(head, 22, -14, 18), body,
              0.5 * (body + tail) + (4, -4, 0), tail]  # fmt: skip
    volume = patient.volume_ml["pancreas"]
    size = float((volume / 75) ** 0.5)
    radius = np.array([11.0, 13.5, 8.5, 9.5, 10.0, 8.5]) * size
    radius *= np.clip(rng.normal(1, 0.1, 6), 0.75, 1.3)
    # the splenic vein runs behind it, the superior mesenteric vein in the groove of its neck
    vein = [np.add(p, (2, 13, 0)) for p in course[2:]]
    canvas.draw_tube([(-42, 0, 0), *vein], 4.3, Tissue.PORTAL_VEIN, over=(Tissue.VISCERAL_FAT,))
    groove = np.array([-50.0, 0.0, -2.0]) + 0.6 * shift
    artery = moved(groove, 6, 8, 12)
    canvas.draw_tube(
        [(-42, 0, 0), groove, moved(groove, -45, -6, 4), moved(groove, -95, -18, -6)],
        [5.5, 5.5, 5, 3],
        Tissue.PORTAL_VEIN, over=(Tissue.VISCERAL_FAT,),
    )  # fmt: skip
    for end, r in (((-30, -8, 0), 3.4), ((-95, -14, 2), 2.6)):
        canvas.draw_tube(
            [(-14, float(spine_y(-14)) - 34, 8), artery, artery + end], r, Tissue.ARTERY,
            over=(Tissue.VISCERAL_FAT,),
        )  # fmt: skip
    box, distance, _ = canvas.tube(course, radius, reach_mm=14.0)
    lobes = canvas.field(box, SmoothField.draw(rng, sd=1.0, step_mm=9.0))
    lobes *= np.float32(1.3 + 3.2 * patient.pancreas_fat)
    level = 1 + (distance + lobes) / 11
    gap = _gap(canvas, box, patient, 2.0, 11.0, rng)
    canvas.grow(box, level, Tissue.PANCREAS, volume_ml=volume, rind=gap, limit=2.1)
