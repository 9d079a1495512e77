"""Phantom studies are valid CT DICOM, say what is true of them, and can be spoilt on purpose."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    JPEG2000Lossless,
    JPEGLSLossless,
    LegacyConvertedEnhancedCTImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from gateway.screening.clinical import read_clinical
from networks.phantoms.study import CHART, make_study

QUICK: dict[str, Any] = {
    "seed": 7,
    "matrix": 64,
    "slices": 8,
    "increment_mm": 20.0,
    "thickness_mm": 5.0,
    "anatomy_spacing_mm": 5.0,
    "profile": "ge_revolution",
    "series": ("thin",),
    "confounders": False,
}


def _read(folder: Path, series: str = "*") -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.glob(f"{series}/*.dcm"))]


def _hu(instances: list[pydicom.Dataset]) -> np.ndarray:
    """Return (S, R, C) HU in writing order, single-frame or multi-frame."""
    first = instances[0]
    if "NumberOfFrames" in first:
        shared = first.SharedFunctionalGroupsSequence[0].PixelValueTransformationSequence[0]
        return first.pixel_array * float(shared.RescaleSlope) + float(shared.RescaleIntercept)
    return np.stack(
        [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in instances]
    )


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("plain")
    truth = make_study(out, **QUICK | {"series": ("scout", "thick", "thin", "sharp", "dose")})
    return out, truth


def test_truth_is_written_beside_the_series(plain: tuple[Path, dict[str, Any]]) -> None:
    """truth.json holds what make_study returned."""
    out, truth = plain
    assert json.loads((out / "truth.json").read_text()) == truth
    assert truth["seed"] == 7
    assert truth["findings"] == []
    assert truth["steatosis"]["grade"] == "S0"
    assert truth["coverage"]["spleen"] == {"coverage": "complete", "truncated_sides": []}


def test_every_instance_says_that_it_is_a_phantom(plain: tuple[Path, dict[str, Any]]) -> None:
    """Nobody can take it for a patient."""
    for ds in _read(plain[0]):
        assert str(ds.PatientName) == "Phantom^Seed7"
        assert "SYNTHETIC PHANTOM" in ds.StudyDescription
        assert "SYNTHETIC PHANTOM" in ds.ImageComments


def test_series_are_of_their_kinds(plain: tuple[Path, dict[str, Any]]) -> None:
    """Localizer, thick, thin and sharp series are CT; the dose screen is a Secondary Capture."""
    out, truth = plain
    kinds = [series["kind"] for series in truth["series"]]
    assert kinds == ["scout", "thick", "thin", "sharp", "dose"]
    assert _read(out, "1_scout")[0].ImageType[2] == "LOCALIZER"
    assert float(_read(out, "2_thick")[0].SliceThickness) == 5
    assert _read(out, "3_thin")[0].SOPClassUID == CTImageStorage
    assert _read(out, "3_thin")[0].ConvolutionKernel == "SOFT"
    assert _read(out, "4_sharp")[0].ConvolutionKernel == "LUNG"
    screen = _read(out, "5_dose")[0]
    assert (screen.Modality, screen.SOPClassUID) == ("CT", SecondaryCaptureImageStorage)


def test_uids_are_uuid_based_unique_and_from_the_seed(
    plain: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Two runs of a seed agree byte for byte; another seed shares no UID."""
    seen = [ds.SOPInstanceUID for ds in _read(plain[0])]
    assert len(set(seen)) == len(seen)
    assert all(re.fullmatch(r"2\.25\.\d{1,39}", uid) for uid in seen)
    for name in ("a", "b"):
        make_study(tmp_path / name, **QUICK)
    make_study(tmp_path / "c", **QUICK | {"seed": 8})
    first, second = (sorted((tmp_path / name).glob("*/*.dcm")) for name in ("a", "b"))
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    uids = {ds.SOPInstanceUID for ds in _read(tmp_path / "a")}
    assert not uids & {ds.SOPInstanceUID for ds in _read(tmp_path / "c")}


@pytest.mark.parametrize(
    ("kind", "sop_class"),
    [(True, EnhancedCTImageStorage), ("legacy", LegacyConvertedEnhancedCTImageStorage)],
)
def test_multiframe_holds_the_same_volume(tmp_path: Path, kind: bool | str, sop_class: str) -> None:
    """Enhanced and Legacy Converted CT decode to the HU of the single-frame series."""
    make_study(tmp_path / "single", **QUICK)
    make_study(tmp_path / "multi", **QUICK, enhanced=kind)
    single, multi = _read(tmp_path / "single"), _read(tmp_path / "multi")
    assert multi[0].SOPClassUID == sop_class
    assert len(multi) == 1
    assert np.array_equal(_hu(single), _hu(multi))
    places = [
        frame.PlanePositionSequence[0].ImagePositionPatient
        for frame in multi[0].PerFrameFunctionalGroupsSequence
    ]
    assert places == [ds.ImagePositionPatient for ds in single]


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless])
@pytest.mark.parametrize("profile", ["ge_revolution", "siemens_force"])
def test_compression_keeps_every_value(tmp_path: Path, syntax: str, profile: str) -> None:
    """Signed and unsigned, 12 and 16 bits come back as they were."""
    quick = QUICK | {"profile": profile, "slices": 2}
    make_study(tmp_path / "raw", **quick)
    make_study(tmp_path / "packed", **quick, transfer_syntax_uid=syntax)
    packed = _read(tmp_path / "packed")
    assert packed[0].file_meta.TransferSyntaxUID == syntax
    assert np.array_equal(_hu(_read(tmp_path / "raw")), _hu(packed))


@pytest.mark.parametrize("position", ["HFS", "HFP", "FFS", "FFP"])
@pytest.mark.parametrize("tilt", [0.0, 12.0])
def test_geometry_leads_back_to_the_volume(tmp_path: Path, position: str, tilt: float) -> None:
    """Position, orientation and spacing of each stored pixel give the affine in truth.json."""
    truth = make_study(tmp_path, **QUICK, position=position, tilt_degrees=tilt)
    affine = np.array(truth["affine"])
    instances = _read(tmp_path)
    volume_corners = {
        tuple(np.round(affine[:3] @ [s, r, c, 1], 2))
        for s in range(8)
        for r in (0, 63)
        for c in (0, 63)
    }
    for ds in instances:
        along_row, along_column = np.array(ds.ImageOrientationPatient, dtype=float).reshape(2, 3)
        between_rows, between_columns = (float(v) for v in ds.PixelSpacing)
        origin = np.array(ds.ImagePositionPatient, dtype=float)
        for r in (0, 63):
            for c in (0, 63):
                corner = origin + c * between_columns * along_row + r * between_rows * along_column
                assert tuple(np.round(corner, 2)) in volume_corners
    normal = np.cross(*np.array(instances[0].ImageOrientationPatient, dtype=float).reshape(2, 3))
    step = np.subtract(instances[1].ImagePositionPatient, instances[0].ImagePositionPatient)
    shear = np.degrees(np.arccos(abs(normal @ step) / np.linalg.norm(step)))
    assert shear == pytest.approx(tilt, abs=0.01)


def test_padding_is_stored_where_nothing_was_reconstructed(tmp_path: Path) -> None:
    """Canon declares -1500 and stores -2000, as real files do."""
    make_study(tmp_path, **QUICK | {"profile": "canon_aquilion_one"}, fov_mm=300)
    ds = _read(tmp_path)[0]
    assert ds.PixelPaddingValue == -1500
    assert ds.pixel_array[0, 0] == -2000


def test_dropped_and_duplicated_slices(tmp_path: Path) -> None:
    """A gap leaves one slice out, a duplicate has the same place and another UID."""
    make_study(tmp_path, **QUICK, drop_slices=(3,), duplicate_slices=(5,))
    instances = _read(tmp_path)
    z = [float(ds.ImagePositionPatient[2]) for ds in instances]
    assert len(z) == 8
    assert len(set(z)) == 7
    assert z[-1] == z[4]
    assert instances[-1].SOPInstanceUID != instances[4].SOPInstanceUID
    assert np.diff(sorted(set(z))).max() == pytest.approx(40)


def test_faults_of_the_header(tmp_path: Path) -> None:
    """Zero slope, a child's age, one slice of another orientation."""
    make_study(tmp_path, **QUICK, rescale_slope=0, patient_age="009Y", mixed_orientation=True)
    instances = _read(tmp_path)
    assert {float(ds.RescaleSlope) for ds in instances} == {0.0}
    assert {ds.PatientAge for ds in instances} == {"009Y"}
    assert len({tuple(ds.ImageOrientationPatient) for ds in instances}) == 2
    years = int(instances[0].StudyDate[:4]) - int(instances[0].PatientBirthDate[:4])
    assert years in (9, 10)


def test_a_contrast_phase_names_its_agent(tmp_path: Path) -> None:
    """A native study has no agent, a venous one has, unless it is left out."""
    make_study(tmp_path / "native", **QUICK)
    make_study(tmp_path / "venous", **QUICK, phase="venous")
    make_study(tmp_path / "silent", **QUICK, phase="venous", contrast_agent="")
    assert "ContrastBolusAgent" not in _read(tmp_path / "native")[0]
    assert "Iohexol" in _read(tmp_path / "venous")[0].ContrastBolusAgent
    assert "ContrastBolusAgent" not in _read(tmp_path / "silent")[0]


@pytest.mark.parametrize(
    ("finding", "grade"),
    [("fatty_liver_mild", "S1"), ("fatty_liver_moderate", "S2"), ("fatty_liver_severe", "S3")],
)
def test_a_fatty_liver_is_planted(tmp_path: Path, finding: str, grade: str) -> None:
    """The truth names the finding and its grade."""
    truth = make_study(tmp_path, **QUICK, findings=[finding])
    assert truth["findings"] == [finding]
    assert truth["steatosis"]["grade"] == grade


def test_a_short_scan_truncates_the_liver(tmp_path: Path) -> None:
    """Coverage is judged on what was scanned."""
    truth = make_study(tmp_path, **QUICK | {"slices": 2})
    assert truth["coverage"]["liver"]["coverage"] == "truncated"
    assert truth["coverage"]["liver"]["truncated_sides"] == ["inferior", "superior"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"series": ("cine",)}, "scout, thick, thin"),
        ({"position": "HFX"}, "HFS, HFP"),
        ({"profile": "acme"}, "ge_revolution"),
        ({"slices": 5000}, "slices must lie between 1 and"),
        ({"enhanced": "both"}, "enhanced"),
        ({"findings": ["tumour"]}, "fatty_liver_severe"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, wrong: dict[str, Any], message: str) -> None:
    """The message says what there is."""
    with pytest.raises(ValueError, match=message):
        make_study(tmp_path, **QUICK | wrong)


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is missing")
@pytest.mark.parametrize("kind", [False, True, "legacy"])
def test_dciodvfy_finds_no_error(tmp_path: Path, kind: bool | str) -> None:
    """Each object obeys its IOD; the venous one carries the contrast module too."""
    make_study(tmp_path, **QUICK | {"series": ("scout", "thin", "dose")}, enhanced=kind,
               phase="venous")  # fmt: skip
    for path in sorted(tmp_path.glob("*/0001.dcm")):
        done = subprocess.run(
            ["dciodvfy", "-new", str(path)], capture_output=True, text=True, check=False
        )
        assert "Error" not in done.stdout + done.stderr


def test_an_ill_liver_has_a_chart(plain: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    """clinical.json is what `onescan screen --clinical` reads; a healthy patient has none."""
    assert not (plain[0] / CHART).exists()
    truth = make_study(tmp_path, **QUICK | {"findings": ("fibrosis_f4", "steatosis_s3")})
    kept = read_clinical(json.loads((tmp_path / CHART).read_text("utf-8")))
    assert kept["age_years"] == truth["parameters"]["age_years"]
    assert truth["findings"] == ["steatosis_s3", "fibrosis_f4"]
    assert truth["steatosis"]["grade"] == "S3"
    assert truth["parameters"]["fibrosis_stage"] == 4
    assert {lesion["kind"] for lesion in truth["lesions"]} == {"fibrosis_f4"}
