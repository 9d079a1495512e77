"""NIfTI files as nibabel reads them."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from gateway.study.nifti import save_nifti

VOLUME = np.random.default_rng(0).integers(-1024, 3071, (4, 5, 6)).astype(np.int16)

FLOAT32_MM = 1e-4
"""NIfTI keeps its matrix in float32: 1,000 mm to seven digits."""


def affine(angle: float = 0.0, shear: float = 0.0) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    axes = turn @ np.array([[0, 0, 0.7], [0, 0.8, 0], [2.5, 0, 0]])
    axes[1, 0] += shear
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = axes, (-180.5, -311.25, 94.3)
    return out


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_voxels_come_back(tmp_path: Path, name: str):
    """Nibabel's (column, row, slice) is our (slice, row, column) turned."""
    save_nifti(tmp_path / name, VOLUME, affine())
    image = nibabel.load(tmp_path / name)
    assert (np.asarray(image.dataobj).transpose(2, 1, 0) == VOLUME).all()
    assert image.get_data_dtype() == np.int16
    assert image.header.get_xyzt_units()[0] == "mm"


@pytest.mark.parametrize("angle", [0.0, 0.3, -2.0])
def test_coordinates_are_lps_turned_to_ras(tmp_path: Path, angle: float):
    """Voxel (1, 2, 3) lies where our matrix says, with x and y reversed; both forms agree."""
    save_nifti(tmp_path / "v.nii", VOLUME, affine(angle))
    image = nibabel.load(tmp_path / "v.nii")
    lps = affine(angle) @ [1, 2, 3, 1]
    assert image.affine @ [3, 2, 1, 1] == pytest.approx([-1, -1, 1, 1] * lps, abs=FLOAT32_MM)
    assert image.get_qform() == pytest.approx(image.get_sform(), abs=FLOAT32_MM)
    assert image.header["qform_code"] == image.header["sform_code"] == 1


def test_an_axis_that_is_not_perpendicular_is_written_as_matrix_only(tmp_path: Path):
    """A quaternion cannot say it, so none is written."""
    save_nifti(tmp_path / "v.nii", VOLUME, affine(shear=0.02))
    image = nibabel.load(tmp_path / "v.nii")
    assert image.header["qform_code"] == 0
    assert image.affine[1, 2] == pytest.approx(-0.02, abs=FLOAT32_MM)


def test_the_same_volume_gives_the_same_bytes(tmp_path: Path):
    """No time stamp in the compressed file."""
    for name in ("a.nii.gz", "b.nii.gz"):
        save_nifti(tmp_path / name, VOLUME, affine())
    a, b = ((tmp_path / name).read_bytes() for name in ("a.nii.gz", "b.nii.gz"))
    assert a.replace(b"a.nii", b"") == b.replace(b"b.nii", b"")


def test_another_type_is_refused(tmp_path: Path):
    """HU are int16."""
    with pytest.raises(ValueError, match="int16"):
        save_nifti(tmp_path / "v.nii", VOLUME.astype(np.float32), affine())
