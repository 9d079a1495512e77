"""Real CT from series to volume: what was scanned is what is measured."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import nibabel
import numpy as np
import pytest
from pydicom import dcmread

from gateway import exceptions as errors
from gateway.intake.folders import collect
from gateway.intake.header import read_header
from gateway.settings import IntakeSettings
from gateway.study.choice import Requirement, choose_series
from gateway.study.decode import decode_series
from gateway.study.inspect import inspect
from gateway.study.nifti import save_nifti
from gateway.study.quality import header_quality, pixel_quality
from gateway.study.series import Series, group_series

LOSSLESS = [
    "LittleEndianExplicit",
    "LittleEndianImplicit",
    "BigEndianExplicit",
    "DeflatedExplicitVRLittleEndian",
    "RLELossless",
    "JPEGProcess14",
    "JPEGProcess14SV1",
    "JPEGLSLossless",
    "JPEG2000LosslessOnly",
]
REFUSED = {
    "JPEGProcess1": errors.LossyCompressionError,
    "JPEGProcess2_4": errors.UnsupportedTransferSyntaxError,
    "JPEGProcess6_8": errors.UnsupportedTransferSyntaxError,
    "JPEGProcess10_12": errors.UnsupportedTransferSyntaxError,
    "JPEGLSLossy": errors.LossyCompressionError,
    "JPEG2000": errors.LossyCompressionError,
}
"""The other six of the fifteen."""


def found_in(folder: Path):
    return collect([folder], settings=IntakeSettings())


def only_series(folder: Path) -> Series:
    (series,) = group_series(found_in(folder).instances)
    return series


def volume_of(series: Series, folder: Path) -> np.ndarray:
    out = np.empty(series.geometry.shape, np.int16)
    decode_series(series, series.geometry, found_in(folder).objects, out)
    return out


def in_lps(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a NIfTI file as (S, R, C) with its affine to LPS mm."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    array = np.asarray(image.dataobj)[::-1, ::-1].transpose(2, 1, 0)
    columns, rows, _ = image.shape
    flipped = np.diag([-1.0, -1, 1, 1])
    flipped[0, 3], flipped[1, 3] = columns - 1, rows - 1
    affine = np.diag([-1.0, -1, 1, 1]) @ image.affine @ flipped
    return array, affine[:, [2, 1, 0, 3]]


def test_the_native_abdomen_is_its_reference(ct: Path):
    """Every voxel and the matrix equal those of the published NIfTI."""
    series = only_series(ct / "abdomen-native")
    expected, affine = in_lps(ct / "abdomen-native-3mm.nii.gz")
    assert (
        volume_of(series, ct / "abdomen-native") == np.clip(np.rint(expected), -1024, 3071)
    ).all()
    assert series.geometry.affine == pytest.approx(affine, abs=1e-3)


def test_the_native_abdomen_has_no_flag(ct: Path):
    """A real native adult scan passes quality control; its air is at −1000 HU."""
    folder = ct / "abdomen-native"
    series = only_series(folder)
    pixels = pixel_quality(volume_of(series, folder), series.geometry, patient_position="HFS")
    assert (header_quality(series) + pixels).flags == ()
    assert pixels.measures["air_hu"] == pytest.approx(-1000, abs=10)


def test_a_saved_volume_lies_where_the_reference_lies(ct: Path, tmp_path: Path):
    """What --nifti writes, nibabel and the reference agree on."""
    series = only_series(ct / "abdomen-native")
    volume = volume_of(series, ct / "abdomen-native")
    save_nifti(tmp_path / "out.nii.gz", volume, series.geometry.affine)
    ours, our_affine = in_lps(tmp_path / "out.nii.gz")
    _, affine = in_lps(ct / "abdomen-native-3mm.nii.gz")
    assert (ours == volume).all()
    assert our_affine == pytest.approx(affine, abs=1e-3)


def test_native_organ_medians_are_those_measured(ct: Path):
    """Reference masks on our volume: liver 47, spleen 35, aorta 42 HU."""
    volume = volume_of(only_series(ct / "abdomen-native"), ct / "abdomen-native")
    labels, _ = in_lps(ct / "abdomen-native-organs.nii.gz")
    medians = {name: np.median(volume[labels == n]) for name, n in _ORGANS.items()}
    assert medians == {
        "liver": pytest.approx(47, abs=2),
        "spleen": pytest.approx(35, abs=2),
        "aorta": pytest.approx(42, abs=2),
    }


def test_the_contrast_abdomen_decodes(ct: Path):
    """20 slices of JPEG 2000, sorted along the normal: liver 93, spleen 81, aorta 153 HU."""
    folder = ct / "abdomen-contrast"
    series = only_series(folder)
    volume = volume_of(series, folder)
    assert series.geometry.shape == (20, 512, 512)
    assert series.geometry.increment_mm == pytest.approx(2.0)
    labels, affine = in_lps(ct / "abdomen-contrast-organs.nii.gz")
    assert affine == pytest.approx(series.geometry.affine, abs=1e-2)
    medians = {name: np.median(volume[labels == n]) for name, n in _ORGANS.items()}
    assert medians == {
        "liver": pytest.approx(93, abs=3),
        "spleen": pytest.approx(81, abs=3),
        "aorta": pytest.approx(153, abs=3),
    }


def test_the_contrast_abdomen_is_bit_identical_to_pydicom(ct: Path):
    """Slice by slice, against ``pixel_array``."""
    folder = ct / "abdomen-contrast"
    volume = volume_of(only_series(folder), folder)
    files = sorted(folder.glob("*.dcm"))[::-1]  # z falls with the file number
    for number in (0, 7, 19):
        stored = dcmread(files[number]).pixel_array.astype(int)
        assert (volume[number] == np.clip(stored - 1024, -1024, 3071)).all()


def test_contrast_in_the_header_is_a_warning_only(ct: Path):
    """The phase is told from organ HU, so the series is still fit."""
    series = only_series(ct / "abdomen-contrast")
    assert "contrast_header" in header_quality(series).codes
    assert choose_series([series], Requirement()).chosen is series


def test_the_head_study_gives_its_axial_series(ct: Path):
    """28 slices of 5 mm; the localizer and the screens that say CT are refused by name."""
    found = found_in(ct / "head-phantom-study")
    choice = choose_series(group_series(found.instances), Requirement())
    assert choice.chosen is not None
    assert len(choice.chosen.geometry.frames) == 28
    assert choice.chosen.geometry.increment_mm == pytest.approx(5.0)
    assert choice.chosen.thickness_mm == 5.0
    assert choice.runner_up is None
    codes = sorted(refusal.code for refusal in choice.refused.values())
    assert codes == ["series.localizer", "series.secondary_capture"]


def test_the_head_study_can_be_inspected(ct: Path):
    """The report names three series and the chosen one's quality."""
    found = found_in(ct / "head-phantom-study")
    report = inspect(found.instances, found.objects, {"liver": Requirement()})
    assert [series["usable"] for series in report["series"]].count(True) == 1
    assert report["chosen"]["key"] in [s["key"] for s in report["series"] if s["usable"]]
    assert report["quality"]["refused"] is None


def chest(ct: Path, name: str) -> Series:
    """Make a series of three slices out of one file, since one slice is no volume."""
    (file,) = (ct / "chest-transfer-syntaxes").glob(f"{name}_1.2.*.dcm")
    one = read_header(file, object_key=str(file))
    copies = []
    for number in range(3):
        frame = dataclasses.replace(
            one.frames[0],
            sop_instance_uid=f"1.2.{number}",
            image_position_patient=(-161.4, -148.8, 5.0 * number),
        )
        copies.append(
            dataclasses.replace(one, sop_instance_uid=frame.sop_instance_uid, frames=(frame,))
        )
    (series,) = group_series(copies)
    return series


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_transfer_syntaxes_are_bit_identical(ct: Path, name: str):
    """One real chest slice: nine codings, one result, with padding of −2000 turned to air."""
    (file,) = (ct / "chest-transfer-syntaxes").glob("LittleEndianExplicit_*.dcm")
    stored = dcmread(file).pixel_array.astype(int)
    volume = volume_of(chest(ct, name), ct / "chest-transfer-syntaxes")
    assert (volume == np.clip(stored - 1024, -1024, 3071)).all()
    assert volume[1, 0, 0] == -1024


@pytest.mark.parametrize("name", REFUSED)
def test_lossy_and_undecodable_transfer_syntaxes_are_refused(ct: Path, name: str):
    """Each with its own error, before any pixel is read."""
    refusal = chest(ct, name).refusal
    assert type(refusal) is REFUSED[name]


def test_all_fifteen_files_are_looked_at(ct: Path):
    """Nine are decoded and six refused."""
    files = list((ct / "chest-transfer-syntaxes").glob("*.dcm"))
    assert len(files) == len(LOSSLESS) + len(REFUSED)


_ORGANS = {"liver": 5, "spleen": 1, "aorta": 52}
"""TotalSegmentator's class numbers."""
