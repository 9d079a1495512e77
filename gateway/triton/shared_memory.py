"""Arrays in /dev/shm: written once by the worker, mapped by Triton's Python models.

The decoded volume, and the label map of anatomy beside it. A region is named for its home, its
owner (pid and start time) and itself, is opened by that name only, is never used again, and is
unlinked when closed. Its owner's death leaves it behind; `sweep` removes what is provably ours
and has no living owner. An owner holds a lock as long as it lives, since in another container its
pid says nothing.
"""

from __future__ import annotations

import errno
import fcntl
import json
import mmap
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from gateway.contract import REGION_PREFIX
from gateway.exceptions import StorageFullError
from gateway.runtime.home import home_digest
from gateway.runtime.processes import ProcessIdentity

SHM = Path("/dev/shm")
"""Where shm_open(3) puts regions on Linux."""


@dataclass(frozen=True, slots=True)
class Source:
    """A slab of a region, as the ``SOURCE`` tensor names it."""

    region: str
    offset: int
    """Bytes from the region's start."""

    shape: tuple[int, int, int]
    """(S, R, C) of int16 values, C order."""

    def to_json(self) -> str:
        """Write the JSON of the ``SOURCE`` tensor."""
        return json.dumps({"region": self.region, "offset": self.offset, "shape": list(self.shape)})


@dataclass(frozen=True, slots=True)
class Organs:
    """The label map of anatomy in a region, as the ``ORGANS`` tensor names it."""

    region: str
    shape: tuple[int, int, int]
    """(S, R, C) of uint8 values, C order, from the region's start."""

    geometry: tuple[tuple[float, ...], ...]
    """4 × 4: label map (slice, row, column, 1) → LPS mm."""

    labels: tuple[str, ...]
    """Names of the values, the background first."""

    def to_json(self) -> str:
        """Write the JSON of the ``ORGANS`` tensor."""
        return json.dumps(
            {
                "region": self.region,
                "offset": 0,
                "shape": list(self.shape),
                "geometry": [list(row) for row in self.geometry],
                "labels": list(self.labels),
            }
        )


Voxel = TypeVar("Voxel", bound=np.generic)


class SharedArray(Generic[Voxel]):
    """One array of three axes in shared memory, of the type that its subclass says.

    Use `create`, and close it (it is a context manager) when no inference reads it any more.

    Attributes
    ----------
    name : str
        Name of the region under /dev/shm.
    array : (S, R, C) ndarray
        Holding a view of it beyond `close` keeps the memory, not the name.
    """

    dtype: Any

    def __init__(self, name: str, array: NDArray[Voxel], lock: int) -> None:
        self.name = name
        self.array = array
        self._lock = lock

    @classmethod
    def create(cls, shape: tuple[int, int, int], *, home: Path) -> Self:
        """Make a region of zeros.

        The memory is reserved at once, so that a full /dev/shm is an error here
        and not a SIGBUS in the middle of decoding.

        Parameters
        ----------
        shape : tuple of int
            (S, R, C), each at least 1.
        home : Path
            ``ONESCAN_HOME``; its digest is part of the name.

        Raises
        ------
        StorageFullError
            When /dev/shm has no room for it.
        ValueError
            When the shape is not three positive numbers.
        """
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three positive numbers, not {shape}")
        owner = ProcessIdentity.of(os.getpid())
        assert owner is not None
        name = "-".join(
            [
                REGION_PREFIX + home_digest(home),
                str(owner.pid),
                str(owner.start_ticks),
                uuid.uuid4().hex,
            ]
        )
        size = np.dtype(cls.dtype).itemsize * shape[0] * shape[1] * shape[2]
        descriptor = _create_locked(SHM / name)
        try:
            os.posix_fallocate(descriptor, 0, size)
            buffer = mmap.mmap(descriptor, size)
        except OSError as error:
            (SHM / name).unlink(missing_ok=True)
            os.close(descriptor)
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise StorageFullError(
                    f"/dev/shm has no room for a volume of {size / 1e6:.0f} MB."
                ) from error
            raise
        return cls(name, np.frombuffer(buffer, dtype=cls.dtype).reshape(shape), descriptor)

    def close(self) -> None:
        """Unlink the region; the memory goes with its last mapping."""
        with suppress(FileNotFoundError):
            (SHM / self.name).unlink()
        self.array = np.zeros((0, 0, 0), self.dtype)
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class SharedVolume(SharedArray[np.int16]):
    """One decoded volume, HU."""

    dtype = np.int16

    def source(self, first_slice: int = 0, last_slice: int | None = None) -> Source:
        """Name a slab of whole slices, half-open, for the ``SOURCE`` tensor."""
        slices, rows, columns = self.array.shape
        stop = slices if last_slice is None else last_slice
        if not 0 <= first_slice < stop <= slices:
            raise ValueError(f"slab [{first_slice}, {stop}) is not within {slices} slices")
        return Source(
            self.name, 2 * first_slice * rows * columns, (stop - first_slice, rows, columns)
        )


class SharedLabels(SharedArray[np.uint8]):
    """The label map of anatomy."""

    dtype = np.uint8

    def organs(self, geometry: NDArray[np.float64], labels: tuple[str, ...]) -> Organs:
        """Name the label map for the ``ORGANS`` tensor.

        Parameters
        ----------
        geometry : (4, 4) ndarray of float64
            Label map (slice, row, column, 1) → LPS mm.
        labels : tuple of str
            Names of the values, the background first.
        """
        slices, rows, columns = self.array.shape
        return Organs(
            self.name,
            (slices, rows, columns),
            tuple(tuple(float(value) for value in row) for row in geometry),
            labels,
        )


def sweep(home: Path) -> int:
    """Unlink this home's regions whose owner is gone; give their number."""
    swept = 0
    for path in SHM.glob(f"{REGION_PREFIX}{home_digest(home)}-*"):
        with suppress(OSError, ValueError):
            _, pid, start_ticks, _ = path.name.rsplit("-", 3)
            ours = path.lstat().st_uid == os.geteuid()
            if not ours or ProcessIdentity(int(pid), int(start_ticks)).alive():
                continue
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
                swept += 1
            finally:
                os.close(descriptor)
    return swept


def _create_locked(path: Path) -> int:
    """Create a region and lock it; one that was swept between the two is made again."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    while True:
        descriptor = os.open(path, flags, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)
