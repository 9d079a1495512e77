"""The decoded volume in /dev/shm: written once by the worker, mapped by ct_preprocess.

A region is named for its home, its owner (pid and start time) and itself, is opened by that name
only, is never used again, and is unlinked when closed. Its owner's death leaves it behind;
`sweep` removes what is provably ours and has no living owner.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

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


class SharedVolume:
    """One int16 volume in shared memory.

    Use `create`, and close it (it is a context manager) when no inference reads it any more.

    Attributes
    ----------
    name : str
        Name of the region under /dev/shm.
    array : (S, R, C) ndarray of int16
        The volume. Holding a view of it beyond `close` keeps the memory, not the name.
    """

    def __init__(self, name: str, array: NDArray[np.int16]) -> None:
        self.name = name
        self.array = array

    @classmethod
    def create(cls, shape: tuple[int, int, int], *, home: Path) -> SharedVolume:
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
        size = 2 * shape[0] * shape[1] * shape[2]
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        descriptor = os.open(SHM / name, flags, 0o600)
        try:
            os.posix_fallocate(descriptor, 0, size)
            buffer = mmap.mmap(descriptor, size)
        except OSError as error:
            (SHM / name).unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                raise StorageFullError(
                    f"/dev/shm has no room for a volume of {size / 1e6:.0f} MB."
                ) from error
            raise
        finally:
            os.close(descriptor)
        return cls(name, np.frombuffer(buffer, dtype=np.int16).reshape(shape))

    def source(self, first_slice: int = 0, last_slice: int | None = None) -> Source:
        """Name a slab of whole slices, half-open, for the ``SOURCE`` tensor."""
        slices, rows, columns = self.array.shape
        stop = slices if last_slice is None else last_slice
        if not 0 <= first_slice < stop <= slices:
            raise ValueError(f"slab [{first_slice}, {stop}) is not within {slices} slices")
        return Source(
            self.name, 2 * first_slice * rows * columns, (stop - first_slice, rows, columns)
        )

    def close(self) -> None:
        """Unlink the region; the memory goes with its last mapping."""
        with suppress(FileNotFoundError):
            (SHM / self.name).unlink()
        self.array = np.zeros((0, 0, 0), np.int16)

    def __enter__(self) -> SharedVolume:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def sweep(home: Path) -> int:
    """Unlink this home's regions whose owner is gone; give their number."""
    swept = 0
    for path in SHM.glob(f"{REGION_PREFIX}{home_digest(home)}-*"):
        with suppress(OSError, ValueError):
            _, pid, start_ticks, _ = path.name.rsplit("-", 3)
            ours = path.lstat().st_uid == os.geteuid()
            if ours and not ProcessIdentity(int(pid), int(start_ticks)).alive():
                path.unlink()
                swept += 1
    return swept
