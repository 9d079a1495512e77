"""A phantom study decoded and planned in this process: what each check's network is given."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gateway.intake.folders import collect
from gateway.runtime.backends.onnxruntime import engine
from gateway.screening.anatomy import parse_anatomy
from gateway.screening.manifest import ANATOMY, Manifest
from gateway.screening.manifest_reader import load_manifests
from gateway.screening.phase import contrast_phase
from gateway.screening.plan import Box, SeriesChoice, plan_check
from gateway.screening.series_facts import facts_of
from gateway.settings import ROOT, IntakeSettings
from gateway.study.decode import decode_series
from gateway.study.geometry import SeriesGeometry
from gateway.study.series import Series, group_series
from gateway.triton.repository import read_config
from loadtests.bench_studies import phantom
from postprocess.finish import Given, finish
from preprocess.bodybox import body_box
from preprocess.grid import Grid
from preprocess.organs import OrganMap
from preprocess.prepare import GRID_OUTPUTS, SCAN_OUTPUTS, Prepared, prepare
from preprocess.recipe import Recipe

REPOSITORY = ROOT / "model_repository"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What one pipeline is given of the volume, as the worker's plan says."""

    manifest: Manifest
    slab: tuple[int, int]
    """First and last slice, half-open."""

    roi: Box
    """Voxels of the slab, half-open."""

    @property
    def recipe(self) -> Recipe:
        """Grid and windows."""
        assert self.manifest.recipe_json is not None
        return Recipe.from_json(self.manifest.recipe_json)

    @property
    def wanted(self) -> tuple[str, ...]:
        """What its ensemble takes of `preprocess.prepare`."""
        config = read_config(REPOSITORY / str(self.manifest.ensemble) / "config.pbtxt")
        first = config.ensemble_scheduling.step[0]
        return tuple(n for n in (*GRID_OUTPUTS, *SCAN_OUTPUTS) if n in first.output_map)

    def prepared(self, study: Planned) -> Prepared:
        """Make what its ensemble makes first."""
        first, last = self.slab
        geometry = study.affine.copy()
        geometry[:3, 3] += study.affine[:3, 0] * first
        return prepare(
            study.volume[first:last],
            geometry=geometry,
            roi=self.roi,
            recipe=self.recipe,
            wanted=self.wanted,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """One decoded study and what is asked of it."""

    volume: npt.NDArray[np.int16]
    """(S, R, C), HU."""

    affine: npt.NDArray[np.float64]
    organs: OrganMap
    asked: tuple[Asked, ...]
    """The anatomy first, then the checks that apply."""

    skipped: Mapping[str, str]
    """Check → why it does not apply."""


def planned_study(*, slices: int) -> Planned:
    """Decode a phantom study, look for its organs and plan every installed CT check."""
    with collect([phantom(slices)], settings=IntakeSettings()) as found:
        [series] = group_series(found.instances)
        volume = np.empty(series.geometry.shape, np.int16)
        decode_series(series, series.geometry, found.objects, volume)
    return plan(volume, series, load_manifests(REPOSITORY))


def plan(
    volume: npt.NDArray[np.int16], series: Series, manifests: Mapping[str, Manifest]
) -> Planned:
    """Find the organs of a decoded series and plan its checks, as the worker does."""
    geometry: SeriesGeometry = series.geometry
    manifest = manifests[ANATOMY]
    assert manifest.phase is not None
    whole = Asked(
        manifest=manifest,
        slab=(0, len(volume)),
        roi=_six(body_box(volume, geometry.spacing_mm)),
    )
    prepared = prepare(
        volume, geometry=geometry.affine, roi=whole.roi, recipe=whole.recipe, wanted=GRID_OUTPUTS
    )
    net = REPOSITORY / str(manifest.provenance["model"]) / "1" / "model.onnx"
    outputs = engine.load(net, openvino=True).run({"volume": np.asarray(prepared.volume)})
    assert prepared.grid_geometry is not None
    finished = finish(
        Given(
            outputs=outputs,
            grid_hu=prepared.grid_hu,
            grid_geometry=prepared.grid_geometry,
            post=whole.recipe.post,
        )
    )
    anatomy = parse_anatomy(json.loads(finished.lesions)["measures"])
    grid = Grid(finished.mask.shape, finished.mask_geometry)
    labels = tuple(getattr(whole.recipe.post, "labels", ()))
    steps = [
        plan_check(
            check,
            facts=facts_of(series),
            choice=SeriesChoice(),
            anatomy=anatomy,
            phase=contrast_phase(anatomy, manifest.phase),
            shape=geometry.shape,
            affine=geometry.affine,
            anatomy_affine=grid.affine,
        )
        for check in ct_checks(manifests)
    ]
    return Planned(
        volume=volume,
        affine=geometry.affine,
        organs=OrganMap(finished.mask, labels, grid),
        asked=(
            whole,
            *(
                Asked(manifest=manifests[step.check], slab=step.slab, roi=step.roi)
                for step in steps
                if step.slab is not None and step.roi is not None
            ),
        ),
        skipped={step.check: step.reason for step in steps if step.reason is not None},
    )


def ct_checks(manifests: Mapping[str, Manifest], names: Collection[str] = ()) -> list[Manifest]:
    """Give the checks of CT that have a network, all or those that are named."""
    return [
        one
        for one in manifests.values()
        if one.is_check
        and one.has_network
        and "CT" in one.needs.modality
        and (not names or one.name in names)
    ]


def _six(box: tuple[int, ...]) -> Box:
    return (box[0], box[1], box[2], box[3], box[4], box[5])
