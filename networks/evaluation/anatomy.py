"""Judge the anatomy network: Dice on unseen phantoms, whole and as a slab, and on real scans."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from networks.export import open_session
from networks.inference import Run, dice_by_class, label_volume
from networks.labels import ANATOMY_LABELS
from networks.phantoms.acquire import acquire
from networks.phantoms.anatomy import sample_anatomy
from networks.phantoms.paint import paint
from networks.phantoms.profiles import PROFILES
from networks.pool import SPACING_MM, UNSEEN_SEED
from networks.reference import RealCase, organs_from_total
from preprocess.grid import Grid
from preprocess.resample import resample

MODEL = Path(__file__).resolve().parents[2] / "model_repository/anatomy_net/1/model.onnx"

FIRST_TEST_SEED = UNSEEN_SEED + 1000
"""Validation during training looks at the seeds below; the test never does."""

PHASES = ("native", "native", "native", "arterial", "venous", "delayed")
"""Cycled over the test phantoms: half native."""

SERIES = ((5.0, "soft"), (3.0, "standard"), (2.5, "soft"), (5.0, "standard"), (3.0, "sharp"))
"""Thickness in mm and kernel, cycled over the test phantoms."""

MATRIX = 256
"""Rows and columns of the test scans; at 3 mm a matrix of 512 gives the same."""

SLAB_SLICES = 30
"""90 mm, centred on the liver's middle slice."""

BOOTSTRAPS = 2000


def onnx_run(path: Path) -> Run:
    """Open an exported file as a function from windows to labels."""
    session = open_session(path)

    def run(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
        labels: NDArray[np.uint8] = session.run(["labels"], {"volume": volume})[0]
        return labels

    return run


def phantom_scan(index: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Draw a test phantom, scan it with one of the scanner models and resample it as served.

    Parameters
    ----------
    index : int
        Counted from FIRST_TEST_SEED; cycles over phases, scanners and series.

    Returns
    -------
    hu : (S, R, C) ndarray of int16
        On the 3 mm grid of the served pipeline.
    organs : (S, R, C) ndarray of uint8
        Truth, looked up on the same grid.
    """
    seed = FIRST_TEST_SEED + index
    anatomy = sample_anatomy(seed, spacing_mm=SPACING_MM)
    rng = np.random.default_rng((seed, 2))
    names = sorted(PROFILES)
    thickness_mm, kernel = SERIES[index % len(SERIES)]
    scan = acquire(
        paint(anatomy, rng, phase=PHASES[index % len(PHASES)]),
        anatomy.affine,
        PROFILES[names[(index + index // len(PHASES)) % len(names)]],
        rng,
        kernel=kernel,
        matrix=MATRIX,
        thickness_mm=thickness_mm,
        increment_mm=thickness_mm,
    )
    target = (SPACING_MM,) * 3
    hu = resample(scan.hu, spacing_mm=scan.spacing_mm, target_spacing_mm=target)
    shape = (scan.hu.shape[0], scan.hu.shape[1], scan.hu.shape[2])
    affine = Grid(shape, scan.affine).resampled(target).affine
    truth = look_up(anatomy.organ_labels(), anatomy.affine, hu.shape, affine)
    return np.clip(np.rint(hu), -1024, 3071).astype(np.int16), truth


def look_up(
    labels: NDArray[np.uint8],
    affine: NDArray[np.float64],
    shape: Sequence[int],
    target: NDArray[np.float64],
) -> NDArray[np.uint8]:
    """Take the nearest label for every voxel of another grid with parallel axes; 0 outside.

    Parameters
    ----------
    labels, affine : (S, R, C) and (4, 4) ndarray
        Label map, and its (slice, row, column, 1) → LPS mm.
    shape, target : three int and (4, 4) ndarray
        The other grid.
    """
    step = np.linalg.solve(affine, target)
    index, within = [], []
    for axis, (size, count) in enumerate(zip(shape, labels.shape)):
        position = np.rint(np.arange(size) * step[axis, axis] + step[axis, 3]).astype(int)
        within.append((position >= 0) & (position < count))
        index.append(np.clip(position, 0, count - 1))
    found = labels[np.ix_(*index)]
    found[~(within[0][:, None, None] & within[1][:, None] & within[2])] = 0
    return found


def interval(values: Sequence[float], seed: int = 0) -> dict[str, float]:
    """Mean and its 95 % interval, by resampling the cases; NaNs are cases without the organ."""
    held = np.asarray([value for value in values if not np.isnan(value)])
    if not held.size:
        return {"cases": 0}
    draws = np.random.default_rng(seed).integers(held.size, size=(BOOTSTRAPS, held.size))
    low, high = np.percentile(held[draws].mean(axis=1), [2.5, 97.5])
    return {
        "dice": round(float(held.mean()), 3),
        "low": round(float(low), 3),
        "high": round(float(high), 3),
        "worst": round(float(held.min()), 3),
        "cases": int(held.size),
    }


def evaluate_phantoms(run: Run, count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Dice per organ on unseen phantoms, whole and as a 90 mm slab through the liver."""
    whole, slab = [], []
    for index in range(count):
        hu, truth = phantom_scan(index)
        whole.append(dice_by_class(label_volume(run, hu), truth, ANATOMY_LABELS))
        slices = np.flatnonzero((truth == ANATOMY_LABELS.index("liver")).any(axis=(1, 2)))
        first = max(0, int(np.median(slices)) - SLAB_SLICES // 2)
        cut = slice(first, first + SLAB_SLICES)
        slab.append(dice_by_class(label_volume(run, hu[cut]), truth[cut], ANATOMY_LABELS))
    return {
        view: {name: interval([case[name] for case in cases]) for name in ANATOMY_LABELS[1:]}
        for view, cases in (("whole", whole), ("slab", slab))
    }


def evaluate_real(run: Run, case: RealCase) -> dict[str, Any]:
    """Dice and reference volume per organ on a real scan, on the reference's own grid."""
    hu = resample(case.hu, spacing_mm=case.spacing_mm, target_spacing_mm=(SPACING_MM,) * 3)
    found = label_volume(run, np.rint(hu).astype(np.int16))
    truth = organs_from_total(case.total_labels)
    s, r, c = truth.shape
    reference = Grid((s, r, c), np.diag([*case.spacing_mm, 1.0]))
    found = look_up(
        found, reference.resampled((SPACING_MM,) * 3).affine, truth.shape, reference.affine
    )
    voxel_ml = float(np.prod(case.spacing_mm)) / 1000
    figures = {}
    for name, dice in dice_by_class(found, truth, ANATOMY_LABELS).items():
        label = ANATOMY_LABELS.index(name)
        figures[name] = {
            "dice": None if np.isnan(dice) else round(dice, 3),
            "reference_ml": round(float((truth == label).sum()) * voxel_ml, 1),
            "found_ml": round(float((found == label).sum()) * voxel_ml, 1),
        }
    return figures


def evaluate(model: Path, count: int, cases: Sequence[RealCase]) -> dict[str, Any]:
    """Judge an exported file on unseen phantoms and on real scans."""
    run = onnx_run(model)
    return {
        "check": "anatomy",
        "first_seed": FIRST_TEST_SEED,
        "phantoms": evaluate_phantoms(run, count) if count else {},
        "real": {case.name: evaluate_real(run, case) for case in cases},
    }
