"""A region of a phantom, through the recipe, the network and what is made of its outputs."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from gateway.exceptions import NetworkRefusedError
from gateway.runtime.backends.onnxruntime import engine
from gateway.screening.manifest import Manifest
from networks.labels import ANATOMY_LABELS
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.profiles import profile_named
from networks.phantoms.region import RegionGrid, acquire_region
from networks.phantoms.scene import Scene
from postprocess.exceptions import PostprocessError
from postprocess.finish import Given, finish
from preprocess.exceptions import PreprocessError
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

SEED = 6
"""Of the patient, whose organs are all in the picture."""

MOST_MM = (180.0, 240.0, 300.0)
"""Of the region, (z, y, x): all of an organ, or the middle of the trunk."""


def try_out(model: onnx.ModelProto, manifest: Manifest, recipe: Recipe) -> str:
    """Run a region of a phantom through the network, and say what came of it.

    Raises
    ------
    NetworkRefusedError
        When the network does not run, its outputs do not fit the recipe, or what is made of them
        lacks what the manifest names.
    """
    hu, geometry = region(manifest, recipe)
    try:
        made = prepare(hu, geometry=geometry, roi=_whole(hu.shape), recipe=recipe)
        outputs = _run(model, made.volume, manifest)
        finished = finish(
            Given(
                outputs=outputs,
                grid_hu=np.asarray(made.grid_hu),
                grid_geometry=np.asarray(made.grid_geometry),
                post=recipe.post,
            )
        )
    except (PreprocessError, PostprocessError) as error:
        raise NetworkRefusedError(f"On a phantom: {str(error).rstrip('.')}.") from None
    told = json.loads(finished.lesions)
    check_answer(finished.scores, told, manifest)
    scores = ", ".join(
        f"{name} {float(score):.3g}" for name, score in zip(manifest.scores, finished.scores)
    )
    shape = " × ".join(str(size) for size in hu.shape)
    return f"{shape} voxels, {scores}, {len(told['lesions'])} lesions."


def check_answer(scores: NDArray[np.float32], told: dict[str, Any], manifest: Manifest) -> None:
    """Hold what the check would be told to what its manifest names."""
    if len(scores) != len(manifest.scores):
        raise NetworkRefusedError(
            f"The network gives {len(scores)} scores, and the manifest names"
            f" {len(manifest.scores)} ({', '.join(manifest.scores)})."
        )
    if not np.isfinite(scores).all():
        raise NetworkRefusedError("On a phantom: the scores are not finite.")
    if manifest.rule is not None:
        return
    known = {*told["measures"], *manifest.scores}
    named = [one.name for one in manifest.measures if one.of is None]
    if manifest.thresholds is not None:
        named.append(manifest.thresholds.score)
    for name in named:
        if name not in known:
            raise NetworkRefusedError(
                f"The manifest names the measure {name!r}; there are {', '.join(sorted(known))}."
            )


def region(manifest: Manifest, recipe: Recipe) -> tuple[NDArray[np.int16], NDArray[np.float64]]:
    """Scan the box of the manifest's organs, or the middle of the trunk, on the recipe's grid."""
    scene = _scene()
    anatomy = scene.anatomy
    wanted = [ANATOMY_LABELS.index(name) for name in manifest.roi.organs] if manifest.roi else []
    voxels = np.argwhere(np.isin(anatomy.organ_labels(), wanted))
    if not len(voxels):
        voxels = np.array([[0, 0, 0], np.array(anatomy.labels.shape) - 1])
    low, high = (scene.origin_mm + end * 3.0 for end in (voxels.min(0), voxels.max(0)))
    margin = np.array(manifest.roi.margin_mm if manifest.roi else (0.0, 0.0, 0.0))
    half = np.minimum((high - low) / 2 + margin, np.array(MOST_MM) / 2)
    grid = RegionGrid.over((low + high) / 2 - half, (low + high) / 2 + half, recipe.grid.spacing_mm)
    scanned = acquire_region(
        scene, profile_named(None, SEED), np.random.default_rng(SEED), grid, thickness_mm=3.0
    )
    return np.rint(scanned).astype(np.int16), grid.affine


@cache
def _scene() -> Scene:
    return Scene.painted(sample_anatomy(SEED, spacing_mm=3.0), np.random.default_rng(SEED))


def _run(model: onnx.ModelProto, volume: Any, manifest: Manifest) -> dict[str, NDArray[Any]]:
    inputs = {"volume": np.asarray(volume)}
    if manifest.clinical:
        inputs["clinical"] = np.full((1, len(manifest.clinical)), np.nan, np.float32)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        onnx.save(model, str(path))
        for tensor in engine.describe(path)[0]:
            if tensor.name not in inputs:
                inputs[tensor.name] = np.zeros((1, *(n or 1 for n in tensor.shape[1:])), np.int64)
        try:
            outputs = engine.load(path, openvino=False).run(inputs)
        except Exception as error:  # ONNX Runtime's own are of many kinds
            first = " ".join(str(error).split())[:300]
            raise NetworkRefusedError(f"The network does not run on a phantom: {first}") from None
    if manifest.clinical:
        outputs["clinical"] = inputs["clinical"]
    return outputs


def _whole(shape: tuple[int, ...]) -> list[int]:
    return [end for size in shape for end in (0, size)]
