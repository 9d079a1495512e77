"""Write a detector and its crop classifier as ONNX, and hold the files to torch's answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from networks.export import ParityError, open_session, write_onnx
from networks.nets.crop_classifier import CROP, CropClassifier, CropClassifierFile
from networks.nets.detector import Detector, DetectorFile

TOLERANCE = 2e-3
"""Largest difference of a score, a probability or (in voxels and mm, relative) a place."""


def export_detector(network: Detector, path: Path) -> None:
    """Write a detector with dynamic batch and grid.

    Raises
    ------
    networks.export.ParityError
        When the file answers otherwise than torch.
    """
    channels = network.stem.first.in_channels // 8
    write_onnx(
        DetectorFile(network),
        path,
        inputs={"volume": torch.zeros(1, channels, 32, 48, 64)},
        outputs=("peaks",),
        dynamic={"volume": {0: "n", 2: "d", 3: "h", 4: "w"}, "peaks": {0: "n"}},
    )
    volume = drawn((2, channels, 48, 64, 80))
    with torch.no_grad():
        ours = DetectorFile(network)(torch.from_numpy(volume)).numpy()
    theirs = open_session(path).run(["peaks"], {"volume": volume})[0]
    if theirs.shape != ours.shape or np.abs(ours[:, :, 0] - theirs[:, :, 0]).max() > TOLERANCE:
        raise ParityError(f"{path} does not give torch's scores")
    # the order of peaks of one score is open: the strongest are compared place by place
    alone = np.diff(ours[:, :, 0], axis=1, prepend=np.inf) < -TOLERANCE
    alone[:, :-1] &= alone[:, 1:]
    difference = np.abs(ours - theirs)[alone] / np.maximum(np.abs(ours[alone]), 1)
    if difference.size and difference.max() > TOLERANCE:
        raise ParityError(f"{path} differs from torch by {difference.max():.2g}")


def export_classifier(network: CropClassifier, path: Path) -> None:
    """Write a crop classifier with dynamic batch.

    Raises
    ------
    networks.export.ParityError
        When the file answers otherwise than torch.
    """
    channels = network.stem.first.in_channels // 8
    write_onnx(
        CropClassifierFile(network),
        path,
        inputs={"crops": torch.zeros(1, channels, CROP, CROP, CROP)},
        outputs=("chance", "kinds"),
        dynamic={"crops": {0: "n"}, "chance": {0: "n"}, "kinds": {0: "n"}},
    )
    crops = drawn((5, channels, CROP, CROP, CROP))
    with torch.no_grad():
        ours = [x.numpy() for x in CropClassifierFile(network)(torch.from_numpy(crops))]
    theirs = open_session(path).run(["chance", "kinds"], {"crops": crops})
    worst = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    if worst > TOLERANCE:
        raise ParityError(f"{path} differs from torch by {worst:.2g}")


def drawn(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw (N, C, D, H, W) blobs in [0, 1] to compare runtimes on."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((*shape[:2], *(n // 8 for n in shape[2:])), np.float32))
    fine: NDArray[np.float32] = torch.nn.functional.interpolate(
        coarse, size=shape[2:], mode="trilinear", align_corners=False
    ).numpy()
    return fine
