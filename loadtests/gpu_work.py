"""What a chest-abdomen study asks of a GPU: slab, inputs, networks, label maps.

The same code runs on NumPy and PyTorch's CPU, in small, so that tests run it where no GPU is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gateway.screening.manifest_reader import load_manifests
from gateway.triton.repository import read_config
from loadtests.gpu_figures import Ran
from networks.compile.halves import halved
from networks.compile.torch_graph import GraphModule
from networks.compile.torch_package import Graphs
from postprocess.components import keep_components
from postprocess.erode import erode
from preprocess.arrays import Array, array_namespace
from preprocess.grid import resampled_shape
from preprocess.prepare import prepare
from preprocess.recipe import Recipe

SPACING_MM = (1.0, 0.8, 0.8)

STUDY = (600, 512, 512)
"""Slices, rows, columns of a chest-abdomen study; 315 MB."""

BOX_MM = (240.0, 180.0, 220.0)
"""A box of organs with its margin, as engines are tuned for."""

CHEST_MM = (350.0, 300.0, 380.0)

TILES = {"nodule": 40, "bone": 30}
"""Of a chest-abdomen study."""

MARKS = 50
"""Crops that a classifier sees of each search."""

CHECKS = ("anatomy", "aorta", "pancreas", "stomach", "liver", "calcium", "nodule", "bone", "chest")


class HostClock:
    """Time by the host's clock: nothing runs beside it."""

    def __init__(self) -> None:
        self.ran: list[Ran] = []

    @contextmanager
    def stage(self, study: int, name: str, flop: float = 0.0) -> Any:
        """Time a stage."""
        start = time.perf_counter()
        yield
        self.ran.append(Ran(study, name, time.perf_counter() - start, flop))

    def finish(self) -> list[Ran]:
        """Give what ran."""
        return self.ran


class DeviceClock:
    """Time by the GPU's own events, which cost the stream nothing."""

    def __init__(self, torch: Any) -> None:
        self._torch = torch
        self._open: list[tuple[int, str, float, Any, Any]] = []

    @contextmanager
    def stage(self, study: int, name: str, flop: float = 0.0) -> Any:
        """Time a stage; the result is known when the GPU is through."""
        first, last = (self._torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        yield
        last.record()
        self._open.append((study, name, flop, first, last))

    def finish(self) -> list[Ran]:
        """Wait for the GPU, and give what ran."""
        self._torch.cuda.synchronize()
        return [
            Ran(study, name, first.elapsed_time(last) / 1e3, flop)
            for study, name, flop, first, last in self._open
        ]


@dataclass
class Asked:
    """One network, and what it is asked about a study."""

    name: str
    recipe: Recipe
    roi: tuple[int, int, int, int, int, int]
    run: Callable[..., Sequence[Any]]
    extra: list[Any]
    """Inputs beside the volume."""

    batches: list[int]
    """Tiles or crops that are asked about together; [1] for a box."""

    shape: tuple[int, ...] = ()
    """Of a tile; empty for a box."""

    flop: dict[tuple[int, ...], float] = field(default_factory=dict)


class Study:
    """The work of one study on one device.

    Parameters
    ----------
    repository : Path
        As `networks.random_weights` writes it.
    torch : module
    xp : module
        ``cupy`` or ``numpy``.
    device : str
        ``cuda`` or ``cpu``.
    precision : {"fp16", "fp32"}
    checks : sequence of str
    shape : three int
        Of the slab.
    """

    def __init__(
        self,
        repository: Path,
        *,
        torch: Any,
        xp: Any,
        device: str,
        precision: str = "fp16",
        checks: Sequence[str] = CHECKS,
        shape: tuple[int, int, int] = STUDY,
    ) -> None:
        self.torch, self.xp, self.device = torch, xp, device
        self.shape, self.precision = shape, precision
        self.affine = np.diag([*SPACING_MM, 1.0])
        manifests = load_manifests(repository)
        self.asked = [
            asked for check in checks for asked in self._asked(repository, check, manifests[check])
        ]

    def run(self, slab: NDArray[np.int16], number: int, clock: Any) -> dict[str, Any]:
        """Do all of a study; give the label map's largest piece, so that nothing is left out."""
        with clock.stage(number, "upload"):
            held = self.xp.asarray(slab)
        told: dict[str, Any] = {}
        for asked in self.asked:
            volumes = self._inputs(held, asked, number, clock)
            for volume in volumes:
                given = self._network(volume, asked, number, clock)
            if asked.name == "anatomy_net":
                told["voxels"] = self._organs(given[0], number, clock)
        return told

    def _inputs(self, held: Array, asked: Asked, number: int, clock: Any) -> list[Any]:
        with clock.stage(number, "prepare"):
            wanted = ("volume", "grid_hu")
            made = prepare(
                held, geometry=self.affine, roi=asked.roi, recipe=asked.recipe, wanted=wanted
            )
            volume = self._as_torch(made.volume)
            if not asked.shape:
                return [volume]
            return [self._tiles(volume, count, asked.shape) for count in asked.batches]

    def _network(self, volume: Any, asked: Asked, number: int, clock: Any) -> Sequence[Any]:
        with clock.stage(number, asked.name, self._flop(volume, asked)):
            with self.torch.inference_mode():
                return asked.run(volume, *asked.extra)

    def _organs(self, labels: Any, number: int, clock: Any) -> int:
        with clock.stage(number, "label_map"):
            held = self._as_array(labels[0])
            main = keep_components(held == 5, largest_only=True)
            deep = erode(held, distance_mm=5.0, spacing_mm=(3.0, 3.0, 3.0))
            return int((main & deep).sum())

    def _tiles(self, volume: Any, count: int, shape: tuple[int, ...]) -> Any:
        """Cut tiles here and there; where they lie costs nothing."""
        parts = []
        for index in range(count):
            starts = [(index * 37) % max(1, n - m + 1) for n, m in zip(volume.shape[2:], shape)]
            where = tuple(slice(a, a + m) for a, m in zip(starts, shape))
            parts.append(volume[(0, slice(None), *where)])
        return self.torch.stack(parts)

    def _flop(self, volume: Any, asked: Asked) -> float:
        """Count the operations of a network on a shape, once."""
        key = tuple(volume.shape)
        if key not in asked.flop:
            from torch.utils.flop_counter import FlopCounterMode

            module = getattr(asked.run, "module", asked.run)
            with FlopCounterMode(display=False) as counter, self.torch.inference_mode():
                module(volume, *asked.extra)
            asked.flop[key] = float(counter.get_total_flops())
        return asked.flop[key]

    def _as_torch(self, array: Array) -> Any:
        if isinstance(array, np.ndarray):
            return self.torch.from_numpy(array)
        return self.torch.from_dlpack(array)

    def _as_array(self, tensor: Any) -> Array:
        return tensor.numpy() if self.device == "cpu" else self.xp.from_dlpack(tensor)

    def _asked(self, repository: Path, check: str, manifest: Any) -> list[Asked]:
        recipe = Recipe.from_json(manifest.recipe_json)
        box = CHEST_MM if check in ("chest", *TILES) else BOX_MM
        roi = (0, self.shape[0], 0, self.shape[1], 0, self.shape[2])
        if check != "anatomy":
            roi = self._middle(box)
        found = [self._one(repository, f"{check}_net", recipe, roi)]
        if check in TILES:
            found[0].shape = tuple(recipe.post.tile)  # type: ignore[union-attr]
            found[0].batches = _batches(TILES[check], 4)
            crops = self._one(repository, f"{check}_crops", recipe, roi)
            crops.shape = (recipe.post.crop,) * 3  # type: ignore[union-attr]
            crops.batches = _batches(MARKS, 16)
            found.append(crops)
        return found

    def _one(self, repository: Path, name: str, recipe: Recipe, roi: Any) -> Asked:
        import onnx

        model = onnx.load(str(repository / name / "1" / "model.onnx"))
        if self.precision == "fp16":
            model = halved(model)
        module = GraphModule(model).eval().to(self.device)
        config = read_config(repository / name / "config.pbtxt")
        extra = [self._table(one) for one in list(config.input)[1:]]
        run: Any = module
        if self.device == "cuda":
            run = Graphs(module)
            run.module = module
        return Asked(name, recipe, roi, run, extra, [1])

    def _table(self, tensor: Any) -> Any:
        """Draw an input that is no volume: clinical values, words, a memory bank."""
        kinds = {6: "uint8", 2: "uint8", 9: "int64", 10: "float16", 11: "float32"}
        rows = [n if n > 0 else 4096 for n in tensor.dims]
        shape = rows if len(rows) == 2 else [1, *rows]
        kind = kinds.get(tensor.data_type, "float32")
        values = np.random.default_rng(0).random(shape).astype(kind)
        return self.torch.from_numpy(values).to(self.device)

    def _middle(self, extent_mm: Sequence[float]) -> tuple[int, ...]:
        ends: list[int] = []
        for size, mm, step in zip(self.shape, extent_mm, SPACING_MM):
            wide = min(size, round(mm / step))
            first = (size - wide) // 2
            ends += [first, first + wide]
        return tuple(ends)


def _batches(count: int, most: int) -> list[int]:
    """Split so many into batches."""
    return [min(most, count - first) for first in range(0, count, most)]


def kernels(xp: Any, slab: Array, recipe: Recipe) -> Mapping[str, tuple[int, Callable[[], Any]]]:
    """Give each kernel by name: the bytes that it must move, and a call of it."""
    affine = np.diag([*SPACING_MM, 1.0])
    roi = (0, slab.shape[0], 0, slab.shape[1], 0, slab.shape[2])
    asked: dict[str, Any] = {"geometry": affine, "roi": roi, "recipe": recipe}
    made = prepare(slab, **asked, wanted=("volume", "grid_hu"))
    grid = resampled_shape(
        slab.shape, spacing_mm=SPACING_MM, target_spacing_mm=recipe.grid.spacing_mm
    )
    labels = (made.grid_hu > 0).astype(xp.uint8)
    assert labels.shape == grid
    assert array_namespace(labels) is xp
    voxels = int(np.prod(grid))
    return {
        "prepare": (
            slab.nbytes + made.volume.nbytes + made.grid_hu.nbytes,
            lambda: prepare(slab, **asked, wanted=("volume", "grid_hu")),
        ),
        "erode": (2 * voxels, lambda: erode(labels, distance_mm=5.0, spacing_mm=(3.0,) * 3)),
        "components": (2 * voxels, lambda: keep_components(labels > 0, largest_only=True)),
    }
