"""Decoding a series into the shared volume, against pydicom's loop and SimpleITK's reader.

Ours: index from intake, objects in the folder store, slices in order along the normal, int16 HU,
into a region of shared memory that is fresh for every run, as for every study. Reserving the region
is a stage of its own in the worker; `ratio_with_region` counts it too.
"""

from __future__ import annotations

import functools
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    generate_uid,
)
from scipy import ndimage

from gateway.intake.header import read_header
from gateway.store.objects import FolderObjects
from gateway.study.decode import decode_series
from gateway.study.series import Series, group_series
from gateway.triton.shared_memory import SharedVolume

GOAL_UNCOMPRESSED = 10.0
GOAL_J2K = 1.7
"""design.md, "How fast it must be"."""

SLICES = 300
J2K_SLICES = 100
"""A third of a series: time goes with the number of slices, and one takes some 22 ms."""

SIZE = 512
DISTINCT = 20
"""Different slices in a series; making one costs more than decoding it."""


def run_decode(repeats: int = 9, *, slices: int = SLICES) -> list[dict[str, Any]]:
    """Compare an uncompressed series with pydicom's loop, and with SimpleITK's series reader.

    Parameters
    ----------
    repeats : int
        Runs of each side, in turn.
    slices : int
        Of the series.

    Returns
    -------
    list of dict
        ``name, ratio, goal, ours, peer, unit`` against each peer, and what was decoded.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_series(Path(folder) / "files", slices, compressed=False)
        series, objects = _index(files, Path(folder) / "objects")
        in_order = sorted(files)  # of their numbers, so by position
        results = []
        for name, goal, peer_side in (
            ("decode", GOAL_UNCOMPRESSED, lambda: _peer_loop(files)),
            ("decode-simpleitk", None, lambda: _simpleitk(in_order)),
        ):
            decoding: list[float] = []
            whole, peer, same = _interleaved(
                functools.partial(_ours, series, objects, Path(folder), decoding),
                peer_side,
                repeats,
            )
            assert same, "the two sides differ"
            ours = statistics.median(decoding[1:])  # the first run is the warm-up
            results.append(
                {
                    **_result(name, goal, ours, peer, slices),
                    "ours_with_region": round(whole, 4),
                    "ratio_with_region": round(peer / whole, 2),
                }
            )
    return results


def run_j2k(repeats: int = 3) -> dict[str, Any]:
    """Compare JPEG 2000 lossless with the fastest installed decoder in one thread.

    The peer only decodes frames that lie in memory: no reading, no HU, no volume.

    Parameters
    ----------
    repeats : int
        Runs of each side, in turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = write_series(Path(folder) / "files", J2K_SLICES, compressed=True)
        series, objects = _index(files, Path(folder) / "objects")
        frames = [_encapsulated(file) for file in files]
        name, decoder = _fastest_j2k(frames[: DISTINCT // 4])

        def peer_loop() -> None:
            with _one_core():
                for frame in frames:
                    decoder(frame)

        ours, peer, _ = _interleaved(
            lambda: _ours(series, objects, Path(folder), []), peer_loop, repeats
        )
    return {**_result("j2k", GOAL_J2K, ours, peer, J2K_SLICES), "peer_decoder": name}


def write_series(folder: Path, slices: int, *, compressed: bool) -> list[Path]:
    """Write a CT series of a noisy ellipse with ribs and lungs.

    Parameters
    ----------
    folder : Path
        Made; one file a slice.
    slices : int
        Number of slices, 1 mm apart.
    compressed : bool
        JPEG 2000 lossless instead of Explicit VR Little Endian.

    Returns
    -------
    list of Path
        In no order of position: intake does not get them sorted either.
    """
    folder.mkdir(parents=True)
    syntax = JPEG2000Lossless if compressed else ExplicitVRLittleEndian
    bodies = [_pixels(number, compressed=compressed) for number in range(DISTINCT)]
    study, series, space = generate_uid(), generate_uid(), generate_uid()
    files = []
    for number in np.random.default_rng(7).permutation(slices).tolist():
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = syntax
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        file = folder / f"{number:04d}.dcm"
        ds = FileDataset(str(file), {}, file_meta=meta, preamble=bytes(128))
        ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, space
        ds.Modality, ds.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber, ds.PatientID, ds.PatientAge = number + 1, "BENCH", "060Y"
        ds.Rows = ds.Columns = SIZE
        ds.PixelSpacing, ds.SliceThickness, ds.KVP = [0.75, 0.75], 1.0, 120
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.ImagePositionPatient = [-192.0, -192.0, float(number)]
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.RescaleSlope, ds.RescaleIntercept, ds.ConvolutionKernel = 1, -1024, "STANDARD"
        body = bodies[number % DISTINCT]
        ds.PixelData = encapsulate([body]) if compressed else body
        ds["PixelData"].VR = "OB" if compressed else "OW"
        ds.save_as(file, enforce_file_format=True)
        files.append(file)
    return files


def _pixels(seed: int, *, compressed: bool) -> bytes:
    """Paint one slice, and compress it where that is asked for."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    hu = np.full((SIZE, SIZE), -1000.0)
    radius = (x / 0.85) ** 2 + (y / 0.6) ** 2
    hu[radius < 1] = -100
    hu[radius < 0.8] = 45
    hu[((radius > 0.74) & (radius < 0.8)) & (np.sin(12 * np.arctan2(y, x)) > 0)] = 300
    for side in (-0.4, 0.4):
        hu[((x - side) / 0.25) ** 2 + (y / 0.35) ** 2 < 1] = -850
    noise = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), 0.8)
    hu = ndimage.gaussian_filter(hu, 0.7) + noise * (12 / noise.std())
    stored = np.clip(np.rint(hu) + 1024, 0, 4095).astype(np.uint16)
    if not compressed:
        return stored.tobytes()
    import imagecodecs

    return bytes(
        imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, bitspersample=12)
    )


def _index(files: Sequence[Path], root: Path) -> tuple[Series, FolderObjects]:
    """Store the files as intake does, one segment, and index them."""
    objects = FolderObjects(root)
    writer = objects.begin()
    instances = []
    for file in files:
        data, offset = file.read_bytes(), writer.offset
        writer.write([data])
        instances.append(read_header(BytesIO(data), object_key=writer.key, object_offset=offset))
    writer.commit()
    (series,) = group_series(instances)
    _ = series.geometry
    return series, objects


def _ours(
    series: Series, objects: FolderObjects, home: Path, decoding: list[float]
) -> npt.NDArray[np.int16]:
    """Decode into a fresh region, and note the seconds that decoding alone took."""
    with SharedVolume.create(series.geometry.shape, home=home) as volume:
        start = time.perf_counter()
        decode_series(series, series.geometry, objects, volume.array, region=volume.name)
        decoding.append(time.perf_counter() - start)
        return volume.array


def _peer_loop(files: Sequence[Path]) -> npt.NDArray[np.float32]:
    """Do what the usual script does: read, sort by z, stack to float32 HU."""
    slices = []
    for file in files:
        ds = pydicom.dcmread(file)
        hu = ds.pixel_array.astype(np.float32)
        hu = hu * np.float32(ds.RescaleSlope) + np.float32(ds.RescaleIntercept)
        slices.append((float(ds.ImagePositionPatient[2]), hu))
    slices.sort(key=lambda item: item[0])
    return np.stack([hu for _, hu in slices])


def _simpleitk(files: Sequence[Path]) -> npt.NDArray[Any]:
    """Read the series as SimpleITK does; its names are known, as our index is."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames([str(file) for file in files])
    return SimpleITK.GetArrayFromImage(reader.Execute())


def _encapsulated(file: Path) -> bytes:
    return next(generate_frames(pydicom.dcmread(file).PixelData, number_of_frames=1))


def _fastest_j2k(frames: Sequence[bytes]) -> tuple[str, Callable[[bytes], Any]]:
    """Time every installed JPEG 2000 decoder on a few frames."""
    import imagecodecs
    import openjpeg
    from pydicom.pixels import get_decoder

    gdcm = get_decoder(JPEG2000Lossless)
    options: dict[str, Any] = {
        "rows": SIZE,
        "columns": SIZE,
        "samples_per_pixel": 1,
        "photometric_interpretation": "MONOCHROME2",
        "pixel_representation": 0,
        "bits_allocated": 16,
        "bits_stored": 12,
        "number_of_frames": 1,
        "decoding_plugin": "gdcm",
    }
    decoders: dict[str, Callable[[bytes], Any]] = {
        "imagecodecs": lambda frame: imagecodecs.jpeg2k_decode(frame, numthreads=1),
        "pylibjpeg-openjpeg": lambda frame: openjpeg.decode_pixel_data(frame, version=2),
        "gdcm": lambda frame: gdcm.as_array(encapsulate([frame]), **options),
    }
    times: dict[str, float] = {}
    with _one_core():
        for name, decoder in decoders.items():
            decoder(frames[0])
            start = time.perf_counter()
            for frame in frames:
                decoder(frame)
            times[name] = time.perf_counter() - start
    best = min(times, key=lambda name: times[name])
    return best, decoders[best]


@contextmanager
def _one_core() -> Iterator[None]:
    """Keep this thread, and those it starts, on one core: gdcm decodes a frame in all of them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _interleaved(
    ours: Callable[[], Any], peer: Callable[[], Any], repeats: int
) -> tuple[float, float, bool]:
    """Run both sides in turn; give the medians in seconds and whether the first run agreed."""
    first, second = ours(), peer()  # warms caches and imports
    same = np.array_equal(first, second) if isinstance(second, np.ndarray) else True
    del first, second
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(repeats):
        for side, function in zip(times, (ours, peer)):
            start = time.perf_counter()
            result = function()
            side.append(time.perf_counter() - start)
            del result
    return statistics.median(times[0]), statistics.median(times[1]), same


def _result(name: str, goal: float | None, ours: float, peer: float, slices: int) -> dict[str, Any]:
    return {
        "name": name,
        "ratio": round(peer / ours, 2),
        "goal": goal,
        "ours": round(ours, 4),
        "peer": round(peer, 4),
        "unit": "s",
        "slices": slices,
        "threads": os.cpu_count(),
    }
