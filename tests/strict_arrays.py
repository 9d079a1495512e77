"""Arrays that are as strict as CuPy's, on the CPU: what works with them would work on a device.

They are NumPy's inside, but never become one unless asked for by ``get``, mix with none, give
arrays of no axis where NumPy gives numbers, and know only the functions that CuPy 13 has, of those
only the ones that are used here. ``transfers`` counts the bytes that went either way.
"""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import ndimage as scipy_ndimage

FUNCTIONS = (
    "arange", "argwhere", "ascontiguousarray", "bincount", "clip", "concatenate", "count_nonzero",
    "empty", "flatnonzero", "isfinite", "isin", "ix_", "minimum", "moveaxis", "nonzero", "ones",
    "pad", "percentile", "rint", "tensordot", "where", "zeros", "zeros_like",
)  # fmt: skip
"""Each stands in ``cupy/__init__.py`` of 13.6."""

IMAGE_FUNCTIONS = ("binary_dilation", "binary_opening", "distance_transform_edt", "label")
"""Each stands in ``cupyx/scipy/ndimage/__init__.py`` of 13.6; ``find_objects`` does not."""

transfers = SimpleNamespace(to_host=0, to_device=0)


def wrap(value: Any) -> Any:
    """Give strict arrays for NumPy's arrays and numbers."""
    if isinstance(value, (tuple, list)):
        return type(value)(wrap(item) for item in value)
    if isinstance(value, (np.ndarray, np.generic)):
        return StrictArray(np.asarray(value))
    return value


def unwrap(value: Any) -> Any:
    """Give NumPy's arrays for strict ones, and refuse NumPy's."""
    if isinstance(value, StrictArray):
        return value.held
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, (tuple, list)):
        return type(value)(unwrap(item) for item in value)
    return value


class StrictArray:
    """An array on the strict device."""

    __array_priority__ = 1000
    __array_ufunc__ = None  # NumPy's operators step back
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, held: np.ndarray[Any, Any]) -> None:
        self.held = held

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Use `.get()`.")

    def __array_function__(self, function: Any, *_: Any) -> Any:
        raise TypeError(f"numpy.{function.__name__} was given an array of a device")

    def __array_namespace__(self) -> Any:
        return strict

    def __iter__(self) -> Any:
        raise TypeError("an array of a device is not gone through one by one")

    def get(self) -> Any:
        """Copy to the host."""
        transfers.to_host += self.held.nbytes
        return self.held.copy()

    def __len__(self) -> int:
        return len(self.held)

    def __bool__(self) -> bool:
        return bool(self.held)

    def __int__(self) -> int:
        return int(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __getitem__(self, index: Any) -> Any:
        return wrap(np.asarray(self.held[unwrap(index)]))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.held[unwrap(index)] = unwrap(value)

    def __invert__(self) -> Any:
        return wrap(~self.held)

    def __neg__(self) -> Any:
        return wrap(-self.held)

    shape = property(lambda self: self.held.shape)
    ndim = property(lambda self: self.held.ndim)
    size = property(lambda self: self.held.size)
    dtype = property(lambda self: self.held.dtype)
    nbytes = property(lambda self: self.held.nbytes)
    flags = property(lambda self: self.held.flags)
    T = property(lambda self: wrap(self.held.T))

    def __dlpack__(self, **_: Any) -> Any:
        raise AssertionError("only Triton takes a capsule, and it is not here")

    def __dlpack_device__(self) -> tuple[int, int]:
        return 2, 0


def _binary(name: str) -> Any:
    function = getattr(operator, name)

    def forward(self: StrictArray, other: Any) -> Any:
        return wrap(np.asarray(function(self.held, unwrap(other))))

    def backward(self: StrictArray, other: Any) -> Any:
        return wrap(np.asarray(function(unwrap(other), self.held)))

    def inplace(self: StrictArray, other: Any) -> Any:
        self.held = getattr(operator, f"i{name.rstrip('_')}")(self.held, unwrap(other))
        return self

    return forward, backward, inplace


for _name in ("add", "sub", "mul", "truediv", "floordiv", "and_", "or_"):
    _forward, _backward, _inplace = _binary(_name)
    _bare = _name.rstrip("_")
    setattr(StrictArray, f"__{_bare}__", _forward)
    setattr(StrictArray, f"__r{_bare}__", _backward)
    setattr(StrictArray, f"__i{_bare}__", _inplace)
for _name in ("lt", "le", "gt", "ge", "eq", "ne"):
    setattr(StrictArray, f"__{_name}__", _binary(_name)[0])


def _method(name: str) -> Callable[..., Any]:
    def call(self: StrictArray, *arguments: Any, **more: Any) -> Any:
        return wrap(np.asarray(getattr(self.held, name)(*unwrap(arguments), **more)))

    return call


for _name in (
    "all", "any", "argmax", "astype", "copy", "max", "mean", "min", "ravel", "reshape", "sum",
):  # fmt: skip
    setattr(StrictArray, _name, _method(_name))


def _function(function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **more: Any) -> Any:
        out = more.get("out")
        given = {name: unwrap(value) for name, value in more.items()}
        result = wrap(function(*unwrap(arguments), **given))
        return out if out is not None else result

    return call


def _asarray(value: Any, *arguments: Any) -> Any:
    """Copy to the device: the one function that takes NumPy's."""
    if isinstance(value, StrictArray):
        return value
    held = np.array(value, *arguments)
    transfers.to_device += held.nbytes
    return StrictArray(held)


def _image_function(name: str) -> Callable[..., Any]:
    function = getattr(scipy_ndimage, name)

    def call(image: Any, structure: Any = None, **more: Any) -> Any:
        if not isinstance(image, StrictArray):
            raise TypeError("input must be an array of the device")
        # CuPy's label takes a structure of the host, its morphology only one of the device
        held = structure if name == "label" else unwrap(structure)
        given = {} if structure is None else {"structure": held}
        found = function(image.held, **given, **more)
        return (wrap(found[0]), found[1]) if name == "label" else wrap(found)

    return call


def _bincount(numbers: Any, **more: Any) -> Any:
    """Count, but not nothing: CuPy looks for the largest number."""
    held = unwrap(numbers)
    if not held.size:
        raise ValueError("zero-size array to reduction operation maximum which has no identity")
    return wrap(np.bincount(held, **more))


class Namespace(SimpleNamespace):
    """The module that takes these arrays; ``launch`` runs kernels where a test sets it."""

    __name__ = "strict"


strict = Namespace(
    asarray=_asarray,
    ndimage=SimpleNamespace(**{name: _image_function(name) for name in IMAGE_FUNCTIONS}),
    bincount=_bincount,
    **{name: _function(getattr(np, name)) for name in FUNCTIONS if name != "bincount"},
    **{name: getattr(np, name) for name in ("bool_", "float32", "int16", "int32", "int64",
                                            "uint8")},
)  # fmt: skip


def strict_device(waits: list[None] | None = None) -> Any:
    """Give what stands in place of ``cupy`` in a model: the functions, streams and DLPack.

    Parameters
    ----------
    waits : list, optional
        Grows by one each time that the device is waited for.
    """
    stream = SimpleNamespace(synchronize=lambda: None if waits is None else waits.append(None))
    return SimpleNamespace(
        **vars(strict),
        cuda=SimpleNamespace(get_current_stream=lambda: stream),
        from_dlpack=lambda array: array,
    )


DRIVER = """
#include <cmath>
#include <cstddef>
#define __global__
struct Place { unsigned x; };
static Place blockIdx, blockDim, threadIdx;
#include KERNELS
template <class... Arguments>
static void each(void (*kernel)(Arguments...), unsigned blocks, unsigned threads,
                 Arguments... arguments) {
    blockDim.x = threads;
    for (blockIdx.x = 0; blockIdx.x < blocks; ++blockIdx.x)
        for (threadIdx.x = 0; threadIdx.x < threads; ++threadIdx.x) kernel(arguments...);
}
extern "C" void run_prepare_grid(
    unsigned blocks, unsigned threads, const short* slab, long long stride_s, long long stride_r,
    const float* slope, const float* intercept,
    const int* first_s, const float* weight_s, int taps_s,
    const int* first_r, const float* weight_r, int taps_r,
    const int* first_c, const float* weight_c, int taps_c,
    int count_s, int count_r, int count_c, int padded_s, int padded_r, int padded_c,
    const float* low, const float* width, int channels, float* volume, short* grid_hu) {
    each(prepare_grid, blocks, threads, slab, stride_s, stride_r, slope, intercept,
         first_s, weight_s, taps_s, first_r, weight_r, taps_r, first_c, weight_c, taps_c,
         count_s, count_r, count_c, padded_s, padded_r, padded_c,
         low, width, channels, volume, grid_hu);
}
"""
"""Runs a kernel thread by thread."""


def compiled_launch(gxx: str, kernels: Path, folder: Path) -> Callable[..., None]:
    """Compile the CUDA source as C++, and give what launches its kernels on strict arrays."""
    import subprocess

    (folder / "driver.cpp").write_text(DRIVER)
    library = folder / "kernels.so"
    subprocess.run(
        [gxx, "-std=c++14", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror",
         f'-DKERNELS="{kernels}"', "-x", "c++", str(folder / "driver.cpp"), "-o", str(library)],
        check=True,
    )  # fmt: skip
    loaded = ctypes.CDLL(str(library))
    kinds = {np.dtype(np.int32): ctypes.c_int, np.dtype(np.int64): ctypes.c_longlong}

    def launch(source: Path, name: str, blocks: int, threads: int, given: tuple[Any, ...]) -> None:
        assert source == kernels
        arguments = []
        for one in given:
            if isinstance(one, StrictArray):
                arguments.append(ctypes.c_void_p(one.held.ctypes.data))
            else:
                # a null pointer comes as a whole number of its width
                arguments.append(kinds[np.dtype(type(one))](int(one)))
        getattr(loaded, f"run_{name}")(blocks, threads, *arguments)

    return launch
