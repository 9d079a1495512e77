"""Organ measures on a real native CT with its reference organs: what comes after the network."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from postprocess.finish import Given, finish
from preprocess.prepare import Prepared, prepare
from preprocess.recipe import Recipe

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = tomllib.loads((ROOT / "model_repository/anatomy/pipeline.toml").read_text())
RECIPE = Recipe.from_mapping(MANIFEST["recipe"])

REFERENCE = {1: "spleen", 5: "liver", 52: "aorta", 63: "inferior_vena_cava"}
"""Class of the reference mask → our label."""

MEDIAN_HU = {"aorta": 42, "liver": 47, "spleen": 35, "inferior_vena_cava": 41}
"""Measured on the reference organs apart from this code, with their surface."""

TOLERANCE_HU = 2
"""Ours are eroded, theirs are not."""


def canonical(path: Path) -> NDArray[Any]:
    """Read a NIfTI of axes R, A, S as (slices, rows anterior → posterior, columns right → left)."""
    image = nibabel.load(path)
    assert nibabel.aff2axcodes(image.affine) == ("R", "A", "S")
    return np.asarray(image.dataobj).T[:, ::-1, ::-1]


@pytest.fixture(scope="module")
def prepared(shared_data: Path) -> Prepared:
    """Prepare the real slab, whose 3 mm grid is the recipe's own."""
    hu = canonical(shared_data / "ct/abdomen-native-3mm.nii.gz").astype(np.int16)
    roi = [edge for size in hu.shape for edge in (0, size)]
    return prepare(hu, geometry=np.diag([3.0, 3.0, 3.0, 1.0]), roi=roi, recipe=RECIPE)


@pytest.fixture(scope="module")
def organs(prepared: Prepared, shared_data: Path) -> dict[str, dict[str, Any]]:
    """Measure the reference organs."""
    classes = canonical(shared_data / "ct/abdomen-native-organs.nii.gz")
    labels = np.zeros(prepared.volume.shape[2:], np.uint8)
    inside = labels[tuple(slice(n) for n in classes.shape)]
    for value, name in REFERENCE.items():
        inside[classes == value] = RECIPE.post.labels.index(name)
    done = finish(
        Given(
            outputs={"labels": labels[None]},
            grid_hu=prepared.grid_hu,
            grid_geometry=prepared.grid_geometry,
            post=RECIPE.post,
        )
    )
    measured: dict[str, dict[str, Any]] = json.loads(done.lesions)["measures"]["organs"]
    return measured


@pytest.mark.parametrize("name", sorted(MEDIAN_HU))
def test_organ_medians_are_those_measured_elsewhere(
    organs: dict[str, dict[str, Any]], name: str
) -> None:
    """Aorta 42, liver 47, spleen 35, inferior vena cava 41 HU."""
    assert organs[name]["median_hu"] == pytest.approx(MEDIAN_HU[name], abs=TOLERANCE_HU)


def test_the_slab_cuts_the_liver_above_and_below(organs: dict[str, dict[str, Any]]) -> None:
    """And its eroded part is enough to be measured."""
    assert organs["liver"]["coverage"] == "truncated"
    assert organs["liver"]["truncated_sides"] == ["inferior", "superior"]
    assert organs["liver"]["eroded_ml"] > 100


def test_an_organ_outside_the_slab_is_absent(organs: dict[str, dict[str, Any]]) -> None:
    """No heart in an abdomen, and nothing measured of it."""
    assert organs["heart"]["coverage"] == "absent"
    assert organs["heart"]["median_hu"] is None


def test_the_body_of_a_real_slab_is_windowed_whole(prepared: Prepared) -> None:
    """Air is 0 and bone is 1 in the soft window, and both ends are reached."""
    soft = prepared.volume[0, 0]
    assert (soft.min(), soft.max()) == (0.0, 1.0)
    assert 0.2 < float(((soft > 0) & (soft < 1)).mean()) < 0.9
