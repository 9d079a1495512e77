"""Plant one mass of the pancreas with what it does to the gland."""

from __future__ import annotations

import numpy as np

from networks.phantoms.lesion import FloatArray, Lesion
from networks.phantoms.lesions import NoPlaceError
from networks.phantoms.lesions.brush import Judge, Patch, tube, tune
from networks.phantoms.lesions.lattice import aligned_around
from networks.phantoms.lesions.pancreas import signs
from networks.phantoms.lesions.pancreas.gland import Gland, Spot
from networks.phantoms.lesions.pancreas.recipes import OTHER, RECIPES, sizes
from networks.phantoms.lesions.pancreas.shape import Lump

DUCT_CHANCE = {"easy": 0.85, "medium": 0.6, "hard": 0.6}
DUCT_MM = {"easy": (4.0, 8.0), "medium": (3.0, 6.5), "hard": (3.0, 4.5)}
ATROPHY_CHANCE = {"easy": 0.7, "medium": 0.5, "hard": 0.4}
ATROPHY_SHARE = {"easy": (0.25, 0.55), "medium": (0.15, 0.45), "hard": (0.1, 0.3)}
BILE_DUCT_CHANCE = {"easy": 0.6, "medium": 0.4, "hard": 0.15}
"""Signs of an adenocarcinoma by difficulty: duct of 3 to 8 mm (pipelines.md §6.3), the rest chosen;
a hard one, which may hardly differ from parenchyma, always has duct or atrophy."""

UPSTREAM_MM = 25.0
"""A duct is widened only if the gland goes on this far beyond the mass."""

ISO_HU = 5.0
"""A mass that differs less than this from parenchyma is called iso-attenuating."""


class Drawn(Patch):
    """A patch that remembers the lump painted on it."""

    lump: Lump
    taken: FloatArray
    """(S, R, C) how much of each voxel the mass takes."""


def plant_mass(
    gland: Gland, rng: np.random.Generator, kind: str, difficulty: str, judge: Judge
) -> list[Lesion]:
    """Plant a mass of a kind that is drawn from a recipe; the first lesion is the mass."""
    variant = None
    if kind in RECIPES:
        recipe = RECIPES[kind]
    else:
        variant = str(rng.choice(list(OTHER)))
        recipe = OTHER[variant]
    middle = float(np.exp(np.log(sizes(recipe.size_mm, difficulty)).mean()))
    spot = gland.spot(rng, recipe.sites, radius_mm=0.4 * middle, outward=recipe.outward)

    reference_hu = gland.lobule_hu if recipe.fluid else gland.parenchyma_hu

    def draw(size_mm: float) -> Drawn:
        lump = Lump.draw(
            rng, spot.centre_mm, 0.5 * size_mm, uneven=recipe.uneven, wavelength=recipe.wavelength
        )
        fine = 0.8 if size_mm < 24 else 1.0
        grid = aligned_around(gland.scene, spot.centre_mm, lump.reach_mm + 4, fine)
        patch = Drawn(gland.scene, grid)
        distance = lump.distance(patch.grid)
        share = patch.inside(distance, recipe.soft_mm) * signs.parenchyma_and_fat(patch)
        content = recipe.fill(patch.grid, lump, distance, reference_hu, rng)
        patch.hu = patch.base + share * (content - np.float32(reference_hu))
        patch.mask = share > 0.5
        if np.count_nonzero(patch.mask) * patch.grid.spacing_mm**3 < 40:
            raise NoPlaceError("the pancreas is hemmed in")
        patch.lump, patch.taken = lump, share
        return patch

    tuned = tune(
        draw,
        rng,
        judge,
        difficulty,
        size=sizes(recipe.size_mm, difficulty),
        strength=recipe.strength,
    )
    patch = tuned.patch
    assert isinstance(patch, Drawn)
    lump, share = patch.lump, patch.taken
    report = signs.Report(kind, spot.site, difficulty=tuned.difficulty)
    outline = signs.contour(patch, share, rng, reference_hu)
    contrast = float(patch.delta_hu[patch.mask].mean())
    mass = report.lesion(
        patch, dprime=tuned.dprime,
        dprime_with_contour=round(judge(patch.grid, patch.delta_hu + outline.delta_hu), 2),
        **({"variant": variant} if variant else {}),
        **({"iso_attenuating": abs(contrast) < ISO_HU} if kind == "pdac" else {}),
    )  # fmt: skip
    lesions = [mass, report.lesion(outline, "contour")]
    if rng.random() < recipe.calcified:
        shell = np.abs(lump.distance(patch.grid) + 1.2) < 0.8
        inner = lump.distance(patch.grid) < -0.55 * lump.radii_mm.mean()
        where = share * (shell if recipe.rim_calcified else inner)
        if (where > 0.5).any():
            specks = signs.calcification(patch, where, rng, count=int(rng.integers(2, 14)))
            lesions.append(report.lesion(specks, "calcification"))
    if kind == "pdac":
        lesions += _ductal_signs(gland, rng, report, lump, spot, tuned.difficulty)
    return lesions


def _ductal_signs(
    gland: Gland,
    rng: np.random.Generator,
    report: signs.Report,
    lump: Lump,
    spot: Spot,
    difficulty: str,
) -> list[Lesion]:
    """Widen the ducts above an adenocarcinoma and waste the gland beyond it."""
    wide = rng.random() < DUCT_CHANCE[difficulty]
    thin = rng.random() < ATROPHY_CHANCE[difficulty]
    if difficulty == "hard" and not wide and not thin:
        wide = True
    duct_mm = float(rng.uniform(*DUCT_MM[difficulty])) if wide else 0.0
    share = float(rng.uniform(*ATROPHY_SHARE[difficulty])) if thin else 0.0
    lesions: list[Lesion] = []
    edge = spot.arc_mm + 0.6 * float(lump.radii_mm.min())
    if gland.line.length_mm - edge > UPSTREAM_MM:
        grid = signs.beyond(gland, edge)
        kept = signs.kept_by(lump, grid)
        thinned = Patch(gland.scene, grid)
        if thin:
            thinned = signs.waste(
                gland, grid, rng, from_arc_mm=edge, atrophy=share, core_mm=0.5 * duct_mm + 1.8,
                kept=kept,
            )  # fmt: skip
            if thinned.mask.any():
                lesions.append(report.lesion(thinned, "atrophy", atrophy_share=round(share, 2)))
        if wide:
            duct = signs.over(thinned)
            bore = tube(grid, *signs.duct_course(gland, rng, from_arc_mm=edge, duct_mm=duct_mm))
            inside = duct.inside(bore) * kept * signs.parenchyma_and_fat(duct)
            duct.lay(inside, float(rng.uniform(*signs.DUCT_HU)))
            if duct.mask.any():
                lesions.append(report.lesion(duct, "duct", duct_mm=round(duct_mm, 1)))
    in_head = spot.site in ("pancreas_head", "pancreas_uncinate")
    if in_head and rng.random() < BILE_DUCT_CHANCE[difficulty]:
        bile = signs.bile_duct(gland, lump, rng)
        if bile.mask.any():
            lesions.append(report.lesion(bile, "bile_duct"))
    return lesions
