"""A patient cut to one check's box, with what was planted, as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from networks.phantoms.anatomy import Anatomy
from networks.phantoms.hu import TissueHu
from networks.phantoms.lesion import FineGrid, FloatArray, Lesion
from networks.phantoms.patient import Patient
from networks.phantoms.scene import Scene

HU_STEP = 1 / 16
"""HU are kept as int16 in these steps: ± 2,048 HU, finer than any texture."""

FINEST_MM = 0.75
"""Patches with smaller voxels are averaged over 2×2×2: the finest network grid is 1 mm wide."""


@dataclass(frozen=True)
class Variant:
    """What was planted into a patient at one time."""

    ill: bool
    lesions: tuple[Lesion, ...]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A box of one patient and its variants.

    Attributes
    ----------
    seed : int
    hu : (S, R, C) ndarray of float32
        Painted, without lesions and scanner.
    tissues : (S, R, C) ndarray of uint8
    origin_mm : (3,) ndarray of float64
        LPS mm (z, y, x) of the first voxel's centre.
    spacing_mm : float
    organ_mm : (2, 3) ndarray of float64
        Lowest and highest edge of the organs, LPS mm.
    extent_mm : (2, 3) ndarray of float64
        That of the whole phantom.
    size : float
        Noise of this patient against one of 300 mm (`networks.phantoms.response.size_factor`).
    table : TissueHu
        What it was painted with.
    variants : tuple of Variant
    """

    seed: int
    hu: FloatArray
    tissues: NDArray[np.uint8]
    origin_mm: NDArray[np.float64]
    spacing_mm: float
    organ_mm: NDArray[np.float64]
    extent_mm: NDArray[np.float64]
    size: float
    table: TissueHu
    variants: tuple[Variant, ...]

    def scene(self, variant: Variant) -> Scene:
        """Return the box as a scene that holds what was planted."""
        affine = np.zeros((4, 4))
        affine[[2, 1, 0], [0, 1, 2]] = self.spacing_mm
        affine[:3, 3] = self.origin_mm[::-1]
        affine[3, 3] = 1.0
        nobody = cast(Patient, None)  # nothing that looks at a box asks who the patient is
        anatomy = Anatomy(self.tissues, affine, self.spacing_mm, nobody, self.seed)
        scene = Scene(anatomy, self.table, self.hu)
        scene.add(variant.lesions)
        return scene

    def keep(self, path: Path) -> None:
        """Write the case; the file appears whole or not at all."""
        arrays: dict[str, NDArray[Any]] = {
            "hu": np.clip(np.rint(self.hu / HU_STEP), -32768, 32767).astype(np.int16),
            "tissues": self.tissues,
            "table": np.stack([self.table.mean, self.table.sd]),
        }
        told = []
        for number, variant in enumerate(self.variants):
            for place, lesion in enumerate(variant.lesions):
                arrays[f"delta_{number}_{place}"] = lesion.delta_hu.astype(np.float16)
                arrays[f"mask_{number}_{place}"] = np.packbits(lesion.mask)
            told.append({"ill": variant.ill, "lesions": [_told(x) for x in variant.lesions]})
        plain = {
            "seed": self.seed,
            "origin_mm": self.origin_mm.tolist(),
            "spacing_mm": self.spacing_mm,
            "organ_mm": self.organ_mm.tolist(),
            "extent_mm": self.extent_mm.tolist(),
            "size": self.size,
            "variants": told,
        }
        keep(path, arrays, plain)

    @classmethod
    def read(cls, path: Path) -> Case:
        """Read a case back."""
        arrays, plain = read(path)
        variants = []
        for number, told in enumerate(plain.pop("variants")):
            lesions = tuple(
                _lesion(x, arrays[f"delta_{number}_{place}"], arrays[f"mask_{number}_{place}"])
                for place, x in enumerate(told["lesions"])
            )
            variants.append(Variant(told["ill"], lesions))
        places = {name: np.asarray(plain.pop(name), np.float64)
                  for name in ("origin_mm", "organ_mm", "extent_mm")}  # fmt: skip
        return cls(
            hu=arrays["hu"].astype(np.float32) * np.float32(HU_STEP),
            tissues=arrays["tissues"],
            table=TissueHu(*arrays["table"]),
            variants=tuple(variants),
            **places,
            **plain,
        )


def trimmed(lesion: Lesion) -> Lesion:
    """Return a lesion with voxels no finer than a network's grid can show."""
    if lesion.grid.spacing_mm >= FINEST_MM or min(lesion.grid.shape) < 4:
        return lesion
    odd = [(0, size % 2) for size in lesion.grid.shape]
    delta, mask = (np.pad(x, odd) for x in (lesion.delta_hu, lesion.mask.astype(np.float32)))
    s, r, c = (size // 2 for size in delta.shape)
    delta, share = (x.reshape(s, 2, r, 2, c, 2).mean(axis=(1, 3, 5)) for x in (delta, mask))
    step = lesion.grid.spacing_mm
    z, y, x = (float(low + 0.5 * step) for low in lesion.grid.origin_mm)
    grid = FineGrid((z, y, x), 2 * step, (s, r, c))
    return replace(lesion, grid=grid, delta_hu=delta.astype(np.float32), mask=share >= 0.5)


def keep(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    plain: Mapping[str, Any],
    *,
    compressed: bool = False,
) -> None:
    """Write arrays and plain values; the file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    text = np.frombuffer(json.dumps(plain, default=_plain).encode(), np.uint8)
    with partial.open("wb") as file:
        (np.savez_compressed if compressed else np.savez)(file, plain=text, **arrays)
    partial.rename(path)


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Read what `keep` wrote; lists come back as tuples."""
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files if name != "plain"}
        plain = json.loads(stored["plain"].tobytes())
    return arrays, {name: _frozen(value) for name, value in plain.items()}


def _plain(value: Any) -> Any:
    """Turn NumPy's scalars and arrays into Python's."""
    return value.tolist()


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(item) for item in value)
    if isinstance(value, dict):
        return {name: _frozen(item) for name, item in value.items()}
    return value


def _told(lesion: Lesion) -> dict[str, Any]:
    """Return a lesion without its arrays."""
    named = ("check", "kind", "is_finding", "difficulty", "centre_mm", "diameter_mm",
             "contrast_hu", "site", "dprime", "extra")  # fmt: skip
    grid = (lesion.grid.origin_mm, lesion.grid.spacing_mm, lesion.grid.shape)
    return {"grid": grid, **{name: getattr(lesion, name) for name in named}}


def _lesion(told: dict[str, Any], delta: NDArray[Any], mask: NDArray[Any]) -> Lesion:
    grid = FineGrid(*told["grid"])
    count = int(np.prod(grid.shape))
    held = np.unpackbits(mask, count=count).astype(bool).reshape(grid.shape)
    return Lesion(**{**told, "grid": grid}, delta_hu=delta.astype(np.float32), mask=held)
