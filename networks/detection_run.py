"""Run a detector over a whole organ, and count what it marked.

What follows the networks is `postprocess.detections`, which the server runs as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.detection import Tile, spared_case
from networks.export import open_session
from networks.metrics import MarkedCase
from networks.nets.crop_classifier import CROP, CropClassifierFile, DetectorAndClassifier
from networks.nets.detector import DetectorFile
from networks.phantoms.case import Case
from networks.phantoms.lesion import Lesion
from networks.phantoms.profiles import ScannerProfile
from networks.phantoms.region import RegionGrid
from networks.phantoms.tissue import Tissue
from networks.scenes import PatientPool
from networks.tile_sampling import Scans, drawn_profile, scan_box
from networks.tile_scenes import TileScene
from postprocess.detections import Peaks, crops, gather, rescored, suppress
from preprocess.tiles import cut_tiles, plan_tiles

MARGIN = (4, 8, 8)
"""Voxels at each side of a tile for which its neighbour answers. What of a large lesion is left in
the tile is enough to find it."""

CANDIDATES = 50
"""Marks of a scan that the crop classifier looks at."""

LEAST_SCORE = 0.02
"""Peaks below it are no candidates."""

AROUND_MM = 8.0
"""Of the organ's box that is scanned, at each side."""

Windows = tuple[tuple[float, float], ...]
Detect = Callable[[NDArray[np.float32]], NDArray[np.float32]]
Classify = Callable[[NDArray[np.float32]], tuple[NDArray[np.float32], NDArray[np.float32]]]


@dataclass(frozen=True)
class Finder:
    """A detector with its crop classifier.

    Attributes
    ----------
    tile : Tile
    windows_hu : tuple of (low, high)
    detect : callable
        (N, channels, D, H, W) windows → (N, K, 5 + kinds) peaks.
    classify : callable
        (n, channels, CROP, CROP, CROP) windows → (n, 1) chances and (n, kinds) probabilities.
    batch : int
        Tiles that go through at once.
    """

    tile: Tile
    windows_hu: Windows
    detect: Detect
    classify: Classify
    batch: int = 2

    def find(self, hu: NDArray[np.int16], mask: NDArray[np.bool_]) -> Peaks:
        """Find the lesions of a volume.

        Parameters
        ----------
        hu : (S, R, C) ndarray of int16
            On the detector's grid.
        mask : (S, R, C) ndarray of bool
            Where to look.

        Returns
        -------
        Peaks
            In voxels of the volume, by falling score.
        """
        plan = plan_tiles(mask, shape=self.tile.shape, margin=MARGIN)
        rows = [
            self.detect(self._windows(cut_tiles(hu, plan.starts[n : n + self.batch], plan.shape)))
            for n in range(0, len(plan.starts), self.batch)
        ]
        if not rows:
            return Peaks(np.empty(0), np.empty((0, 3)), np.empty(0), np.empty((0, 0)))
        peaks = gather(np.concatenate(rows), plan.starts, plan.cores, least_score=LEAST_SCORE)
        peaks = suppress(peaks, self.tile.spacing_mm, most=CANDIDATES)
        if not len(peaks):
            return peaks
        chances, kinds = self.classify(self._windows(crops(hu, peaks.voxels, CROP)))
        return rescored(peaks, chances, kinds)

    def _windows(self, hu: NDArray[np.int16]) -> NDArray[np.float32]:
        scaled = [
            (np.clip(hu, low, high).astype(np.float32) - low) / (high - low)
            for low, high in self.windows_hu
        ]
        return np.stack(scaled, axis=1).astype(np.float32)


def torch_finder(
    network: DetectorAndClassifier, tile: Tile, windows_hu: Windows, *, bf16: bool = False
) -> Finder:
    """Wrap networks in the interface of the exported files."""
    detector, classifier = DetectorFile(network.detector), CropClassifierFile(network.classifier)
    place = next(network.parameters()).device

    def forward(file: torch.nn.Module, volume: NDArray[np.float32]) -> Any:
        with torch.no_grad(), torch.autocast(place.type, torch.bfloat16, enabled=bf16):
            return file(torch.from_numpy(volume).to(place))

    def plain(value: Tensor) -> NDArray[np.float32]:
        array: NDArray[np.float32] = value.float().cpu().numpy()
        return array

    def classify(volume: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chance, kinds = forward(classifier, volume)
        return plain(chance), plain(kinds)

    return Finder(tile, windows_hu, lambda volume: plain(forward(detector, volume)), classify)


def onnx_finder(detector: Path, classifier: Path, tile: Tile, windows_hu: Windows) -> Finder:
    """Open two exported files."""
    first, second = open_session(detector), open_session(classifier)

    def detect(volume: NDArray[np.float32]) -> NDArray[np.float32]:
        peaks: NDArray[np.float32] = first.run(["peaks"], {"volume": volume})[0]
        return peaks

    def classify(volume: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        chance, kinds = second.run(["chance", "kinds"], {"crops": volume})
        return chance, kinds

    return Finder(tile, windows_hu, detect, classify)


# --- scans to be judged -------------------------------------------------------------------------


@dataclass(frozen=True)
class OrganScan:
    """A scan of the box of an organ, with its truth.

    Attributes
    ----------
    seed : int
    scanner : str
        Name of the profile.
    hu : (S, R, C) ndarray of int16
        On the detector's grid.
    mask : (S, R, C) ndarray of bool
        Where the detector is to look.
    grid : RegionGrid
    lesions : tuple of Lesion
        Those of the check, confounders included.
    """

    seed: int
    scanner: str
    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    grid: RegionGrid
    lesions: tuple[Lesion, ...]


def scan_scene(
    scene: TileScene,
    patients: PatientPool,
    tissues: Sequence[Tissue],
    tile: Tile,
    scans: Scans,
    lesions: Sequence[Lesion],
    *,
    profile: ScannerProfile | None = None,
    number: int = 0,
) -> OrganScan:
    """Scan the organ of a kept patient with some of its lesions, the same way every time.

    Parameters
    ----------
    profile : ScannerProfile, optional
        The scanner; one of those for training is drawn by default.
    number : int
        Another scan of the same patient has another number.
    """
    rng = np.random.default_rng((scene.seed, 19, number))
    labels = patients.get(scene.seed).labels
    grid, mask = organ_grid(labels, scene.origin_mm, scene.spacing_mm, tissues, tile)
    drawn = drawn_profile(rng)
    profile = profile or drawn
    kernel, thickness_mm = scans.draw(rng)
    hu = scan_box(scene, lesions, grid, profile, rng, kernel=kernel, thickness_mm=thickness_mm)
    return OrganScan(scene.seed, profile.name, hu, mask, grid, tuple(lesions))


def scan_case(case: Case, check: str, tissues: Sequence[Tissue], tile: Tile) -> OrganScan:
    """Scan the organ of a case of a cohort, as its plan says."""
    scene = case.scene
    grid, mask = organ_grid(scene.anatomy.labels, scene.origin_mm, scene.spacing_mm, tissues, tile)
    hu = np.clip(np.rint(case.region(grid)), -1024, 3071).astype(np.int16)
    lesions = tuple(lesion for lesion in case.lesions if lesion.check == check)
    return OrganScan(case.plan.seed, case.plan.profile, hu, mask, grid, lesions)


def organ_grid(
    labels: NDArray[np.uint8],
    origin_mm: NDArray[np.float64],
    spacing_mm: float,
    tissues: Sequence[Tissue],
    tile: Tile,
) -> tuple[RegionGrid, NDArray[np.bool_]]:
    """Return the detector's grid over the box of some tissues, and their mask on it."""
    inside = np.isin(labels, tissues)
    edges = []
    for axis in range(3):
        held = np.flatnonzero(inside.any(axis=tuple(n for n in range(3) if n != axis)))
        edges.append((held[0], held[-1]))
    low, high = (origin_mm + np.array(edge) * spacing_mm for edge in zip(*edges, strict=True))
    top = origin_mm + (np.array(labels.shape) - 1) * spacing_mm
    grid = RegionGrid.over(
        np.maximum(low - AROUND_MM, origin_mm), np.minimum(high + AROUND_MM, top), tile.spacing_mm,
        multiple=2,  # slices of twice the grid's spacing lie under an even number of voxels only
    )  # fmt: skip
    index = [
        np.clip(np.rint((axis - first) / spacing_mm).astype(int), 0, count - 1)
        for axis, first, count in zip(grid.axes, origin_mm, labels.shape, strict=True)
    ]
    return grid, inside[np.ix_(*index)]


def count_marks(
    scan: OrganScan,
    peaks: Peaks,
    scores: NDArray[np.float64],
    wanted: Sequence[Lesion],
    spared: Sequence[Lesion] = (),
) -> MarkedCase:
    """Count the marks of a scan by the rules of pipelines.md §7.3.

    Parameters
    ----------
    scores : (n,) ndarray
        By which marks are ranked.
    wanted : sequence of Lesion
        What is to be found.
    spared : sequence of Lesion
        A mark on one of these is no false positive, such as a nodule of another size.
    """
    points = peaks.points_mm(scan.grid.affine)[:, ::-1]
    return spared_case(scores, peaks.diameters_mm, points, wanted, spared)
