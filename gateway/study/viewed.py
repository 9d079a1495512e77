"""A series as people look at it: one slice at a time, decoded no further than was asked for."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import NotFoundError, PixelDataError
from gateway.instance import Instance
from gateway.store.objects import ObjectReader
from gateway.study.decode import decode_series
from gateway.study.nifti import read_nifti_gz
from gateway.study.series import Series, group_series

PLANES = ("axial", "coronal", "sagittal")
"""Canonical axis that a slice is cut across, by its place here."""

IDLE_SECONDS = 600.0
"""A volume that nobody has looked at for so long makes room at the next look."""

KEPT_STUDIES = 32
"""Studies whose index rows are kept; those of 1,000 slices are some 2 MB."""


class ViewedVolume:
    """One volume, its planes decoded when they are first looked at.

    Parameters
    ----------
    series : Series
        Raises the SeriesError that says why it is no volume.
    """

    def __init__(self, series: Series) -> None:
        self.series = series
        self.geometry = series.geometry
        self.looked_at = time.monotonic()
        self._array = np.empty(self.geometry.shape, np.int16)  # pages come when they are written
        self._done = np.zeros(len(self.geometry.frames), np.bool_)
        self._whole = threading.Lock()

    @property
    def size_bytes(self) -> int:
        """Of the volume once all of it is decoded."""
        return int(self._array.nbytes)

    def slice(self, reader: ObjectReader, plane: str, index: int) -> bytes:
        """Give one slice; blocks.

        Parameters
        ----------
        plane : str
            One of `PLANES`.
        index : int
            From 0, from the feet, the front or the right side on.

        Returns
        -------
        bytes
            int16 HU, little endian: (R, C), (S, C) or (S, R) in C order.

        Raises
        ------
        NotFoundError
            When the volume has no such slice.
        SeriesError
            When it cannot be decoded.
        """
        axis = PLANES.index(plane)
        if not 0 <= index < self.geometry.shape[axis]:
            raise NotFoundError(f"The volume has {self.geometry.shape[axis]} {plane} slices.")
        self._decode(reader, axis, index)
        cut = self._array.take(index, axis=axis)
        return bytes(cut.astype("<i2", copy=False).tobytes())

    def _decode(self, reader: ObjectReader, axis: int, index: int) -> None:
        """Decode the plane that is the slice, or all that are missing where it cuts across them."""
        if self.geometry.permutation[axis] == 0:
            last = len(self._done) - 1
            place = last - index if self.geometry.flips[axis] else index
            if not self._done[place]:
                self._planes(reader, [place], threads=1)
            return
        with self._whole:
            missing = np.flatnonzero(~self._done).tolist()
            if missing:
                self._planes(reader, missing, threads=0)

    def _planes(self, reader: ObjectReader, planes: list[int], *, threads: int) -> None:
        decode_series(
            self.series, self.geometry, reader, self._array, threads=threads, planes=planes
        )
        self._done[planes] = True


class Viewer:
    """Volumes that are being looked at, the least recently seen dropped first.

    Parameters
    ----------
    limit_bytes : int
        Of all volumes together.
    """

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._lock = threading.Lock()
        self._studies: OrderedDict[Hashable, list[Series]] = OrderedDict()
        self._volumes: OrderedDict[Hashable, ViewedVolume] = OrderedDict()

    @property
    def size_bytes(self) -> int:
        """Of all volumes that are kept."""
        with self._lock:
            return sum(volume.size_bytes for volume in self._volumes.values())

    def known(self, key: Hashable) -> list[Series] | None:
        """Give the series of a study that was looked at before."""
        with self._lock:
            found = self._studies.get(key)
            if found is not None:
                self._studies.move_to_end(key)
            return found

    def learn(self, key: Hashable, instances: list[Instance]) -> list[Series]:
        """Group a study's instances and keep the outcome."""
        series = group_series(instances)
        with self._lock:
            self._studies[key] = series
            while len(self._studies) > KEPT_STUDIES:
                self._studies.popitem(last=False)
        return series

    def volume(self, key: Hashable, series: Series) -> ViewedVolume:
        """Give a volume, with room made for it.

        Raises
        ------
        SeriesError
            When the series is no volume.
        PixelDataError
            When it is larger than all that may be kept.
        """
        now = time.monotonic()
        with self._lock:
            volume = self._volumes.get(key) or ViewedVolume(series)
            if volume.size_bytes > self._limit_bytes:
                raise PixelDataError(
                    f"The volume has {volume.size_bytes} bytes, more than may be looked at"
                    " (ONESCAN_API__VIEW_BYTES)."
                )
            volume.looked_at = now
            self._volumes[key] = volume
            self._volumes.move_to_end(key)
            self._make_room(now)
            return volume

    def _make_room(self, now: float) -> None:
        kept = sum(volume.size_bytes for volume in self._volumes.values())
        for key, volume in list(self._volumes.items())[:-1]:
            if kept > self._limit_bytes or now - volume.looked_at > IDLE_SECONDS:
                kept -= volume.size_bytes
                del self._volumes[key]


def describe(series: Series) -> dict[str, Any]:
    """Say what a viewer needs to know of a series."""
    refusal = series.refusal
    geometry = None if refusal else series.geometry
    return {
        "series_instance_uid": series.uid,
        "part": series.part,
        "key": series.key,
        "modality": series.modality,
        "description": str(series.attributes.get("SeriesDescription") or ""),
        "is_image": series.is_image,
        "shape": list(geometry.shape) if geometry else None,
        "affine_lps": geometry.affine.tolist() if geometry else None,
        "refusal": {"code": refusal.code, "message": str(refusal)} if refusal else None,
    }


def mask_slice(
    read: Callable[[], bytes], volume: ViewedVolume, plane: str, index: int
) -> bytes | None:
    """Cut a kept mask along a slice of a volume, nearest voxel; None where nothing is in it.

    Parameters
    ----------
    read : callable
        Gives the mask as it is kept.

    Returns
    -------
    bytes
        uint8 labels, of the slice's shape.

    Raises
    ------
    NotFoundError
        When the volume has no such slice.
    PixelDataError
        When the mask cannot be read.
    """
    axis, shape = PLANES.index(plane), volume.geometry.shape
    if not 0 <= index < shape[axis]:
        raise NotFoundError(f"The volume has {shape[axis]} {plane} slices.")
    labels, affine = read_nifti_gz(read())
    to_mask = np.linalg.solve(affine, volume.geometry.affine)
    down, across = (a for a in range(3) if a != axis)
    origin = to_mask[:3, 3] + index * to_mask[:3, axis]
    rows = np.arange(shape[down])[:, None, None] * to_mask[:3, down]
    columns = np.arange(shape[across])[None, :, None] * to_mask[:3, across]
    at: npt.NDArray[np.int64] = np.rint(origin + rows + columns).astype(np.int64)
    inside = ((at >= 0) & (at < labels.shape)).all(axis=-1)
    s, r, c = (np.where(inside, at[..., a], 0) for a in range(3))
    cut = np.where(inside, labels[s, r, c], 0).astype(np.uint8)
    return cut.tobytes() if cut.any() else None
