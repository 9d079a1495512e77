"""The other peer of the whole-study benchmark: the same networks in a plain LitServe service.

What one writes in an afternoon: one process, pydicom into float32, anatomy once, then each check's
region cropped, resampled and windowed by MONAI, its network in ONNX Runtime, one check after
another. Runs in a virtual environment of its own (``make peer``):
``python -m loadtests.peers.litserve_study PORT``; takes ``POST /predict {"folder"}`` and answers
``{"seconds", "scores", "stages"}``.

What it leaves out is to its advantage: quality control, geometry other than axial, choice of
series, measures, durability, findings in words.
"""

from __future__ import annotations

import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import onnxruntime
import pydicom
import torch
from monai.data import MetaTensor
from monai.transforms import ScaleIntensityRange, Spacing
from scipy import ndimage

from preprocess.bank import Banks
from preprocess.tokens import report_tokens

REPOSITORY = Path(__file__).resolve().parents[2] / "model_repository"

TILES_TOGETHER = 4
"""As many as the served network takes at once."""

LESION_FROM = 128
"""Of 255: a voxel of a lesion map that counts."""


class Screening(litserve.LitAPI):
    """Anatomy, then every check."""

    def setup(self, device: str) -> None:
        """Load the manifests and every network."""
        manifests = {
            path.parent.name: tomllib.loads(path.read_text(encoding="utf-8"))
            for path in sorted(REPOSITORY.glob("*/pipeline.toml"))
        }
        self.anatomy = Pipeline(manifests.pop("anatomy"))
        self.checks = [
            Pipeline(one) for one in manifests.values() if "CT" in one["requires"]["modality"]
        ]

    def decode_request(self, request) -> Path:
        """Take the folder."""
        return Path(request["folder"])

    def predict(self, folder: Path) -> dict[str, Any]:
        """Screen one study."""
        started = at = time.perf_counter()
        image = load(folder)
        stages = {"load": time.perf_counter() - at}
        at = time.perf_counter()
        grid, tensor = self.anatomy.tensor(image)
        labels = self.anatomy.run({"volume": tensor})["labels"][0]
        labels = labels[tuple(slice(0, n) for n in grid.shape[1:])]
        organs = Organs(labels, self.anatomy.post["labels"], grid)
        stages["anatomy"] = time.perf_counter() - at
        scores = {}
        for check in self.checks:
            at = time.perf_counter()
            scores[check.name] = check.screen(image, organs)
            stages[check.name] = time.perf_counter() - at
        return {"seconds": time.perf_counter() - started, "scores": scores, "stages": stages}

    def encode_response(self, output: dict[str, Any]) -> dict[str, Any]:
        """Give it as it is."""
        return output


def load(folder: Path) -> MetaTensor:
    """Read a series into (1, S, R, C) float32 HU; slices along the patient."""
    slices = [pydicom.dcmread(path) for path in folder.rglob("*.dcm")]
    slices.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    hu = np.stack([ds.pixel_array.astype(np.float32) for ds in slices])
    hu = hu * np.float32(slices[0].RescaleSlope) + np.float32(slices[0].RescaleIntercept)
    step = slices[1].ImagePositionPatient[2] - slices[0].ImagePositionPatient[2]
    spacing = [float(step), *map(float, slices[0].PixelSpacing), 1.0]
    return MetaTensor(torch.from_numpy(hu)[None], affine=torch.diag(torch.tensor(spacing)))


class Organs:
    """The anatomy's label map, in mm of the volume."""

    def __init__(self, labels: np.ndarray, names: list[str], grid: MetaTensor) -> None:
        self.labels, self.names = labels, names
        self.affine = np.asarray(grid.affine)
        self.boxes = ndimage.find_objects(labels, len(names) - 1)

    def box_mm(self, names: list[str]) -> np.ndarray | None:
        """Give the lowest and highest corner of some organs together."""
        boxes = [b for n in names if (b := self.boxes[self.names.index(n) - 1]) is not None]
        if not boxes:
            return None
        low = np.min([[part.start for part in box] for box in boxes], axis=0)
        high = np.max([[part.stop - 1 for part in box] for box in boxes], axis=0)
        return np.stack([self._mm(low), self._mm(high)])

    def on(self, grid: MetaTensor, names: list[str]) -> np.ndarray:
        """Tell which voxels of another grid lie in some organs, by the nearest voxel."""
        inside = np.isin(self.labels, [self.names.index(name) for name in names])
        other, own = np.asarray(grid.affine), self.affine
        axes = []
        for axis, count in enumerate(grid.shape[1:]):
            mm = other[axis, 3] + other[axis, axis] * np.arange(count)
            index = np.rint((mm - own[axis, 3]) / own[axis, axis]).astype(int)
            axes.append(np.clip(index, 0, inside.shape[axis] - 1))
        return inside[np.ix_(*axes)]

    def _mm(self, voxel: np.ndarray) -> np.ndarray:
        return self.affine[:3, 3] + np.diag(self.affine)[:3] * voxel


class Pipeline:
    """One manifest, its transforms and its networks."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        recipe = manifest["recipe"]
        self.name, self.post, self.grid = manifest["name"], recipe["post"], recipe["grid"]
        self.region = manifest.get("roi")
        self.clinical = manifest["inputs"]["clinical"]
        self.spacing = Spacing(pixdim=self.grid["spacing_mm"], mode="bilinear", dtype=torch.float32)
        self.windows = [
            ScaleIntensityRange(*channel["clip_hu"], 0.0, 1.0, clip=True)
            for channel in recipe["channels"]
        ]
        models = manifest["provenance"]["model"]
        self.sessions = {
            name: onnxruntime.InferenceSession(
                str(REPOSITORY / name / "1" / "model.onnx"), providers=["CPUExecutionProvider"]
            )
            for name in ([models] if isinstance(models, str) else models)
        }
        self.session = next(iter(self.sessions.values()))
        self.bank = None
        if self.post["kind"] == "chest":
            self.bank = Banks(REPOSITORY).get(self.post["bank"], self.post["labels"])

    def tensor(self, image: MetaTensor) -> tuple[MetaTensor, np.ndarray]:
        """Resample, window and pad."""
        grid = self.spacing(image)
        channels = torch.cat([window(grid) for window in self.windows])[None]
        multiple, least = self.grid.get("multiple", 1), self.grid.get("minimum", 1)
        pad: list[int] = []
        for size in reversed(channels.shape[2:]):
            pad += [0, max(least, -(-size // multiple) * multiple) - size]
        channels = torch.nn.functional.pad(channels, pad, mode="replicate")
        return grid, np.asarray(channels.as_tensor().contiguous())

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Run the network."""
        names = [output.name for output in self.session.get_outputs()]
        return dict(zip(names, self.session.run(names, inputs)))

    def screen(self, image: MetaTensor, organs: Organs) -> float | None:
        """Give the check's score; None where its organs are not in the scan."""
        region = self._region(image, organs)
        if region is None:
            return None
        if self.post["kind"] == "detections":
            return self._search(region, organs)
        _, tensor = self.tensor(region)
        inputs = {"volume": tensor}
        if self.post["kind"] == "grades":
            inputs["clinical"] = np.full((1, len(self.clinical)), np.nan, np.float32)
            inputs["tokens"] = report_tokens(b"")
        if self.bank is not None:
            inputs |= {"bank": self.bank.embedded, "bank_labels": self.bank.labels}
        return self._score(self.run(inputs), tensor)

    def _region(self, image: MetaTensor, organs: Organs) -> MetaTensor | None:
        box = organs.box_mm(self.region["organs"])
        if box is None:
            return None
        spacing = np.diag(np.asarray(image.affine))[:3]
        margin = np.asarray(self.region["margin_mm"])
        low = np.maximum(np.floor((box[0] - margin) / spacing).astype(int), 0)
        high = np.ceil((box[1] + margin) / spacing).astype(int) + 1
        cut = image[(slice(None), *(slice(int(a), int(b)) for a, b in zip(low, high)))]
        affine = torch.diag(torch.tensor([*spacing, 1.0]))
        affine[:3, 3] = torch.from_numpy(low * spacing)
        return MetaTensor(cut.as_tensor(), affine=affine)

    def _score(self, answer: dict[str, np.ndarray], tensor: np.ndarray) -> float:
        if "lesion" in answer:  # lesions are counted by their components
            ndimage.label(answer["lesion"][0] >= LESION_FROM)
            return float(answer["score"].reshape(-1)[0])
        if self.post["kind"] == "calcium":
            inside = np.isin(answer["labels"][0], range(2, len(self.post["labels"])))
            plaques, _ = ndimage.label(inside & (tensor[0, 1] >= 130 / 800))
            return float((plaques > 0).sum())
        if self.bank is not None:
            return float(answer["labels"].max())
        return float(answer["steatosis"].reshape(-1)[1:].sum())

    def _search(self, region: MetaTensor, organs: Organs) -> float:
        """Look at tiles over the organs, and at cubes around the strongest marks."""
        grid, tensor = self.tensor(region)
        volume, mask = tensor[0], organs.on(grid, self.post["organs"])
        tile, margin = np.array(self.post["tile"]), np.array(self.post["margin"])
        core = tile - 2 * margin
        pad = [(0, 0), *((int(m), int(t)) for m, t in zip(margin, tile))]
        padded = np.pad(volume, pad, mode="edge")
        starts = [
            start
            for start in np.ndindex(*(-(-n // c) for n, c in zip(mask.shape, core)))
            if mask[tuple(slice(i * c, (i + 1) * c) for i, c in zip(start, core))].any()
        ]
        marks: list[tuple[float, np.ndarray]] = []
        detector = self.sessions[self.post["detector"]]
        for first in range(0, len(starts), TILES_TOGETHER):
            corners = [np.array(start) * core for start in starts[first : first + TILES_TOGETHER]]
            tiles = np.stack([_cut(padded, corner, tile) for corner in corners])
            (peaks,) = detector.run(["peaks"], {"volume": tiles})
            for corner, found in zip(corners, peaks):
                kept = found[found[:, 0] >= self.post.get("least_score", 0.02)]
                marks += [(float(row[0]), corner - margin + row[1:4]) for row in kept]
        marks.sort(key=lambda mark: -mark[0])
        marks = marks[: self.post.get("candidates", 50)]
        if not marks:
            return 0.0
        edge = self.post.get("crop", 32)
        padded = np.pad(volume, [(0, 0), *[(edge, edge)] * 3], mode="edge")
        corners = [np.clip(np.rint(at).astype(int), 0, None) + edge // 2 for _, at in marks]
        cubes = np.stack([_cut(padded, corner, np.array([edge] * 3)) for corner in corners])
        (chance,) = self.sessions[self.post["classifier"]].run(["chance"], {"crops": cubes})
        return float(np.max(chance))


def _cut(volume: np.ndarray, corner: np.ndarray, size: np.ndarray) -> np.ndarray:
    low = np.minimum(corner, np.array(volume.shape[1:]) - size)
    return volume[(slice(None), *(slice(int(a), int(a + n)) for a, n in zip(low, size)))]


def main() -> None:
    """Serve until killed."""
    server = litserve.LitServer(Screening(), accelerator="cpu", timeout=600)
    server.run(host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False)


if __name__ == "__main__":
    main()
