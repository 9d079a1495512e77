"""The peer of the benchmark of tensors: MONAI's transforms, one check after another.

Runs in a virtual environment of its own (``make peer``):
``python -m loadtests.peers.monai_tensors FOLDER``, where the folder holds ``volume.npy``,
``job.json`` and our tensors. Takes ``{"order"}`` a line on stdin: ``spacing_first``, ``crop_first``
(answers ``{"seconds"}``) or ``compare`` (answers ``{"differences"}``).
In float32, in which MONAI is quicker than in its default of float64.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRange, Spacing, SpatialCrop, SpatialResample

DTYPE = torch.float32


def main() -> None:
    """Answer until stdin ends."""
    folder = Path(sys.argv[1])
    job = json.loads((folder / "job.json").read_text())
    pixels = np.load(folder / "volume.npy")
    affine = torch.tensor(job["affine"], dtype=torch.float64)
    tools = {check["name"]: Tools(check) for check in job["checks"]}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)["order"]
        if order == "compare":
            answer = {"differences": compare(folder, job, image_of(pixels, affine))}
        else:
            started = time.perf_counter()
            image = image_of(pixels, affine)
            for check in job["checks"]:
                make = tools[check["name"]]
                if order == "spacing_first":
                    make.spacing_first(image)
                else:
                    make.crop_first(image)
            answer = {"seconds": time.perf_counter() - started}
        print(json.dumps(answer), flush=True)


def image_of(pixels: np.ndarray, affine: torch.Tensor) -> MetaTensor:
    """Give (1, S, R, C) of float32 with its affine."""
    return MetaTensor(torch.from_numpy(pixels.astype(np.float32))[None], affine=affine)


class Tools:
    """The transforms of one check, made once."""

    def __init__(self, check: dict) -> None:
        self.roi = check["roi"]
        self.target = check["spacing_mm"]
        self.spacing = Spacing(pixdim=check["spacing_mm"], mode="bilinear", dtype=DTYPE)
        self.windows = [
            ScaleIntensityRange(low, high, 0.0, 1.0, clip=True) for low, high in check["windows"]
        ]

    def spacing_first(self, image: MetaTensor) -> torch.Tensor:
        """Resample the whole volume, window it, and crop the region."""
        grid = self.spacing(image)
        channels = torch.cat([window(grid) for window in self.windows])
        ratio = [new / old for new, old in zip(grid.shape[1:], image.shape[1:])]
        starts = [round(n * r) for n, r in zip(self.roi[0::2], ratio)]
        ends = [max(a + 1, round(n * r)) for n, r, a in zip(self.roi[1::2], ratio, starts)]
        return SpatialCrop(roi_start=starts, roi_end=ends)(channels).contiguous()

    def crop_first(self, image: MetaTensor) -> torch.Tensor:
        """Crop the region, resample it, and window it."""
        region = SpatialCrop(roi_start=self.roi[0::2], roi_end=self.roi[1::2])(image)
        grid = self.spacing(region)
        return torch.cat([window(grid) for window in self.windows])


def compare(folder: Path, job: dict, image: MetaTensor) -> dict:
    """Resample onto our own grids and give the differences, in shares of a window."""
    resample = SpatialResample(mode="bilinear", padding_mode="border", dtype=DTYPE)
    found = {}
    for check in job["checks"]:
        ours = np.load(folder / f"{check['name']}.npy")
        grid = resample(
            image,
            dst_affine=torch.tensor(check["grid_affine"], dtype=torch.float64),
            spatial_size=ours.shape[1:],
        )
        tools = Tools(check)
        theirs = torch.cat([window(grid) for window in tools.windows]).numpy()
        apart = np.abs(ours - np.asarray(theirs))
        found[check["name"]] = {
            "median": round(float(np.median(apart)), 5),
            "p99": round(float(np.quantile(apart, 0.99)), 4),
            "max": round(float(apart.max()), 4),
            "mean_signed": round(float((ours - np.asarray(theirs)).mean()), 6),
        }
    return found


if __name__ == "__main__":
    main()
