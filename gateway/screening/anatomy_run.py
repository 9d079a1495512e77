"""The anatomy of a decoded volume, and its label map in shared memory for the checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gateway.screening.anatomy import Anatomy, parse_anatomy
from gateway.screening.infers import Infers
from gateway.screening.manifest import Manifest
from gateway.screening.phase import Phase, contrast_phase
from gateway.screening.threads import in_thread
from gateway.study.geometry import SeriesGeometry
from gateway.triton.client import PRIORITY_STAT
from gateway.triton.shared_memory import Organs, SharedLabels, SharedVolume
from gateway.triton.tensors import Inference
from preprocess.bodybox import body_box
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.recipe import Recipe


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SeenAnatomy:
    """What the anatomy ensemble saw in a volume."""

    anatomy: Anatomy
    phase: Phase
    organs: OrganMap
    reference: Organs
    """The same map as the ``ORGANS`` tensor names it."""


class AnatomyRun:
    """The anatomy pipeline over volumes.

    Parameters
    ----------
    manifest : Manifest
        Of the pipeline.
    triton : Infers
        Runs its ensemble.
    home : Path
        ``ONESCAN_HOME``, for the name of the region.
    """

    def __init__(self, manifest: Manifest, triton: Infers, home: Path) -> None:
        assert manifest.ensemble is not None
        assert manifest.recipe_json is not None
        assert manifest.phase is not None
        self._manifest = manifest
        self._ensemble, self._recipe_json = manifest.ensemble, manifest.recipe_json
        self._gate = manifest.phase
        self._triton = triton
        self._home = home
        recipe = Recipe.from_json(manifest.recipe_json)
        self._spacing_mm = recipe.grid.spacing_mm
        self._labels = tuple(getattr(recipe.post, "labels", ()))

    def label_bytes(self, geometry: SeriesGeometry) -> int:
        """Give what the label map takes at most: that of the whole volume."""
        extent = np.multiply(geometry.shape, geometry.spacing_mm)
        return int(np.prod(np.ceil(extent / self._spacing_mm) + 1))

    async def infer(self, volume: SharedVolume, geometry: SeriesGeometry) -> Inference:
        """Run the ensemble on the body's box.

        Raises
        ------
        ModelError
            When it does not answer as it should.
        """
        box = await in_thread(body_box, volume.array, geometry.spacing_mm)
        return await self._triton.infer(
            self._ensemble,
            source=volume.source(),
            geometry=geometry.affine,
            roi=np.array(box, np.int32),
            recipe=self._recipe_json,
            timeout_seconds=self._manifest.timeout_seconds,
            priority=PRIORITY_STAT,
        )

    @contextmanager
    def shared(self, inference: Inference) -> Iterator[SeenAnatomy]:
        """Read an answer and hold its label map in shared memory for a block of code.

        Raises
        ------
        ModelOutputError
            When its measures break their contract.
        """
        anatomy = parse_anatomy(inference.lesions.get("measures", {}))
        shape = _three(inference.mask)
        with SharedLabels.create(shape, home=self._home) as labels:
            labels.array[:] = inference.mask
            yield SeenAnatomy(
                anatomy=anatomy,
                phase=contrast_phase(anatomy, self._gate),
                organs=OrganMap(inference.mask, self._labels, Grid(shape, inference.mask_geometry)),
                reference=labels.organs(inference.mask_geometry, self._labels),
            )


def _three(mask: npt.NDArray[np.uint8]) -> tuple[int, int, int]:
    return mask.shape[0], mask.shape[1], mask.shape[2]
