"""Which array library an array belongs to, and the checks that every operation makes.

A library is NumPy, CuPy, or any whose arrays name their namespace as the array API standard has
it. Nothing goes from a device to the host but by `to_host`, and none the other way but by
`like`.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
    if hasattr(array, "__array_namespace__"):
        return array.__array_namespace__()
    raise ArrayError(f"expected a NumPy or CuPy array, got {type(array).__name__}.")


def image_functions(array: Array) -> Any:
    """Give the module with ``label``, ``distance_transform_edt`` and so on for this array.

    SciPy's for NumPy, CuPy's own for CuPy; another library brings its as ``ndimage``.
    """
    xp = array_namespace(array)
    if xp is np:
        from scipy import ndimage

        return ndimage
    if xp.__name__ == "cupy":
        return import_module("cupyx.scipy.ndimage")
    return xp.ndimage


def to_host(array: Array) -> NDArray[Any]:
    """Give a NumPy array: itself, or a copy from the device, which is waited for."""
    if isinstance(array, np.ndarray):
        return array
    copied: NDArray[Any] = array.get()
    return copied


def counts_of(numbers: Array, count: int) -> NDArray[np.int64]:
    """Count each whole number below a limit; a table on the host.

    Parameters
    ----------
    numbers : (n,) array of an integer type
        0 or more. May be empty, which CuPy's own ``bincount`` refuses.
    count : int
        At least as many are given.
    """
    if not numbers.size:
        return np.zeros(count, np.int64)
    return to_host(array_namespace(numbers).bincount(numbers, minlength=count))


def like(array: Array, host: NDArray[Any]) -> Array:
    """Put a NumPy array where another array lies."""
    return array_namespace(array).asarray(host)


def launcher(array: Array) -> Any:
    """Give what runs the kernels of ``preprocess/kernels`` on this array; None on NumPy.

    It is called with the file, the function, blocks, threads of a block and the arguments. Other
    libraries bring theirs as ``launch``, or none.
    """
    xp = array_namespace(array)
    if xp is np:
        return None
    return _launch if xp.__name__ == "cupy" else getattr(xp, "launch", None)


def _launch(source: Path, name: str, blocks: int, threads: int, arguments: tuple[Any, ...]) -> None:
    _function(source, name)((blocks,), (threads,), arguments)


_compiled: dict[tuple[Path, str], Any] = {}


def _function(source: Path, name: str) -> Any:
    import cupy

    if (source, name) not in _compiled:
        module = cupy.RawModule(code=source.read_text(encoding="utf-8"), options=("--std=c++14",))
        _compiled[source, name] = module.get_function(name)
    return _compiled[source, name]


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
