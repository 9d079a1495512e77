"""Run an anatomy network on a whole volume of HU, and compare label maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from networks.sampling import MINIMUM, MULTIPLE
from preprocess.pad import crop_back, pad

WINDOWS_HU = ((-160.0, 240.0), (-1024.0, 1024.0))
"""One input channel each: soft tissue, and everything."""

Run = Callable[[NDArray[np.float32]], NDArray[np.uint8]]
"""(N, 2, D, H, W) windows → (N, D, H, W) labels."""


def windows(hu: Tensor) -> Tensor:
    """Scale Hounsfield units into the network's channels.

    Parameters
    ----------
    hu : (N, D, H, W) tensor

    Returns
    -------
    (N, 2, D, H, W) float tensor in [0, 1]
    """
    value = hu.float()
    return torch.stack(
        [(value.clamp(low, high) - low) / (high - low) for low, high in WINDOWS_HU], dim=1
    )


def torch_run(network: torch.nn.Module, *, bf16: bool = False) -> Run:
    """Wrap a network in the interface of the exported file."""

    @torch.no_grad()
    def run(volume: NDArray[np.float32]) -> NDArray[np.uint8]:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = network(torch.from_numpy(volume))
        return logits.float().argmax(1).to(torch.uint8).numpy()

    return run


def label_volume(run: Run, hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Label every voxel of a volume on the 3 mm grid.

    The volume is padded behind each axis by edge replication, as the served
    pipeline does, and the labels are cropped back.

    Parameters
    ----------
    run : Run
    hu : (S, R, C) ndarray of int16
        Hounsfield units, 3 mm isotropic.

    Returns
    -------
    (S, R, C) ndarray of uint8
    """
    padded = torch.from_numpy(pad(hu, multiple=MULTIPLE, minimum=MINIMUM))[None]
    return crop_back(run(windows(padded).numpy())[0], hu.shape)


def dice_by_class(
    found: NDArray[np.uint8], truth: NDArray[np.uint8], classes: Sequence[str]
) -> dict[str, float]:
    """Dice of every foreground class; NaN where the truth has none of it.

    Parameters
    ----------
    found, truth : (S, R, C) ndarray of uint8
    classes : sequence of str
        Names by label value; the first is background.
    """
    count = len(classes)
    joint = np.bincount(
        truth.ravel().astype(np.intp) * count + found.ravel(), minlength=count * count
    ).reshape(count, count)
    total = joint.sum(axis=0) + joint.sum(axis=1)
    return {
        name: float(2 * joint[label, label] / total[label]) if joint[label].sum() else float("nan")
        for label, name in enumerate(classes)
        if label
    }
