"""Writes volumes and label maps as NIfTI-1, the form that research tools read."""

from __future__ import annotations

import gzip
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gateway.exceptions import PixelDataError
from gateway.study.volume import VolumeArray, spacing_of

_HEADER = struct.Struct("<i10s18sihcB8h3f4h8f3fhcB4f2i80s24s2h3f3f4f4f4f16s4s")
"""nifti1.h, 348 bytes, little endian."""

_TYPES = {"int16": 4, "uint8": 2}
"""DT_INT16 and DT_UINT8, by NumPy's name."""

_MILLIMETRES = 2
_SCANNER = 1
"""NIFTI_XFORM_SCANNER_ANAT: coordinates of the scanner, as DICOM's are."""

_ORTHOGONAL = 1e-4
"""Cosine below which axes are written as a rotation too; a residual tilt has only the matrix."""

GZIP_LEVEL = 1
"""CT noise hardly compresses: level 9 takes many times longer for a few per cent."""


MASK_GZIP_LEVEL = 6
"""Label maps compress a hundredfold at any level."""

MOST_VOXELS = 32767
"""Along an axis: nifti1.h keeps them in 16 bits."""


def nifti_gz(mask: npt.NDArray[np.uint8], affine: npt.NDArray[np.float64]) -> bytes:
    """Give a label map as the bytes of a ``.nii.gz``; the same map gives the same bytes.

    Parameters
    ----------
    mask : (S, R, C) ndarray of uint8
    affine : (4, 4) ndarray of float64
        (slice, row, column) → LPS mm.

    Raises
    ------
    ValueError
        As `save_nifti`.
    """
    pixels = _checked(mask, np.uint8)
    return gzip.compress(
        _header(mask.shape, np.asarray(affine, np.float64), "uint8", "label") + bytes(pixels),
        MASK_GZIP_LEVEL,
        mtime=0,
    )


def read_nifti_gz(data: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float64]]:
    """Read what `nifti_gz` gave.

    Returns
    -------
    mask : (S, R, C) ndarray of uint8
    affine : (4, 4) ndarray of float64
        (slice, row, column) → LPS mm, in the precision of float32.

    Raises
    ------
    PixelDataError
        When it is no such file.
    """
    try:
        plain = gzip.decompress(data)
        header = _HEADER.unpack_from(plain)
        columns, rows, slices = header[8:11]
        if header[0] != _HEADER.size or header[19] != _TYPES["uint8"] or min(header[8:11]) < 1:
            raise ValueError("not a label map of ours")
        mask = np.frombuffer(plain, np.uint8, slices * rows * columns, _HEADER.size + 4)
    except (OSError, EOFError, ValueError, struct.error, zlib.error):
        raise PixelDataError("The mask cannot be read.") from None
    ras = np.vstack([np.reshape(header[-14:-2], (3, 4)), (0, 0, 0, 1)]).astype(np.float64)
    affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ ras
    return mask.reshape(slices, rows, columns), affine[:, [2, 1, 0, 3]]


def save_nifti(path: Path, volume: VolumeArray, affine: npt.NDArray[np.float64]) -> None:
    """Write a volume as ``.nii`` or ``.nii.gz``.

    Parameters
    ----------
    path : Path
        The suffix says whether it is compressed.
    volume : (S, R, C) ndarray of int16
        HU.
    affine : (4, 4) ndarray of float64
        (slice, row, column, 1) → LPS mm. The file says the same in RAS, with axes
        (column, row, slice), whose first runs fastest in memory as here.

    Raises
    ------
    ValueError
        For an array of another type or more than 32,767 voxels along an axis.
    """
    pixels = _checked(volume, np.int16)
    header = _header(volume.shape, np.asarray(affine, dtype=np.float64), "int16", "HU")
    with path.open("wb") as file:
        if path.suffix != ".gz":
            file.writelines((header, pixels))
            return
        with gzip.GzipFile(path.stem, "wb", GZIP_LEVEL, file, mtime=0) as packed:
            packed.write(header)
            packed.write(pixels)


def _checked(array: npt.NDArray[Any], dtype: type[np.generic]) -> memoryview:
    if array.ndim != 3 or array.dtype != dtype or max(array.shape) > MOST_VOXELS:
        raise ValueError(
            f"the array must be (S, R, C) {np.dtype(dtype)} with at most {MOST_VOXELS} voxels "
            f"an axis, not {array.shape} {array.dtype}"
        )
    return memoryview(np.ascontiguousarray(array, np.dtype(dtype).newbyteorder("<")).data)


def _header(
    shape: tuple[int, ...], affine: npt.NDArray[np.float64], kind: str, description: str
) -> bytes:
    slices, rows, columns = shape
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine[:, [2, 1, 0, 3]]
    between_slices, between_rows, between_columns = spacing_of(affine)
    rotation = _quaternion(ras)
    handed, b, c, d = rotation or (1.0, 0.0, 0.0, 0.0)
    return _HEADER.pack(
        *(348, b"", b"", 0, 0, b"r", 0),
        *(3, columns, rows, slices, 1, 1, 1, 1),
        *(0.0, 0.0, 0.0, 0, _TYPES[kind], 8 * np.dtype(kind).itemsize, 0),
        *(handed, between_columns, between_rows, between_slices, 0.0, 0.0, 0.0, 0.0),
        *(352.0, 1.0, 0.0, 0, b"\0", _MILLIMETRES),
        *(0.0, 0.0, 0.0, 0.0, 0, 0),
        *(description.encode(), b""),
        *(_SCANNER if rotation else 0, _SCANNER),
        *(b, c, d, *ras[:3, 3]),
        *ras[0],
        *ras[1],
        *ras[2],
        *(b"", b"n+1\0"),
    ) + bytes(4)


def _quaternion(ras: npt.NDArray[np.float64]) -> tuple[float, float, float, float] | None:
    """Give (handedness, b, c, d) of the axes' rotation; None where they are not orthogonal."""
    axes = ras[:3, :3] / np.linalg.norm(ras[:3, :3], axis=0)
    if np.abs(axes.T @ axes - np.eye(3)).max() > _ORTHOGONAL:
        return None
    handed = 1.0 if np.linalg.det(axes) > 0 else -1.0
    axes[:, 2] *= handed
    # The rotation's axis is the eigenvector of K with the largest eigenvalue (Bar-Itzhack 2000).
    m = axes
    k = np.array(
        [
            [m[0, 0] - m[1, 1] - m[2, 2], 0, 0, 0],
            [m[0, 1] + m[1, 0], m[1, 1] - m[0, 0] - m[2, 2], 0, 0],
            [m[0, 2] + m[2, 0], m[1, 2] + m[2, 1], m[2, 2] - m[0, 0] - m[1, 1], 0],
            [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1], m.trace()],
        ]
    )
    vector = np.linalg.eigh(k / 3, "L")[1][:, -1]
    b, c, d, _ = (-vector if vector[3] < 0 else vector).tolist()
    return handed, b, c, d
