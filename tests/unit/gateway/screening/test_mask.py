"""Masks as they are kept."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import nibabel
import numpy as np

from gateway.screening.mask import KeptMask, Mask

GEOMETRY = np.array([[0, 0, 0.7, -50], [0, 0.7, 0, -40], [3, 0, 0, 10], [0, 0, 0, 1]], np.float64)


def mask() -> Mask:
    array = np.zeros((4, 5, 6), np.uint8)
    array[1, 2, 3] = 4
    return Mask(array, GEOMETRY)


def test_a_mask_is_the_same_bytes_whenever_it_is_written() -> None:
    """Its digest then says whether it is the same mask."""
    assert mask().encode() == mask().encode()
    assert mask().encode()[4:8] == bytes(4)  # gzip's time


def test_other_tools_read_the_mask_where_it_lies(tmp_path: Path) -> None:
    """Values and places, in NIfTI's right-anterior-superior millimetres."""
    path = tmp_path / "mask.nii.gz"
    path.write_bytes(mask().encode())
    image = nibabel.load(path)
    values = np.asarray(image.dataobj)
    assert values.dtype == np.uint8
    [voxel] = np.argwhere(values)
    assert values[tuple(voxel)] == 4
    x, y, z = image.affine[:3, :3] @ voxel + image.affine[:3, 3]
    lps = GEOMETRY[:3, :3] @ [1, 2, 3] + GEOMETRY[:3, 3]
    np.testing.assert_allclose([-x, -y, z], lps, atol=1e-4)


def test_a_result_says_what_is_kept() -> None:
    """Shape, size and digest of the bytes as they are sent."""
    encoded = mask().encode()
    kept = KeptMask.of(mask(), encoded).to_json()
    assert kept == {
        "shape": [4, 5, 6],
        "size_bytes": len(encoded),
        "sha256": hashlib.sha256(encoded).hexdigest(),
        "format": "nifti-1.gz",
    }
    assert len(gzip.decompress(encoded)) == 352 + 4 * 5 * 6
