"""Fractures: a rib that is broken and displaced, a vertebra whose endplate has sunk in."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray
from networks.phantoms.lesions.bone.benign import body_axes
from networks.phantoms.lesions.bone.metastasis import CELL_MM, at, bony
from networks.phantoms.lesions.bone.sites import in_bone, in_vertebra
from networks.phantoms.lesions.brush import Patch, cloud
from networks.phantoms.scene import Scene

RIB_STEP_MM = (1.0, 6.0)
"""How far the ends of a broken rib are displaced (our choice)."""

HEIGHT_LOSS = (0.15, 0.6)
"""Share of its height that a vertebral body loses in front; Genant's mild grade begins at 20 %,
severe at 40 %."""


def rib_fracture(scene: Scene, step_mm: float, rng: np.random.Generator) -> Patch:
    """Break a rib: one end is shifted, the gap is dark, older ones have callus."""
    site = in_bone(scene, rng, "rib")
    for _ in range(8):
        # not at the joints with the spine
        if abs(float(site.point_mm[2])) > 55:
            break
        site = in_bone(scene, rng, "rib")
    along = site.direction
    inwards = np.array([0.0, site.point_mm[1] - 0.0, site.point_mm[2]])
    inwards = -inwards / np.linalg.norm(inwards)
    inwards -= along * float(along @ inwards)
    inwards /= np.linalg.norm(inwards)
    shift = step_mm * (inwards * float(rng.choice([-0.6, 1.0])) + 0.3 * rng.standard_normal(3))
    patch = Patch.around(scene, site.point_mm, 20.0, CELL_MM)
    z, y, x = patch.grid.offsets(site.point_mm)
    run = (along[0] * z + along[1] * y + along[2] * x).astype(np.float32)
    away = np.sqrt(np.maximum(z * z + y * y + x * x - run * run, 0))
    # the break is oblique and ragged
    tilt = rng.normal(0, 0.35, 2)
    run += tilt[0] * z + tilt[1] * x + 0.9 * cloud(patch.grid, rng, 4.0)
    # the end beyond the break moves, and what is around it less and less
    share = np.clip(run / 0.8 + 0.5, 0, 1) * np.clip((17 - run) / 10, 0, 1)
    share = (share * np.clip((14 - away) / 5, 0, 1)).astype(np.float32)
    bone = bony(patch, site)
    moved = patch.moved(*(-share * s for s in shift))
    patch.hu += moved - patch.moved(0, 0, 0)
    was = bone * (np.abs(run) < 12)
    gap = patch.inside(np.abs(run) - float(rng.uniform(0.5, 1.1)))
    patch.lower_to(gap * np.clip(2 * bone, 0, 1), float(rng.uniform(20, 70)), own=False)
    healing = float(np.clip(rng.uniform(-0.6, 1.0), 0, 1))
    swell = 6.0 + 2.0 * cloud(patch.grid, rng, 5.0) - 0.05 * run**2
    around = patch.inside(away - swell, 2.0) * (np.abs(run) < 11)
    haze = (1 - healing) * 40 + healing * (150 + 160 * cloud(patch.grid, rng, 2.5))
    soft = np.clip((patch.base + 130) / 150, 0, 1)  # blood or callus, not the lung
    patch.raise_to((around * soft).astype(np.float32), np.maximum(haze, 30).astype(np.float32),
                   own=False)  # fmt: skip
    patch.extra |= {"step_mm": round(step_mm, 1), "healing": round(healing, 2)}
    patch.mask = (np.abs(run) < 6) & (away < 9) & ((was > 0.4) | (np.abs(patch.delta_hu) > 80))
    return at(patch, site)


def compression_fracture(scene: Scene, loss: float, rng: np.random.Generator) -> Patch:
    """Sink an endplate into its body, mostly in front, and crowd the trabeculae below it."""
    site = in_vertebra(scene, rng)
    body = site.vertebra
    assert body is not None
    high, deep, wide = body.half_mm
    patch = Patch.around(
        scene, body.centre_mm, [high + body.disc_mm + 6, deep + 8, wide + 8], CELL_MM
    )
    up, back, left = body_axes(patch, body)
    front = np.clip(0.5 - 0.5 * back / deep, 0, 1)
    wedge = rng.random() < 0.65
    profile = 0.25 + 0.75 * front if wedge else 1 - 0.5 * (back / deep) ** 2
    profile = np.clip(profile * (1 + 0.12 * cloud(patch.grid, rng, 8.0)), 0, 1.1)
    fall = 2 * high * loss * profile
    # only the body sinks, not the arch behind it nor what lies beside it
    fall = (
        fall * np.clip((deep + 1.5 - back) / 4, 0, 1) * np.clip((wide + 6 - np.abs(left)) / 5, 0, 1)
    )
    fall = (fall * np.clip((deep + 7 + back) / 5, 0, 1)).astype(np.float32)
    lower, disc = -high, 0.75 * body.disc_mm
    sunk = high - fall
    # below the sunken endplate the body is pressed together, above it the disc is drawn out
    inside = lower + (up - lower) * (2 * high / np.maximum(sunk - lower, 1.0))
    beyond = high + (up - sunk) * (disc / (disc + fall))
    source = np.where(up < lower, up, np.where(up < sunk, inside, beyond))
    source = np.where(up > high + disc, up, source)
    change = (source - up).astype(np.float32)
    axis = body.frame[0]
    patch.hu += patch.moved(*(change * a for a in axis)) - patch.moved(0, 0, 0)
    bone = _body_share(up - sunk, up - lower, back, left, body.half_mm)
    press = np.exp(-np.maximum(sunk - up, 0) / (0.3 * high)) * np.clip(fall / (0.5 * high), 0, 1)
    crowded = float(rng.uniform(90, 220)) * (1 + 0.25 * cloud(patch.grid, rng, 2.5)) * press
    patch.hu += (crowded * bone).astype(np.float32)
    if rng.random() < 0.5:
        # the line of the break
        line = patch.inside(
            np.abs(up - sunk + 0.35 * high + 1.2 * cloud(patch.grid, rng, 7.0)) - 0.6
        )
        patch.lower_to(line * bone * (front > 0.3), 30.0, own=False)
    patch.extra["height_loss"] = round(float((fall * bone).max()) / (2 * high), 2)
    patch.mask = (np.abs(patch.delta_hu) > 35) & (bone + (fall > 1.5) * (up > sunk) > 0.4)
    patch.mask &= (up < high + 2) & (np.abs(left) < wide + 3) & (back < deep + 3)
    return at(patch, site)


def _body_share(
    above: FloatArray,
    height: FloatArray,
    back: FloatArray,
    left: FloatArray,
    half_mm: tuple[float, float, float],
) -> FloatArray:
    """Return the share of a body whose upper face is where `above` is 0."""
    ring = np.sqrt((back / half_mm[1]) ** 2 + (left / half_mm[2]) ** 2)
    share = (
        np.clip(0.5 - above, 0, 1) * np.clip(height + 0.5, 0, 1) * np.clip((1.05 - ring) * 8, 0, 1)
    )
    return share.astype(np.float32)
