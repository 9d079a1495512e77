"""Read a slab out of a shared region by its name, without copying it."""

from __future__ import annotations

import json
import math
import mmap
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preprocess.exceptions import RegionError

REGION_NAME = re.compile(r"onescan-vol-[A-Za-z0-9-]{1,200}")
"""The only names that are opened; no slash, no dot. The prefix is the gateway's."""

REGION_FOLDER = Path("/dev/shm")
"""Where POSIX shared memory lies on Linux."""

SLAB_KEYS = frozenset({"region", "offset", "shape"})
"""What names a part of a region."""


def open_slab(source: str | bytes, *, folder: Path = REGION_FOLDER) -> NDArray[np.int16]:
    """Map the slab that a SOURCE tensor names.

    Parameters
    ----------
    source : str or bytes
        JSON ``{"region": name, "offset": bytes, "shape": [S, R, C]}``.
    folder : Path
        Where regions lie.

    Returns
    -------
    (S, R, C) ndarray of int16, read-only
        HU. The mapping lives as long as the array.

    Raises
    ------
    RegionError
        For another name than ours, what is no regular file of our own user, a missing region,
        or a slab that leaves it.
    """
    try:
        value = json.loads(source)
    except (ValueError, UnicodeDecodeError):
        raise RegionError("SOURCE is not JSON.") from None
    if not isinstance(value, dict) or set(value) != SLAB_KEYS:
        raise RegionError("SOURCE must have exactly the keys region, offset and shape.")
    slab: NDArray[np.int16] = open_part(value, np.int16, "SOURCE", folder=folder)
    return slab


def open_part(
    value: Mapping[str, Any], dtype: Any, tensor: str, *, folder: Path = REGION_FOLDER
) -> NDArray[Any]:
    """Map the part of a region that the keys of `SLAB_KEYS` name, as (S, R, C) of a dtype.

    Raises
    ------
    RegionError
        As `open_slab`; the message names the tensor.
    """
    itemsize = np.dtype(dtype).itemsize
    name, offset, shape = _checked(value, itemsize, tensor)
    count = math.prod(shape)
    length = offset + itemsize * count
    descriptor = _open(folder / name)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise RegionError("the region is not a regular file of this user.")
        if length > found.st_size:
            raise RegionError(
                f"the slab ends at byte {length} of a region of {found.st_size} bytes."
            )
        mapped = mmap.mmap(descriptor, length, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
    return np.frombuffer(mapped, dtype, count, offset).reshape(shape)


def is_linked(reference: str | bytes, *, folder: Path = REGION_FOLDER) -> bool:
    """Tell whether the region that a tensor names is still there: it goes with its study.

    What is mapped stays readable.
    """
    try:
        name = json.loads(reference)["region"]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError):
        return False
    known = isinstance(name, str) and REGION_NAME.fullmatch(name) is not None
    return known and (folder / name).exists()


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RegionError(f"the region cannot be opened: {error.strerror}.") from None


def _checked(
    value: Mapping[str, Any], itemsize: int, tensor: str
) -> tuple[str, int, tuple[int, int, int]]:
    name, offset, shape = value["region"], value["offset"], value["shape"]
    if not isinstance(name, str) or not REGION_NAME.fullmatch(name):
        raise RegionError(f"{tensor} names a region that is not one of ours.")
    if type(offset) is not int or offset < 0 or offset % itemsize:
        raise RegionError(
            f"offset must be a whole number of bytes, a multiple of {itemsize}, not {offset!r}."
        )
    if (
        not isinstance(shape, list)
        or len(shape) != 3
        or any(type(n) is not int or n < 1 for n in shape)
    ):
        raise RegionError(f"shape must be three whole numbers above 0, not {shape!r}.")
    return name, offset, (shape[0], shape[1], shape[2])
