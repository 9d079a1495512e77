"""Contact sheets of what is planted: ``python -m networks.phantoms.sheet --out DIR [--kind NAME]``.

One PNG a kind. A row is a patient; easy, medium and hard stand side by side, each as the slice
through the lesion and as a closer look at it. With ``--real`` a slice of a real scan closes each
row. ``sheet.json`` says what each picture shows, and a picture left black is a patient with no
place for it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
import pydicom
from rich.console import Console
from rich.progress import track
from scipy import ndimage

from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.detectability import Judge
from networks.phantoms.lesion import DIFFICULTIES, FloatArray, Lesion
from networks.phantoms.lesions import PLANTERS, NoPlaceError, check_of
from networks.phantoms.profiles import SEEN, profile_named
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.scene import Scene

Picture = npt.NDArray[np.uint8]

TILE = 224
"""Pixels across a picture."""

SLICE_MM, CLOSE_MM = 400.0, 120.0
"""Width of the slice and of the closer look."""

FIRST_SEED = 890_000
"""The last seeds of validation: looked at, never tested on."""


@dataclass(frozen=True)
class Look:
    """How something is scanned and windowed."""

    kernel: str
    thickness_mm: float
    window_hu: tuple[float, float]


SOFT = Look("soft", 3.0, (-110.0, 190.0))
LUNG = Look("sharp", 1.25, (-1350.0, 150.0))
BONE = Look("standard", 1.5, (-250.0, 850.0))
HEART = Look("soft", 3.0, (-160.0, 440.0))

TELLING_PARTS = ("flap", "haematoma", "leak")
"""Parts of an acute aortic syndrome by which it is known."""

LUNG_BELOW_HU = -350.0
"""What lies where it was darker than this is shown in a lung window."""


def look_at(check: str, scene: Scene, lesion: Lesion) -> Look:
    """Choose how a lesion is shown: by its check, and by what was there before it."""
    if check == "bone":
        return BONE
    if check == "calcium":
        return HEART
    before = scene.sampled_on(lesion.grid, scene.hu)
    return LUNG if float(before[lesion.mask].mean()) < LUNG_BELOW_HU else SOFT


def gray(hu: FloatArray, window_hu: tuple[float, float]) -> Picture:
    """Map HU to 0 to 255 within a window."""
    low, high = window_hu
    return (np.clip((hu - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def pictures(scene: Scene, lesions: Sequence[Lesion], seed: int) -> tuple[Picture, Picture]:
    """Return the slice through the most telling of some lesions, marked, and a closer look.

    Parameters
    ----------
    scene : Scene
        The patient, with the lesions in it.
    """
    first = max(lesions, key=_telling)
    look = look_at(first.check, scene, first)
    middle = 0.5 * (np.array(scene.hu.shape) - 1) * scene.spacing_mm + scene.origin_mm
    found = []
    for width, centre in ((SLICE_MM, (first.centre_mm[0], *middle[1:])),
                          (CLOSE_MM, first.centre_mm)):  # fmt: skip
        step = width / TILE
        grid = RegionGrid.around(centre, (1, TILE, TILE), (look.thickness_mm, step, step))
        hu = acquire_region(
            scene, profile_named(SEEN[seed % len(SEEN)]), np.random.default_rng(seed), grid,
            kernel=look.kernel, thickness_mm=look.thickness_mm,
        )  # fmt: skip
        picture = gray(hu[0], look.window_hu)
        if width == SLICE_MM:
            _mark(picture, [
                (place - low) / step
                for place, low in zip(first.centre_mm[1:], grid.origin_mm[1:], strict=True)
            ])  # fmt: skip
        found.append(picture)
    return found[0], found[1]


def _telling(lesion: Lesion) -> tuple[bool, bool, bool]:
    """Rank what a finding is made of: the finding itself before its signs and what follows it."""
    extra = lesion.extra
    return lesion.is_finding, "sign" not in extra, extra.get("part") in TELLING_PARTS


def _mark(picture: Picture, place: Sequence[float]) -> None:
    """Draw two short lines that point at a place."""
    row, column = (int(np.clip(round(p), 12, TILE - 13)) for p in place)
    picture[row, column - 11 : column - 6] = 255
    picture[row - 11 : row - 6, column] = 255


def real_pictures(folder: Path, count: int) -> list[Picture]:
    """Return slices of the longest series in a folder, spread over it, in a soft window."""
    series: dict[str, list[pydicom.Dataset]] = {}
    for path in sorted(folder.rglob("*.dcm")):
        ds = pydicom.dcmread(path, force=True)
        if "ImagePositionPatient" in ds and "PixelData" in ds:
            series.setdefault(str(ds.SeriesInstanceUID), []).append(ds)
    if not series:
        raise ValueError(f"no CT slices in {folder}")
    slices = sorted(max(series.values(), key=len), key=lambda ds: float(ds.ImagePositionPatient[2]))
    found = []
    for part in np.linspace(0.25, 0.75, count):
        ds = slices[int(part * (len(slices) - 1))]
        hu = ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept)
        scale = float(ds.PixelSpacing[0]) / (SLICE_MM / TILE)
        smooth = ndimage.gaussian_filter(hu.astype(np.float32), 0.4 / scale)
        small = gray(ndimage.zoom(smooth, scale, order=1), SOFT.window_hu)
        low = [max(0, (n - TILE) // 2) for n in small.shape]
        cut = small[low[0] : low[0] + TILE, low[1] : low[1] + TILE]
        tile = np.zeros((TILE, TILE), np.uint8)
        top, left = ((TILE - n) // 2 for n in cut.shape)
        tile[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
        found.append(tile)
    return found


def draw_patient(seed: int, spacing_mm: float) -> Scene:
    """Draw and paint a patient."""
    anatomy = sample_anatomy(seed, spacing_mm=spacing_mm)
    return Scene.painted(anatomy, np.random.default_rng([seed, 1]))


def sheet(kind: str, patients: Sequence[Scene]) -> tuple[Picture, list[dict[str, Any]]]:
    """Return the sheet of a kind, and what each picture shows.

    A confounder has no difficulty; three drawings of it stand side by side.
    """
    check = check_of(kind)
    planter = PLANTERS[check]
    rows, told = [], []
    for scene in patients:
        seed = scene.anatomy.seed
        row: list[Picture] = []
        for column, difficulty in enumerate(DIFFICULTIES):
            rng = np.random.default_rng([seed, 8, column])
            judge = Judge.of(scene, profile_named(SEEN[seed % len(SEEN)]))
            scene.lesions = []
            try:
                lesions = (
                    planter.plant(scene, rng, kind, difficulty=difficulty, judge=judge)
                    if kind in planter.KINDS
                    else planter.confound(scene, rng, kind, judge=judge)
                )
            except NoPlaceError as error:
                row += [np.zeros((TILE, TILE), np.uint8)] * 2
                told.append({"kind": kind, "seed": seed, "no_place": str(error)})
                continue
            scene.add(lesions)
            row += pictures(scene, lesions, seed)
            told += [
                {"seed": seed, "asked": difficulty, "column": column, **lesion.truth()}
                for lesion in lesions
            ]
        scene.lesions = []
        rows.append(np.hstack(row))
    return np.vstack(rows), told


def main(argv: Sequence[str] | None = None) -> int:
    """Write the sheets."""
    parser = argparse.ArgumentParser(description="Write contact sheets of what is planted.")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--kind", action="append", metavar="NAME",
                        help="a kind or a check; all by default")  # fmt: skip
    parser.add_argument("--confounders", action="store_true", help="those as well")
    parser.add_argument("--seeds", type=int, default=3, metavar="N", help="patients a kind")
    parser.add_argument("--first", type=int, default=FIRST_SEED, metavar="SEED")
    parser.add_argument("--spacing", type=float, default=2.0, metavar="MM")
    parser.add_argument("--real", type=Path, metavar="DIR", help="a real CT beside it")
    args = parser.parse_args(argv)
    kinds: list[str] = []
    for name in args.kind or PLANTERS:
        if name not in PLANTERS:
            kinds.append(name)
            continue
        kinds += PLANTERS[name].KINDS
        if args.confounders:
            kinds += [k for k in PLANTERS[name].CONFOUNDERS if k not in kinds]
    args.out.mkdir(parents=True, exist_ok=True)
    seeds = range(args.first, args.first + args.seeds)
    console = Console(stderr=True)
    patients = [draw_patient(seed, args.spacing)
                for seed in track(seeds, "Patients", console=console)]  # fmt: skip
    beside = np.vstack(real_pictures(args.real, len(patients))) if args.real else None
    told: dict[str, list[dict[str, Any]]] = {}
    for kind in track(kinds, "Sheets", console=console):
        picture, told[kind] = sheet(kind, patients)
        if beside is not None:
            picture = np.hstack([picture, beside])
        (args.out / f"{check_of(kind)}_{kind}.png").write_bytes(
            imagecodecs.png_encode(np.ascontiguousarray(picture))
        )
    (args.out / "sheet.json").write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
