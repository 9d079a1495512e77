"""The shapes and the precision that an engine is made for, of config.pbtxt and pipeline.toml."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.screening.manifest import Manifest
from preprocess.recipe import GridRecipe, Recipe

Shape = tuple[int, ...]

PRECISIONS = ("fp16", "fp32")

LEAST_MM = 20.0
"""Least extent of a volume along each axis, mm, where the grid's own minimum is not more."""

SCAN_MM = ((500.0, 400.0, 400.0), (1500.0, 600.0, 600.0))
"""Usual and largest extent of a whole slab, (slices, rows, columns), mm: chest and abdomen; a
whole body in the widest field of view."""

BOX_MM = ((240.0, 180.0, 220.0), (800.0, 450.0, 550.0))
"""Usual and largest extent of a box of organs with its margin, mm: lungs, heart and liver are
the largest that a check asks for."""

TABLE_ROWS = 65536
"""Rows of a table that the whole of a batch is compared with, such as a memory bank."""

FULL = "f32"
"""``onescan_precision`` of a network that answers wrongly in fewer bits."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """What an input may measure, its batch axis included."""

    least: Shape
    usual: Shape
    """What the engine is tuned for."""

    most: Shape


@dataclass(frozen=True, slots=True)
class Profile:
    """What an engine is made for."""

    shapes: Mapping[str, Shapes]
    """By input."""

    precision: str
    max_batch: int
    """0: the network has no batch axis of studies."""

    def told(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return {
            "max_batch": self.max_batch,
            "precision": self.precision,
            "shapes": {
                name: {
                    "least": list(shapes.least),
                    "usual": list(shapes.usual),
                    "most": list(shapes.most),
                }
                for name, shapes in sorted(self.shapes.items())
            },
        }


def profile_of(
    config: Any, manifest: Manifest | None, *, precision: str, max_batch: int
) -> Profile:
    """Say what the engine of a network is made for.

    Parameters
    ----------
    config : ModelConfig
        Its ``config.pbtxt``. Axes that this leaves free get their bounds from the manifest.
    manifest : Manifest, optional
        Of the pipeline that asks it; its grid bounds the volume from below, and how far scans
        and boxes of organs reach, in mm, from above.
    precision : {"fp16", "fp32"}
        fp32 for a network whose ``onescan_precision`` is ``f32``, whatever is asked for.
    max_batch : int
        The network's own ``max_batch_size`` where that is smaller: inputs that differ in shape
        are never mixed in a batch.
    """
    batch = min(max_batch, config.max_batch_size) if config.max_batch_size else 0
    asked = config.parameters.get("onescan_precision")  # reading by [] would write an empty one
    if asked is not None and asked.string_value == FULL:
        precision = "fp32"
    warm = {
        name: tuple(given.dims) for one in config.model_warmup for name, given in one.inputs.items()
    }
    shapes = {}
    for tensor in config.input:
        dims = tuple(tensor.dims)
        made = _shapes(dims, warm.get(tensor.name, ()), manifest)
        if batch:
            made = Shapes((1, *made.least), (batch, *made.usual), (batch, *made.most))
        shapes[tensor.name] = made
    return Profile(shapes=shapes, precision=precision, max_batch=batch)


def _shapes(dims: Shape, warm: Shape, manifest: Manifest | None) -> Shapes:
    if -1 not in dims:
        return Shapes(dims, dims, dims)
    if dims[0] == -1:  # a table: only its rows are free
        rows = warm[0] if warm else 1
        rest = dims[1:]
        return Shapes((1, *rest), (rows, *rest), (TABLE_ROWS, *rest))
    grid = _grid(manifest)
    usual_mm, most_mm = BOX_MM if manifest is not None and manifest.roi else SCAN_MM
    ends = []
    for extent_mm in ((LEAST_MM,) * 3, usual_mm, most_mm):
        voxels = [_voxels(mm, step, grid) for mm, step in zip(extent_mm, grid.spacing_mm)]
        ends.append(
            tuple(n if n != -1 else voxels[axis - 3] for axis, n in enumerate(dims, 3 - len(dims)))
        )
    return Shapes(*ends)


def _grid(manifest: Manifest | None) -> GridRecipe:
    if manifest is None or manifest.recipe_json is None:
        return GridRecipe(spacing_mm=(1.0, 1.0, 1.0), multiple=16, minimum=16)
    return Recipe.from_json(manifest.recipe_json).grid


def _voxels(extent_mm: float, spacing_mm: float, grid: GridRecipe) -> int:
    """Pad as `preprocess.pad` does."""
    count = max(grid.minimum, round(extent_mm / spacing_mm), 1)
    return -(-count // grid.multiple) * grid.multiple
