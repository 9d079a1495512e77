"""Which array library an array belongs to, and the checks that every operation makes."""

from __future__ import annotations

from typing import Any

import numpy as np

from preprocess.exceptions import ArrayError

Array = Any
"""A NumPy or CuPy array; same library and device in and out."""

HU_DTYPES = ("int16", "float32")
"""What a volume in HU may be stored as."""


def array_namespace(array: Array) -> Any:
    """Give the module, ``numpy`` or ``cupy``, whose functions take this array."""
    if isinstance(array, np.ndarray):
        return np
    if type(array).__module__.split(".")[0] == "cupy":
        import cupy

        return cupy
    raise ArrayError(f"expected a NumPy or CuPy array, got {type(array).__name__}.")


def check_volume(volume: Array) -> None:
    """Refuse what is not a volume in HU.

    Parameters
    ----------
    volume : (S, R, C) array of int16 or float32
        HU.

    Raises
    ------
    ArrayError
        When it has not three axes, has an empty one, or is of another dtype.
    """
    array_namespace(volume)
    if volume.ndim != 3 or 0 in volume.shape:
        raise ArrayError(
            f"volume must have three axes, none of them empty; its shape is {volume.shape}."
        )
    if volume.dtype.name not in HU_DTYPES:
        raise ArrayError(f"volume must be int16 or float32; it is {volume.dtype.name}.")
