"""Stomach, duodenum, colon, small bowel, mesenteric vessels and bladder."""

from __future__ import annotations

import numpy as np

from networks.phantoms.canvas import ABDOMEN, Box, Canvas, Points
from networks.phantoms.fields import FloatArray, SmoothField
from networks.phantoms.patient import Patient
from networks.phantoms.tissue import Tissue


def draw_stomach(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the stomach, from collapsed to full, with wall, fluid, food and gas."""
    shift = np.array(patient.organ_shift_mm["stomach"])
    volume = patient.volume_ml["stomach"]
    size = float((volume / 260) ** 0.42)
    sag = float(rng.normal(0, 16)) - 10 * (size - 1)
    pylorus = np.array([-42.0 + 0.4 * sag, -34.0, -18.0]) + 0.5 * shift
    course = np.array(
        [
            (58.0, 16.0, 52.0),
            (36.0, 6.0, 66.0),
            (2.0, -20.0, 66.0),
            (-38.0 + sag, -48.0, 44.0),
            (-56.0 + sag, -56.0, 14.0),
            pylorus,
        ]
    )
    course[:5] += shift
    course[0:2, 0] += 0.6 * patient.breath_mm
    radius = np.array([27.0, 33.0, 28.0, 23.0, 18.0, 10.0]) * size
    radius[-1] = 9.0
    box, distance, _ = canvas.tube(course, radius, reach_mm=40.0)
    folds = canvas.field(box, SmoothField.draw(rng, sd=1.3, step_mm=12.0))
    level = 1 + (distance + folds) / 25
    mask, surface = canvas.grow(
        box, level, Tissue.STOMACH_WALL, volume_ml=volume, rind=0.06, limit=2.5
    )
    thick = float(np.clip(rng.normal(4.5, 1.2) + 4.5 * (1 - size), 3.0, 10.0))
    lumen = mask & (level < surface - thick / 25)
    _fill_stomach(canvas, box, lumen, rng)


def _fill_stomach(canvas: Canvas, box: Box, lumen: np.ndarray, rng: np.random.Generator) -> None:
    """Fill the lumen: gas above a level, food below another, fluid between."""
    if not lumen.any():
        return
    labels = canvas.labels[box]
    height = np.broadcast_to(canvas.down * canvas.axes[1][box[1]][None, :, None], lumen.shape)
    gas = float(np.clip(rng.beta(1.2, 2.5), 0, 0.8))
    food = float(rng.beta(0.8, 1.2)) * (1 - gas) if rng.random() < 0.6 else 0.0
    gas_level = float(np.quantile(height[lumen], gas))
    food_level = float(np.quantile(height[lumen], 1 - food))
    uneven = canvas.field(box, SmoothField.draw(rng, sd=6.0, step_mm=16.0))
    labels[lumen] = Tissue.STOMACH_FLUID
    labels[lumen & (height + uneven > food_level)] = Tissue.STOMACH_FOOD
    labels[lumen & (height < gas_level)] = Tissue.STOMACH_GAS


def _loop(
    canvas: Canvas,
    path: Points,
    radius: Points,
    contents: Points,
    rng: np.random.Generator,
    *,
    wall_mm: float,
    solid: Tissue,
    fat_mm: float,
) -> None:
    """Draw bowel along a path.

    `contents` gives at each point the share of the lumen (0 to 1) that gas fills from above.
    """
    box, distance, nearest = canvas.tube(path, radius, reach_mm=fat_mm, index=True)
    free = canvas.room[box] == ABDOMEN
    rough = canvas.field(box, SmoothField.draw(rng, sd=0.9, step_mm=11.0))
    distance += rough
    bowel = free & (distance < 0)
    lumen = bowel & (distance < -wall_mm)
    labels = canvas.labels[box]
    labels[bowel] = Tissue.BOWEL_WALL
    labels[lumen] = solid
    centre = canvas.to_patient(path)[:, 1].astype(np.float32)
    index = np.maximum(nearest, 0)
    front = (centre[index] - canvas.axes[1][box[1]][None, :, None]) / np.asarray(
        radius, dtype=np.float32
    )[index]
    share = np.asarray(contents, dtype=np.float32)[index]
    labels[lumen & (canvas.down * front > 1 - 2 * share)] = Tissue.BOWEL_GAS
    canvas.room[box][free & (distance < fat_mm)] = 0


def _along(path: Points, step_mm: float) -> Points:
    """Resample a polyline at even steps."""
    length = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    at = np.arange(0, length[-1], step_mm)
    return np.stack([np.interp(at, length, path[:, axis]) for axis in range(3)], axis=-1)


def draw_duodenum(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the duodenal C around the head of the pancreas."""
    shift = np.array(patient.organ_shift_mm["pancreas"])
    path = np.array(
        [(-36, -32, -30), (-34, -18, -46), (-58, 2, -52), (-88, 8, -46), (-98, 8, -15),
         (-90, 6, 18), (-64, -4, 34)],
        dtype=np.float64,
    ) + shift  # fmt: skip
    path = _along(path, 9.0)
    radius = rng.uniform(9, 13) * (1 + 0.15 * rng.standard_normal(len(path)))
    gas = np.where(rng.random(len(path)) < 0.25, rng.uniform(0.2, 0.9, len(path)), 0)
    _loop(canvas, path, np.clip(radius, 6, 16), gas, rng, wall_mm=2.5,
          solid=Tissue.BOWEL_FLUID, fat_mm=1.5)  # fmt: skip


def draw_colon(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw caecum, ascending, transverse, descending and sigmoid colon with haustra."""
    shift = np.array(patient.organ_shift_mm["colon"])
    push = 0.8 * patient.visceral_fat_mm
    sag = float(rng.normal(-45, 32))
    front = -70 - push
    out = 0.35 * patient.visceral_fat_mm
    path = np.array(
        [
            (-185, 0, -88 - out),
            (-130, 20, -98 - out),
            (-70, 20, -98 - out),
            (-48, -20, -88 - out),
            (-50 + 0.4 * sag, front + 12, -55),
            (-40 + sag, front, 0),
            (-30 + 0.5 * sag, front + 10, 55),
            (8, -25, 92 + out),
            (18, 10, 104 + out),
            (-30, 34, 106 + out),
            (-100, 32, 106 + out),
            (-165, 15, 96 + out),
            (-205, -5, 70),
            (-220, 10, 30),
            (-215, 20, -15),
            (-250, 45, 5),
            (-310, 55, 0),
        ],
        dtype=np.float64,
    )
    path[1:14] += shift * np.array([1.0, 1.0, 0.6]) + rng.normal(0, 5, (13, 3))
    path = _along(path, 9.0)
    n = len(path)
    run = np.linspace(0, 1, n)
    wide = np.interp(run, [0, 0.15, 0.4, 0.65, 1], [27, 25, 21, 17, 15]) * rng.uniform(0.75, 1.2)
    slow = np.convolve(rng.standard_normal(n + 30), np.hanning(25) / 4.0, mode="same")[15:-15]
    haustra = 0.12 * np.sin(np.arange(n) * 9.0 / rng.uniform(24, 34) * 2 * np.pi)
    radius = np.clip(wide * (1 + 0.22 * slow + haustra), 7, 36)
    gas = np.clip(0.35 + 0.5 * np.convolve(rng.standard_normal(n + 20), np.hanning(15) / 2.6,
                  mode="same")[10:-10], 0, 0.97)  # fmt: skip
    _loop(canvas, path, radius, gas, rng, wall_mm=2.2, solid=Tissue.STOOL, fat_mm=2.5)


def draw_small_bowel(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw loops of small bowel as a random walk in the lower abdomen, and its vessels."""
    shift = np.array(patient.organ_shift_mm["bowel"])
    push = 0.8 * patient.visceral_fat_mm
    low = np.array([-225.0, -72 - push, -88.0])
    high = np.array([-32.0, 12.0, 88.0])
    count = int(rng.integers(260, 400))
    place = np.array([-70.0, -20.0, 50.0])
    heading = rng.standard_normal(3)
    path = []
    for _ in range(count):
        heading = 0.82 * heading / np.linalg.norm(heading) + 0.42 * rng.standard_normal(3)
        heading += 0.8 * np.maximum(low - place, 0) / 15 - 0.8 * np.maximum(place - high, 0) / 15
        place = place + 10.0 * heading / np.linalg.norm(heading)
        path.append(place)
    course = np.array(path) + shift
    # loops go where there is room: those that leave the view are not drawn
    slow = np.convolve(rng.standard_normal(count + 40), np.hanning(21) / 3, mode="same")[20:-20]
    radius = np.clip(10.5 * (1 + 0.25 * slow), 6.5, 19)
    gas = np.clip(0.9 * np.convolve(rng.standard_normal(count + 40), np.hanning(17) / 3,
                  mode="same")[20:-20] - 0.35, 0, 0.95)  # fmt: skip
    for part in np.array_split(np.arange(count), 6):
        if len(part) > 1 and course[part, 0].max() * canvas.size[0] > canvas.axes[0][0] - 40:
            _loop(canvas, course[part], radius[part], gas[part], rng, wall_mm=2.2,
                  solid=Tissue.BOWEL_FLUID, fat_mm=1.2)  # fmt: skip
    root = np.array([-75.0, -8.0, 4.0])
    for end in course[rng.integers(0, count, 36)]:
        bend = 0.5 * (root + end) + rng.normal(0, 8, 3)
        canvas.draw_tube(
            [root + rng.normal(0, 4, 3), bend, end], [3.0, 2.2, 1.5], Tissue.MESENTERIC_VESSEL,
            over=(Tissue.VISCERAL_FAT,),
        )  # fmt: skip


def draw_pelvic_organs(canvas: Canvas, patient: Patient, rng: np.random.Generator) -> None:
    """Draw the bladder and the uterus or prostate, where the view reaches them."""
    if patient.bottom_mm > -235:
        return
    full = float(rng.uniform(22, 44))
    for place, radius, tissue in (
        ((-292, -30, 0), full, Tissue.BLADDER),
        ((-275 if patient.sex == "F" else -325, 15, 0), 24.0, Tissue.UTERUS_OR_PROSTATE),
    ):
        box, distance, _ = canvas.tube([place], radius, reach_mm=3.0)
        free: FloatArray = (canvas.room[box] == ABDOMEN) & (distance < 0)
        canvas.put(box, free, tissue)
