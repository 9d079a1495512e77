"""What one GPU does: kernels, stages, a stream of studies, a chest: ``loadtests.bench gpu``.

Networks are drawn at full width (`networks.random_weights`): speed, not answers. Without a GPU it
says so in one sentence, prints what the CPU can show of the chest, and exits with 2.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from queue import Queue
from typing import Any

import numpy as np

from loadtests.gpu_figures import STREAM_SECONDS, Kernel, chest_figures, stream_figures
from loadtests.kept import commit, machine

MISSING = 2
"""Exit code for what is not here, as of every command of ours."""

REPEATS = 20

J2K_FRAMES = 4

SAMPLE_MS = 200
"""The driver's own samples are of a sixth of a second to a second."""

AHEAD_CYCLES = 2_000_000
"""A millisecond in which the GPU waits, so that the host is through before the clock starts."""

COPY_BYTES = 1024**3
"""Of the plain copy that kernels are compared with."""


class NoGpuError(Exception):
    """There is no GPU here that CuPy and PyTorch can use."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The modules that work on it."""

    torch: Any
    cupy: Any

    @property
    def name(self) -> str:
        """As its driver names it."""
        return str(self.torch.cuda.get_device_name())


def open_gpu() -> Gpu:
    """Find a GPU; CuPy and PyTorch both work on its default stream.

    Raises
    ------
    NoGpuError
        In one sentence, which says what is missing.
    """
    try:
        import torch
    except ImportError:
        raise NoGpuError("There is no PyTorch here: pip install torch.") from None
    if not torch.cuda.is_available():
        raise NoGpuError("There is no GPU here that PyTorch can use: nothing was measured on one.")
    try:
        import cupy
    except ImportError:
        raise NoGpuError("There is a GPU but no CuPy: pip install cupy-cuda12x (or 13x).") from None
    return Gpu(torch, cupy)


def main(*, as_json: bool = False, seconds: float = STREAM_SECONDS) -> int:
    """Measure, and print; exit codes: 0 all goals met, 1 one missed, 2 no GPU."""
    try:
        gpu = open_gpu()
    except NoGpuError as error:
        print(f"loadtests.bench gpu: {error}", file=sys.stderr)
        told = {"gpu": None, "missing": str(error), "cpu": {"chest": chest("cpu")}}
        _print(told, as_json=as_json)
        return MISSING
    told = {"gpu": gpu.name, **measure(gpu, seconds)}
    _print(told, as_json=as_json)
    return int(not all(part["met"] for part in _goals(told)))


def measure(gpu: Gpu, seconds: float) -> dict[str, Any]:
    """Measure everything on a GPU."""
    from loadtests.gpu_work import Study
    from networks.random_weights import write_repository

    with tempfile.TemporaryDirectory() as folder:
        repository = Path(folder) / "models"
        write_repository(repository, size="full")
        study = Study(repository, torch=gpu.torch, xp=gpu.cupy, device="cuda")
        kernels = measure_kernels(gpu, study)
        stream = measure_stream(gpu, study, seconds, Path(folder))
    return {"kernels": kernels, "stream": stream, "chest": chest("cuda")}


def measure_kernels(gpu: Gpu, study: Any) -> list[dict[str, Any]]:
    """Compare each kernel with a plain copy on the same GPU."""
    from loadtests.gpu_work import kernels

    cupy = gpu.cupy
    slab = cupy.asarray(np.zeros(study.shape, np.int16))
    source, target = (cupy.empty(COPY_BYTES, cupy.uint8) for _ in range(2))

    def copy() -> None:
        target[...] = source

    speed = 2 * COPY_BYTES / Kernel("copy", 1, _timed(gpu, copy)).seconds[REPEATS // 2]
    recipe = next(one.recipe for one in study.asked if one.name == "anatomy_net")
    return [
        Kernel(name, size, _timed(gpu, call)).figures(speed)
        for name, (size, call) in kernels(cupy, slab, recipe).items()
    ]


def _timed(gpu: Gpu, call: Callable[[], Any]) -> list[float]:
    """Time a call by the GPU's events, in rising order; the first three only warm it."""
    torch, found = gpu.torch, []
    for repeat in range(REPEATS + 3):
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(AHEAD_CYCLES)
        first.record()
        call()
        last.record()
        last.synchronize()
        if repeat >= 3:
            found.append(first.elapsed_time(last) / 1e3)
    return sorted(found)


def measure_stream(gpu: Gpu, study: Any, seconds: float, folder: Path) -> dict[str, Any]:
    """Screen the same uncompressed study again and again, decoded from the page cache each time."""
    from loadtests.gpu_work import DeviceClock

    decoded = Decoder(folder, study.shape[0])
    warm = DeviceClock(gpu.torch)
    study.run(decoded.next(), -1, warm)
    warm.finish()
    clock, used = DeviceClock(gpu.torch), Utilisation()
    number, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        study.run(decoded.next(), number, clock)
        number += 1
    ran = clock.finish()
    wall = time.perf_counter() - start
    decoded.stop()
    return stream_figures(ran, wall, used.stop()) | {
        "precision": study.precision, "runtime": f"PyTorch {gpu.torch.__version__}, CUDA graphs",
        "j2k_cores_needed": decoded.j2k_cores(number / wall),
    }  # fmt: skip


class Utilisation:
    """Asks the driver, by ``nvidia-smi``, in how much of the time a kernel ran."""

    def __init__(self) -> None:
        program = shutil.which("nvidia-smi")
        words = ["--query-gpu=utilization.gpu", "--format=csv,noheader,nounits",
                 f"--loop-ms={SAMPLE_MS}", "--id=0"]  # fmt: skip
        self._process = program and subprocess.Popen(
            [program, *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def stop(self) -> float | None:
        """Give the mean share; None where the driver said nothing."""
        if not self._process:
            return None
        self._process.terminate()
        said, _ = self._process.communicate()
        percents = [float(line) for line in said.split() if line.replace(".", "").isdigit()]
        return sum(percents) / len(percents) / 100 if percents else None


class Decoder:
    """Decodes one study after another beside the GPU, two ahead at most.

    Parameters
    ----------
    folder : Path
        In which the study is written.
    slices : int
    """

    def __init__(self, folder: Path, slices: int) -> None:
        from gateway.study.decode import decode_series
        from gateway.triton.shared_memory import SharedVolume
        from loadtests.bench_decode import _index, write_series

        files = write_series(folder / "dicom", slices, compressed=False)
        self._series, self._objects = _index(files, folder / "objects")
        self._decode, self._volume = decode_series, SharedVolume
        self._home, self._slices = folder, slices
        self._ready: Queue[Any] = Queue(maxsize=2)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def next(self) -> Any:
        """Wait for a study; an error of the decoder's is raised here."""
        found = self._ready.get()
        if isinstance(found, BaseException):
            raise found
        return found

    def stop(self) -> None:
        """Let it end."""
        self._stopped.set()
        while self._thread.is_alive():
            if not self._ready.empty():
                self._ready.get()
            self._thread.join(0.05)

    def j2k_cores(self, studies_a_second: float) -> float:
        """Say how many cores JPEG 2000 would take at this pace, by decoding some of it on one."""
        from loadtests.bench_decode import _fastest_j2k, _one_core, _pixels

        frames = [_pixels(number, compressed=True) for number in range(J2K_FRAMES)]
        _, decode = _fastest_j2k(frames)
        with _one_core():
            start = time.perf_counter()
            for frame in frames:
                decode(frame)
            a_slice = (time.perf_counter() - start) / len(frames)
        return round(studies_a_second * self._slices * a_slice, 1)

    def _work(self) -> None:
        geometry = self._series.geometry
        try:
            while not self._stopped.is_set():
                with self._volume.create(geometry.shape, home=self._home) as volume:
                    self._decode(
                        self._series, geometry, self._objects, volume.array, region=volume.name
                    )
                    self._ready.put(np.array(volume.array))
        except Exception as error:
            self._ready.put(error)


def chest(device: str, *, repeats: int = 5, size: str | None = None) -> dict[str, Any]:
    """Time a chest's tiles and scores, embeddings, and the comparison with the released bank.

    On the CPU with the small network, on a GPU with the full one; weights are drawn.
    """
    import torch
    import torch.nn.functional as functional

    from gateway.settings import ROOT
    from loadtests.gpu_work import CHEST_MM
    from networks.nets.chest_net import KEPT, vote
    from networks.nets.roi_net import fold
    from networks.nets.tile_encoder import SURVEY, TILE, hu_of, tile_features, unlike_neighbours
    from networks.random_weights import drawn_network
    from preprocess.bank import read_bank

    _, net = drawn_network("chest", size or ("small" if device == "cpu" else "full"))
    net = net.to(device)
    shape = [-(-round(mm / 1.5) // TILE) * TILE for mm in CHEST_MM]
    volume = torch.rand(1, 1, *shape, device=device)
    bank = read_bank(ROOT / "model_repository" / "chest_net")
    vectors, labels = (torch.from_numpy(x).to(device) for x in (bank.embedded, bank.labels))
    seconds: dict[str, list[float]] = {"tile_and_score": [], "embed": [], "compare": []}

    @torch.inference_mode()
    def once(keep: bool) -> None:
        clock = _stopwatch(torch, device)
        hu = hu_of(volume)[:, 0]
        seen = net.surveyor(functional.avg_pool3d(hu[:, None], SURVEY)[:, 0])
        means = functional.avg_pool3d(hu[:, None], TILE)[:, 0]
        tiles = fold(hu[:, None], (TILE, TILE, TILE)).flatten(2).transpose(1, 2)
        tiles = tiles.reshape(-1, TILE, TILE, TILE)
        features = torch.cat([tile_features(tiles), unlike_neighbours(means).reshape(-1, 1)], 1)
        context = seen.flatten(2).transpose(1, 2).flatten(0, 1)
        kept = net.worth(features, context).topk(min(KEPT, len(tiles))).indices
        chosen, around = tiles[kept], context[kept]
        first = clock()
        embedded = net.encoder(chosen, around)
        second = clock()
        vote(embedded, vectors, labels).amax(0)
        third = clock()
        if keep:
            for name, value in zip(seconds, (first, second, third), strict=True):
                seconds[name].append(value)

    for repeat in range(repeats + 1):
        once(repeat > 0)
    found = chest_figures(seconds)
    return found | {"device": device, "tiles": int(np.prod([n // TILE for n in shape])),
                    "bank": len(bank.embedded)}  # fmt: skip


def _stopwatch(torch: Any, device: str) -> Callable[[], float]:
    """Give what tells the seconds since it was last asked, the GPU's work done."""
    if device != "cpu":
        torch.cuda.synchronize()
    last = time.perf_counter()

    def lap() -> float:
        nonlocal last
        if device != "cpu":
            torch.cuda.synchronize()
        now = time.perf_counter()
        passed, last = now - last, now
        return passed

    return lap


def _goals(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*told["kernels"], told["stream"], told["chest"]]


def _print(told: Mapping[str, Any], *, as_json: bool) -> None:
    full = {"name": "gpu", **told, "machine": machine(), "commit": commit(),
            "date": time.strftime("%Y-%m-%d", time.gmtime())}  # fmt: skip
    print(json.dumps(full, indent=2 if as_json else None), flush=True)
