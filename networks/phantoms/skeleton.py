"""Spine, ribs with their cartilage, sternum, shoulder girdle and pelvis."""

from __future__ import annotations

import numpy as np

from networks.phantoms.body import outline, spine_y
from networks.phantoms.canvas import Canvas, Points
from networks.phantoms.patient import Patient
from networks.phantoms.tissue import Tissue

SOFT = (
    Tissue.MUSCLE,
    Tissue.INTERMUSCULAR_FAT,
    Tissue.SUBCUTANEOUS_FAT,
    Tissue.VISCERAL_FAT,
    Tissue.MEDIASTINAL_FAT,
    Tissue.DIAPHRAGM,
    Tissue.PARASPINAL_MUSCLE,
    Tissue.PSOAS,
)

_PITCH = (
    # height of vertebra with its lower disc, caudal to cranial: L5…L1, T12…T1, C7…C5 [mm]
    *(36.0, 36.5, 36.0, 35.0, 33.0),
    *(30.0, 27.5, 26.0, 25.0, 24.0, 23.5, 23.0, 22.0, 21.0, 20.5, 20.0, 19.5),
    *(17.0, 16.0, 16.0),
)
_LUMBAR = 5


def vertebra_levels() -> Points:
    """Return the (20, 2) lower and upper z of each vertebra with its disc below, body mm."""
    top = np.cumsum(_PITCH) - sum(_PITCH[:_LUMBAR])
    return np.stack([top - np.asarray(_PITCH), top], axis=-1)


def draw_spine(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw paraspinal muscle, spinal canal, vertebrae with their processes, discs and sacrum."""
    z = np.linspace(-300, 330, 16)
    back = spine_y(z)
    bulk = np.interp(z, [-300, -200, -60, 60, 200, 330], [20, 27, 27, 21, 18, 20])
    wall = (*SOFT, Tissue.SPINAL_CANAL)
    plane_mm = float(np.clip(0.6 + 0.12 * (patient.bmi - 20), 0.3, 3.0))
    for side in (-1, 1):
        path = np.stack([z, back + 35, np.full(len(z), 31.0 * side)], axis=-1)
        thick = bulk * patient.muscle**0.5
        for extra, tissue in ((plane_mm, Tissue.INTERMUSCULAR_FAT), (0, Tissue.PARASPINAL_MUSCLE)):
            canvas.draw_tube(
                path, thick + extra, tissue, over=wall, visceral=0, stretch=(1, 0.85, 1.1)
            )
    width = np.interp(z, [-200, 0, 200, 330], [24, 20, 16, 14])
    canal = np.stack([z, back + 0.72 * width + 9, np.zeros(len(z))], axis=-1)
    canvas.draw_tube(
        canal, 8.5, Tissue.SPINAL_CANAL, over=(*wall,), visceral=0, stretch=(1, 0.9, 1.15)
    )
    lean = rng.normal(0, 4)
    for low, high in vertebra_levels():
        _draw_vertebra(canvas, float(low), float(high), float(lean * np.sin(low / 70)))
    _draw_sacrum(canvas)


def _draw_vertebra(canvas: Canvas, low: float, high: float, x0: float) -> None:
    middle = 0.5 * (low + high)
    lumbar = middle < 0
    half_x = float(np.interp(middle, [-180, 0, 150, 280, 320], [25, 21, 16, 14.5, 12]))
    half_y = half_x * (0.72 if lumbar else 0.82)
    disc = (high - low) * (0.26 if lumbar else 0.17)
    y0 = float(spine_y(middle))
    slope = float(spine_y.derivative()(middle))
    place = canvas.to_patient([(middle, y0, x0)], visceral=0)[0]
    box = canvas.box_around(place, ((high - low) * 0.5 + 22, 48, 48))
    dz, dy, dx = (canvas.body[axis][box] - c for axis, c in enumerate((middle, y0, x0)))
    along = dz + slope * dy
    u, v = (dx / half_x) ** 2, ((dy - slope * dz) / half_y) ** 2
    ring = np.sqrt(u + v - 0.4 * np.minimum(u, 1.3) * np.minimum(v, 1.3))
    half = 0.5 * (high - low)
    height = along + half
    ring *= 1.06 - 0.1 * ((height - disc) / (2 * half - disc) - 0.5) ** 2 * 4
    slab = (np.abs(along) <= half + 0.01) & (ring < 1)
    bone = slab & (height > disc)
    shell = bone & ((ring > 1 - 1.8 / half_y) | (height < disc + 1.4) | (height > 2 * half - 1.4))
    over = (*SOFT, Tissue.SPINAL_CANAL)
    canvas.put(box, slab & ~bone, Tissue.DISC, over=over)
    canvas.put(box, bone, Tissue.VERTEBRA_MARROW, over=(*over, Tissue.DISC))
    canvas.put(box, shell, Tissue.VERTEBRA_CORTEX, over=(Tissue.VERTEBRA_MARROW,))

    rear = y0 + half_y
    tip = 44.0 if lumbar else 33.0
    fall = 6.0 if lumbar else 20.0
    thick = 5.8 if lumbar else 4.8
    parts: list[tuple[list[tuple[float, float, float]], float, float]] = []
    for side in (-1, 1):
        s = side * half_x
        parts.append(
            (
                [
                    (middle + 5, rear - 4, x0 + 0.62 * s),
                    (middle + 3, rear + 10, x0 + 0.66 * s),
                    (middle - 5, rear + 18, x0 + 0.4 * s),
                    (middle - 7, rear + 22, x0),
                ],
                thick,
                1.3,
            )
        )
        lateral = 1.75 * s if lumbar else 2.0 * s
        reach = 12.0 if lumbar else 20.0
        parts.append(
            ([(middle + 3, rear + 9, x0 + 0.7 * s), (middle + 4, rear + reach, x0 + lateral)],
             thick * 0.85, 1.2)
        )  # fmt: skip
        parts.append(([(middle - half + 2, rear + 13, x0 + 0.72 * s)], thick + 1.6, 1.4))
    parts.append(
        ([(middle - 6, rear + 20, x0), (middle - 7 - fall, rear + tip, x0)], thick * 0.8,
         2.2 if lumbar else 1.4)
    )  # fmt: skip
    for path, radius, tall in parts:
        box, distance, _ = canvas.tube(
            path, radius, visceral=0, reach_mm=0, stretch=(tall, 1, 1), smooth=False
        )
        canvas.put(box, distance < 0, Tissue.VERTEBRA_CORTEX, over=SOFT)
        canvas.put(box, distance < -2.1, Tissue.VERTEBRA_MARROW, over=(Tissue.VERTEBRA_CORTEX,))


def _draw_sacrum(canvas: Canvas) -> None:
    path = [(-178, 55, 0), (-205, 68, 0), (-240, 82, 0), (-275, 88, 0)]
    box, distance, _ = canvas.tube(
        path, [27, 25, 19, 12], visceral=0, reach_mm=0, stretch=(1, 0.75, 1.75)
    )
    canvas.put(box, distance < 0, Tissue.VERTEBRA_CORTEX, over=SOFT)
    canvas.put(box, distance < -2.0, Tissue.VERTEBRA_MARROW, over=(Tissue.VERTEBRA_CORTEX,))


_RIB_END = (150, 148, 148, 150, 150, 150, 146, 138, 130, 121, 98, 72)
"""Angle from the spine at which each bony rib ends, degrees."""

_RIB_FALL = (34, 52, 68, 82, 92, 98, 102, 100, 96, 88, 66, 44)
"""How far each rib falls from its head to its end, mm."""


def _on_chest_wall(angle: Points, z: Points, outside_mm: float) -> Points:
    """Return points (z, y, x) of the chest wall at angles from the spine (0) to the front (180)."""
    c = np.cos(np.deg2rad(angle))
    s = np.sin(np.deg2rad(angle))
    y_half = np.where(c > 0, outline("back", z), outline("front", z)) + outside_mm
    x_half = outline("side", z) + outside_mm
    bulge = 1 / np.sqrt(1 - 0.45 * (c * s) ** 2)
    return np.stack([z, bulge * y_half * c, bulge * x_half * s], axis=-1)


def draw_ribs(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw 24 ribs, the costal cartilages and the sternum."""
    steep = float(np.clip(rng.normal(1.0, 0.1) - 0.004 * patient.breath_mm, 0.75, 1.25))
    calcified = np.clip((patient.age_years - 45) / 120 + rng.normal(0, 0.08), 0, 0.4)
    levels = vertebra_levels()[_LUMBAR : _LUMBAR + 12][::-1].mean(axis=1)
    front = float(rng.normal(0, 5))
    breast_bone = [(255 + front, 0.0), (205 + front, 0.0), (120 + front, 0.0), (92 + front, 0.0)]
    sternum = np.array([(z, -float(outline("front", z)) - 9, x) for z, x in breast_bone])
    over = (*SOFT, Tissue.COSTAL_CARTILAGE, Tissue.SKIN)
    for number, head in enumerate(levels):
        end = _RIB_END[number] + rng.normal(0, 3)
        angle = np.linspace(13, end, 22)
        run = (angle - 13) / (end - 13)
        z = (
            head
            + 4
            - _RIB_FALL[number] * steep * (0.35 * run + 0.65 * run**1.5)
            + 4 * np.sin(np.pi * run)
        )
        for side in (-1.0, 1.0):
            path = _on_chest_wall(angle, z, 4.0 if number else 1.0)
            path[:, 2] *= side
            near = np.exp(-run * 9)[:, None]
            root = np.array([head + 3, float(spine_y(head)) + 12, side * 17])
            path = path * (1 - near) + root * near
            box, distance, _ = canvas.tube(
                path, 4.1, visceral=0, reach_mm=0, stretch=(1.5, 1.0, 1.0)
            )
            canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
            canvas.put(box, distance < -1.5, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))
            if number < 10:
                _draw_cartilage(canvas, path[-1], number, sternum, side, float(calcified), rng)
    box, distance, _ = canvas.tube(
        sternum, [7, 6, 6, 4], visceral=0, reach_mm=0, stretch=(1, 1, 2.6)
    )
    canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
    canvas.put(box, distance < -1.4, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))


def _draw_cartilage(
    canvas: Canvas,
    end: Points,
    number: int,
    sternum: Points,
    side: float,
    calcified: float,
    rng: np.random.Generator,
) -> None:
    high = float(np.interp(min(number, 6), [0, 6], [sternum[0, 0] - 12, sternum[-1, 0] + 6]))
    y = float(np.interp(high, sternum[::-1, 0], sternum[::-1, 1]))
    goal = np.array([high - 3.0 * max(number - 6, 0), y, side * (16 + 4 * max(number - 6, 0))])
    between = 0.5 * (end + goal)
    between[1] = (
        -float(outline("front", between[0]))
        * np.sqrt(max(1 - (between[2] / (outline("side", between[0]) + 8)) ** 2, 0.1))
        - 5
    )
    between[0] -= 10 if number > 4 else 2
    over = (*SOFT, Tissue.COSTAL_CARTILAGE)
    box, distance, _ = canvas.tube(
        [end, between, goal], 5.2, visceral=0, reach_mm=0, stretch=(1.3, 1, 1)
    )
    canvas.put(box, distance < 0, Tissue.COSTAL_CARTILAGE, over=over)
    if rng.random() < calcified * 2:
        canvas.put(box, (distance < 0) & (distance > -1.3), Tissue.BONE_CORTEX,
                   over=(Tissue.COSTAL_CARTILAGE,))  # fmt: skip


def draw_shoulders(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw clavicles and scapulae."""
    lift = 18.0 if patient.arms_up else 0.0
    over = SOFT
    for side in (-1.0, 1.0):
        clavicle = [
            (252, -66, side * 20),
            (262 + lift * 0.5, -52, side * 65),
            (270 + lift, -20, side * 110),
            (274 + lift, 10, side * 145),
        ]
        # a plate along the back of the chest wall, with its spine and the socket
        turn = float(rng.normal(0, 4))
        for fraction in np.linspace(0, 1, 9):
            z = 250 - 125 * fraction + lift
            outer = 58 - 34 * fraction + turn + (12 if patient.arms_up else 0)
            inner = 34 + 10 * fraction + turn + (12 if patient.arms_up else 0)
            angle = np.linspace(min(inner, outer - 4), outer + 12, 5)
            plate = _on_chest_wall(angle, np.full(5, min(z, 262.0)), 17.0)
            plate[:, 2] *= side
            plate[:, 0] = z
            box, distance, _ = canvas.tube(
                plate, 3.2, visceral=0, reach_mm=0, stretch=(2.8, 1.0, 1.0)
            )
            canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
            canvas.put(box, distance < -2.0, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))
        socket = [(248 + lift, 62, side * 112), (255 + lift, 40, side * 135)]
        ridge = [
            (225 + lift, 98, side * 80),
            (255 + lift, 80, side * 125),
            (272 + lift, 30, side * 150),
        ]
        for path, radius in ((clavicle, 6.0), (socket, 9.0), (ridge, 4.5)):
            box, distance, _ = canvas.tube(path, radius, visceral=0, reach_mm=0)
            canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
            canvas.put(box, distance < -1.9, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))


def draw_pelvis(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the iliac wings, hip sockets and femoral heads, as far as they are in view."""
    if patient.bottom_mm > -110:
        return
    crest = float(rng.normal(-138, 8))
    over = SOFT
    for side in (-1.0, 1.0):
        for fraction in np.linspace(0, 1, 11):
            z = crest - 112 * fraction
            first = 26 + 6 * fraction
            last = np.interp(fraction, [0, 0.25, 0.6, 1], [70, 108, 122, 96])
            begin = np.interp(fraction, [0, 0.2, 0.5, 1], [50, 34, first, 60])
            angle = np.linspace(begin, max(last, begin + 10), 9)
            wing = _on_chest_wall(angle, np.full(9, z), 3.0 - 6 * fraction)
            wing[:, 2] *= side
            thick = np.interp(angle, [30, 60, 90, 120], [8.0, 5.0, 3.8, 5.5])
            box, distance, _ = canvas.tube(
                wing, thick, visceral=0, reach_mm=0, stretch=(2.2, 1.0, 1.0)
            )
            canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
            canvas.put(box, distance < -1.8, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))
        hip = (-290.0, 8.0, side * 92)
        for path, radius in (
            ([(-245, 15, side * 88), hip], 33.0),
            ([hip, (-330, -45, side * 30)], 9.0),
            ([hip, (-345, 40, side * 62)], 12.0),
        ):
            box, distance, _ = canvas.tube(path, radius, visceral=0, reach_mm=0)
            canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=over)
            canvas.put(box, distance < -2.2, Tissue.BONE_MARROW, over=(Tissue.BONE_CORTEX,))
        box, distance, _ = canvas.tube([hip], 27.5, visceral=0, reach_mm=0)
        bone = (Tissue.BONE_CORTEX, Tissue.BONE_MARROW)
        canvas.put(box, distance < 0, Tissue.MUSCLE, over=bone)
        femur = [hip, (-315, 15, side * 140), (-345, 15, side * 150)]
        box, distance, _ = canvas.tube(femur, [24.5, 18, 18], visceral=0, reach_mm=0, smooth=False)
        canvas.put(box, distance < 0, Tissue.BONE_CORTEX, over=(*over, *bone))
        canvas.put(box, distance < -2.2, Tissue.BONE_MARROW, over=bone)
