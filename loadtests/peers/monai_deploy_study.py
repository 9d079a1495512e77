"""The peer of the whole-study benchmark: MONAI Deploy App SDK operators in one warm process.

Runs in a virtual environment of its own (``make peer``). Reads ``{"folder"}`` of DICOM a line on
stdin and answers with one JSON line ``{"seconds", "liver_hu"}``. The operators are called one
after another without the application's scheduler, which is to the peer's advantage: its
per-application start of seconds is left out.

The network has the weights of ``model_repository/anatomy_net`` and runs in torch, as an App SDK
application would run it; resampling and windows are MONAI's.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from monai.deploy.core import Application
from monai.deploy.operators import (
    DICOMDataLoaderOperator,
    DICOMSeriesSelectorOperator,
    DICOMSeriesToVolumeOperator,
)
from monai.transforms import Compose, Orientation, ScaleIntensityRange, Spacing
from onnx import numpy_helper
from scipy import ndimage

from networks.unet import UNet

ROOT = Path(__file__).resolve().parents[2]

RULES = {
    "selections": [
        {
            "name": "CT",
            "conditions": {"Modality": "(?i)CT", "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"]},
        }
    ]
}

LIVER = 5
SPLEEN = 1


class Screening(Application):
    """The operators of one App SDK application, held warm."""

    def compose(self) -> None:
        """Make the operators."""
        self.loader = DICOMDataLoaderOperator(self, input_folder=ROOT, name="loader")
        self.selector = DICOMSeriesSelectorOperator(self, rules=json.dumps(RULES), name="selector")
        self.to_volume = DICOMSeriesToVolumeOperator(self, name="to_volume")

    def volume(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Load, select and convert one study.

        Returns
        -------
        volume : (C, R, S) ndarray of float32
            HU.
        affine : (4, 4) ndarray of float64
        """
        studies = self.loader.load_data_to_studies(folder)
        selected = self.selector.filter(RULES, studies)
        image = self.to_volume.convert_to_image(selected)
        pixels = image.asnumpy().astype(np.float32)  # (S, R, C)
        return pixels.transpose(2, 1, 0), np.asarray(image.metadata()["nifti_affine_transform"])


def network() -> UNet:
    """Give the anatomy network with the weights of the exported file."""
    model = onnx.load(str(ROOT / "model_repository" / "anatomy_net" / "1" / "model.onnx"))
    weights = {item.name: numpy_helper.to_array(item) for item in model.graph.initializer}
    net = UNet()
    state = net.state_dict()
    for name in state:
        if name.startswith("side."):  # heads of the coarser levels, for training only
            continue
        state[name] = torch.from_numpy(weights[f"network.{name}"].copy())
    net.load_state_dict(state)
    return net.eval()


def main() -> None:
    """Answer studies until stdin ends."""
    app = Screening()
    app.compose()
    net = network()
    orient, spacing = Orientation(axcodes="LPS"), Spacing(pixdim=(3.0, 3.0, 3.0), mode="bilinear")
    windows = [
        Compose([ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)])
        for low, high in ((-160.0, 240.0), (-1024.0, 1024.0))
    ]
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        started = time.perf_counter()
        liver_hu = study(app, net, orient, spacing, windows, Path(json.loads(line)["folder"]))
        seconds = time.perf_counter() - started
        print(json.dumps({"seconds": seconds, "liver_hu": liver_hu}), flush=True)


def study(app, net, orient, spacing, windows, folder: Path) -> float | None:
    """Screen one study the usual way: load, resample, window, infer, measure."""
    from monai.data import MetaTensor

    pixels, affine = app.volume(folder)
    image = MetaTensor(torch.from_numpy(np.ascontiguousarray(pixels))[None], affine=affine)
    grid = spacing(orient(image))
    hu = grid[0].numpy().transpose(2, 1, 0)
    channels = torch.stack([window(grid)[0] for window in windows]).permute(0, 3, 2, 1)
    pad = [(-size) % 16 for size in channels.shape[1:]]
    padded = torch.nn.functional.pad(
        channels[None], (0, pad[2], 0, pad[1], 0, pad[0]), mode="replicate"
    )
    with torch.inference_mode():
        labels = net(padded.as_tensor()).argmax(1)[0].numpy()
    labels = labels[: hu.shape[0], : hu.shape[1], : hu.shape[2]]
    inside = ndimage.binary_erosion(labels == LIVER, iterations=2)
    return float(np.median(hu[inside])) if inside.any() else None


if __name__ == "__main__":
    main()
