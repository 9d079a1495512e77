"""SR, SEG and Secondary Capture of one screening: valid, in their place, the same every time."""

from __future__ import annotations

import dataclasses
import io
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr._concepts_dict import concepts

from gateway.intake.header import read_header
from gateway.own_results import is_own_result
from gateway.results import dicom_codes
from gateway.results.dicom_file import Made
from gateway.results.dicom_sc import secondary_captures
from gateway.results.dicom_seg import segmentations
from gateway.results.dicom_source import Screened
from gateway.results.dicom_sr import signed_sr, summary_of, unsigned_sr
from gateway.results.making import Signature
from tests.result_case import COSINES, check_result, lesion, placed_slices, screened, turned

SIGNATURE = Signature(
    review_id="b0a1",
    name="Li^Na",
    organization="Hospital",
    at=datetime(2026, 11, 22, 8, 30, tzinfo=UTC),
    comment="Seen.",
    decisions={"nodule": "rejected"},
)
ORIENTATIONS = {**COSINES, "oblique": turned(17.0), "steep": turned(40.0)}


def read(made: Made) -> pydicom.Dataset:
    return pydicom.dcmread(io.BytesIO(made.data))


def all_forms(case: Screened) -> list[Made]:
    signed = signed_sr(case, SIGNATURE)
    return [unsigned_sr(case), signed, *segmentations(case), *secondary_captures(case)]


def texts(ds: Any) -> list[str]:
    """Every text value of a report's tree."""
    found = [str(ds.TextValue)] if "TextValue" in ds else []
    return found + [text for item in ds.get("ContentSequence", ()) for text in texts(item)]


def named(ds: Any, meaning: str) -> list[Any]:
    """Content items of a name, at any depth."""
    name = ds.get("ConceptNameCodeSequence")
    found = [ds] if name and name[0].CodeMeaning == meaning else []
    return found + [one for item in ds.get("ContentSequence", ()) for one in named(item, meaning)]


def test_every_code_of_a_dictionary_is_in_it():
    """No code from memory."""
    known = {
        (scheme, value)
        for scheme, words in concepts.items()
        for values in words.values()
        for value in values
    }
    missing = [
        code
        for code in dicom_codes.all_codes()
        if (code.scheme, code.value) not in known and code.scheme != "RFC5646"
    ]
    assert not missing


@pytest.mark.parametrize("charset", ["ISO_IR 100", "GB18030"])
def test_dciodvfy_finds_no_error(
    need_tool: Callable[[str], str], tmp_path: Path, charset: str
) -> None:
    """In any of the forms."""
    tool = need_tool("dciodvfy")
    made = placed_slices(SpecificCharacterSet=charset, StudyID="1")
    forms = all_forms(screened(made)[0])
    assert [one.kind for one in forms] == ["sr", "sr", "seg", "sc", "sc"]
    for number, one in enumerate(forms):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(one.data)
        said = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False)
        errors = [line for line in said.stderr.splitlines() if line.startswith("Error")]
        assert said.returncode == 0, (one.kind, errors)
        assert not errors


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_lesions_lie_where_the_source_says(orientation: str) -> None:
    """Centroids of SEG and SR are those of the source's affine."""
    case, centroids = screened(placed_slices(ORIENTATIONS[orientation]))
    [seg] = segmentations(case)
    ds = read(seg)
    for number, truth in enumerate(centroids, 1):
        assert centroid(ds, number) == pytest.approx(truth, abs=1e-3)
    report = read(unsigned_sr(case))
    points = [item.GraphicData for item in named(report, "Volume Surface")]
    assert points == [pytest.approx(truth, abs=1e-3) for truth in centroids]
    assert ds.FrameOfReferenceUID == case.series[0].frame_of_reference_uid


def test_a_mask_of_another_grid_is_put_on_that_of_the_images() -> None:
    """To half a voxel of the coarser one."""
    made = placed_slices(ORIENTATIONS["oblique"], count=16)
    case, centroids = screened(made, step=(0.5, 2.0, 1.5))
    ds = read(segmentations(case)[0])
    for number, truth in enumerate(centroids, 1):
        assert np.linalg.norm(centroid(ds, number) - truth) < 1.0
    source = read_header(segmentations(case)[0].data, object_key="x")
    assert (ds.Rows, ds.Columns) == (32, 32)
    assert len(source.frames) == ds.NumberOfFrames


def test_frames_that_are_no_whole_bytes_are_packed_without_a_gap() -> None:
    """15 × 31 pixels."""
    case, centroids = screened(placed_slices(COSINES["coronal negated"], size=31, rows=15))
    ds = read(segmentations(case)[0])
    assert ds.Rows * ds.Columns % 8
    for number, truth in enumerate(centroids, 1):
        assert centroid(ds, number) == pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("orientation", ["axial", "both negated", "coronal"])
def test_a_lesion_that_names_no_image_is_shown_on_the_nearest(orientation: str) -> None:
    """As a reader adds it: the report and the summary's picture name the same slice."""
    case, centroids = screened(placed_slices(COSINES[orientation]))
    source = case.series[0]
    whole = lesion(1, centroids[1].tolist(), source)
    added = {**whole, "sop_instance_uid": None, "frame_number": None}
    result = {**case.result, "checks": [check_result(lesions=[added])]}
    case = dataclasses.replace(
        case, result=result, read_values=lambda frame: np.zeros((32, 32), np.float32)
    )
    [image] = named(read(unsigned_sr(case)), "Source Image for Segmentation")
    told = image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID
    assert told == whole["sop_instance_uid"]
    _, slice_ = secondary_captures(case)
    assert read(slice_).SourceImageSequence[0].ReferencedSOPInstanceUID == told


def test_a_lesion_between_two_slices_is_not_lost() -> None:
    """Its centre's pixel stands for it."""
    case, _ = screened()
    empty = dataclasses.replace(
        case.label_maps[0].mask, array=np.zeros_like(case.label_maps[0].mask.array)
    )
    maps = [dataclasses.replace(case.label_maps[0], mask=empty)]
    ds = read(segmentations(dataclasses.replace(case, label_maps=maps))[0])
    assert ds.NumberOfFrames == 2
    for number, found in enumerate(case.result["checks"][0]["lesions"], 1):
        assert np.linalg.norm(centroid(ds, number) - found["centre_mm"]) < 1.6


def centroid(ds: pydicom.Dataset, segment: int) -> Any:
    """Give the mean place of a segment's pixels, from the file alone."""
    row, column = np.split(
        np.array(
            ds.SharedFunctionalGroupsSequence[0]
            .PlaneOrientationSequence[0]
            .ImageOrientationPatient,
            float,
        ),
        2,
    )
    spacing = ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    places = []
    for frame, groups in zip(ds.pixel_array, ds.PerFrameFunctionalGroupsSequence, strict=True):
        assert frame.any()
        if groups.SegmentIdentificationSequence[0].ReferencedSegmentNumber != segment:
            continue
        first = np.array(groups.PlanePositionSequence[0].ImagePositionPatient, float)
        r, c = np.nonzero(frame)
        places.append(
            first + np.outer(r, column * float(spacing[0])) + np.outer(c, row * float(spacing[1]))
        )
    return np.concatenate(places).mean(axis=0)


def test_another_reader_takes_the_segmentation(tmp_path: Path) -> None:
    """highdicom: segments, tracking, source images."""
    case, _ = screened()
    [made] = segmentations(case)
    (tmp_path / "seg.dcm").write_bytes(made.data)
    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    segments = [seg.get_segment_description(number) for number in seg.segment_numbers]
    assert [one.segment_label for one in segments] == [
        "nodule 1",
        "nodule 2",
        "liver",
        "lung right",
    ]
    assert segments[0].tracking_id == "nodule 1"
    assert segments[3].segmented_property_type.meaning == "Lung"
    uids = {str(uid) for _, _, uid in seg.get_source_image_uids()}
    assert uids <= set(case.series[0].sop_classes)


def test_a_segmentation_is_hardly_larger_than_its_bits() -> None:
    """At most 1.2 times the packed frames that are not empty, at a scanner's matrix."""
    case, _ = screened(placed_slices(size=512, count=6))
    [made] = segmentations(case)
    ds = read(made)
    assert len(made.data) <= 1.2 * ds.NumberOfFrames * 512 * 512 / 8


def test_the_same_screening_gives_the_same_bytes() -> None:
    """Whenever it is made."""
    case, _ = screened()
    first = all_forms(case)
    time.sleep(1.1)  # the seconds of a clock would differ
    again = all_forms(case)
    assert [one.data for one in first] == [one.data for one in again]
    assert len({one.sop_instance_uid for one in first}) == len(first)


def test_no_uid_is_met_in_another_tenant_version_or_screening() -> None:
    """Nor by another kind."""
    made = placed_slices()
    other = "0c3dd3a8-98b5-4b64-9b63-ab5d3e9f4a10"
    cases = [
        screened(made)[0],
        screened(made, tenant="other")[0],
        screened(made, version=2)[0],
        screened(made, screening_id=other)[0],
    ]
    forms = [one for case in cases for one in all_forms(case)]
    uids = [one.sop_instance_uid for one in forms]
    assert len(set(uids)) == len(uids)
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)
    kinds = {(one.kind, one.series_instance_uid) for one in forms}
    assert len(kinds) == 3 * len(cases)


@pytest.mark.parametrize(
    ("thresholds", "unit"), [({"unit": "%", "score": "pdff_percent"}, "%"), (None, "1")]
)
def test_a_score_has_the_unit_of_its_thresholds(thresholds: Any, unit: str) -> None:
    """A fat fraction is no probability."""
    checks = [check_result("liver", score=20.3, thresholds=thresholds)]
    report = read(unsigned_sr(screened(checks=checks)[0]))
    [score] = named(report, "Score")
    [measured] = score.MeasuredValueSequence
    assert measured.NumericValue == 20.3
    assert measured.MeasurementUnitsCodeSequence[0].CodeValue == unit


def test_the_report_says_what_the_result_says() -> None:
    """States, reasons, measures with units, categories, tracking, algorithms, words."""
    case, _ = screened(placed_slices(SpecificCharacterSet="ISO_IR 192"))
    ds = read(unsigned_sr(case))
    assert (ds.VerificationFlag, ds.PreliminaryFlag) == ("UNVERIFIED", "PRELIMINARY")
    assert "PredecessorDocumentsSequence" not in ds
    assert [one.ConceptCodeSequence[0].CodeValue for one in named(ds, "Nodule")] == ["10828004"]
    [liver] = named(ds, "Liver")
    assert liver.ConceptCodeSequence[0].CodeValue == "NOT_EVALUATED"
    [reason] = named(ds, "Reason")
    assert reason.ConceptCodeSequence[0].CodeMeaning == "Organ not in scan"
    diameters = {
        (str(v.NumericValue), v.MeasurementUnitsCodeSequence[0].CodeValue)
        for item in named(ds, "Diameter")
        for v in item.MeasuredValueSequence
    }
    assert diameters == {("8.375", "mm")}
    assert len(named(ds, "Tracking Unique Identifier")) == 5
    assert {one.TextValue for one in named(ds, "Algorithm Version")} >= {"0.1.0"}
    [summary] = named(ds, "CAD Processing and Findings Summary")
    assert summary.ConceptCodeSequence[0].CodeValue == "111244"
    said = texts(ds)
    assert case.result["disclaimer"] in said
    assert "nodule: A nodule is suspected. / 疑似结节。" in said


def test_a_signed_report_is_another_instance_that_names_the_first() -> None:
    """VERIFIED, by whom and when; what the reader said stands beside the findings."""
    case, _ = screened()
    first, signed = unsigned_sr(case), signed_sr(case, SIGNATURE)
    ds = read(signed)
    assert signed.series_instance_uid == first.series_instance_uid
    [document] = ds.PredecessorDocumentsSequence
    [series] = document.ReferencedSeriesSequence
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == first.sop_instance_uid
    assert (ds.VerificationFlag, ds.PreliminaryFlag) == ("VERIFIED", "FINAL")
    [observer] = ds.VerifyingObserverSequence
    assert observer.VerifyingObserverName == "Li^Na"
    assert observer.VerificationDateTime == "20261122083000"
    said = [one.ConceptCodeSequence[0].CodeValue for one in named(ds, "Decision of the reader")]
    assert said == ["REJECTED"]
    assert "Seen." in texts(ds)


@pytest.mark.parametrize(
    ("states", "code"),
    [
        (["positive", "negative"], "111242"),
        (["negative"], "111241"),
        (["negative", "failed"], "111243"),
        (["indeterminate", "not_evaluated"], "111244"),
        (["failed", "not_evaluated"], "111245"),
    ],
)
def test_the_summary_follows_the_states(states: list[str], code: str) -> None:
    """An organ out of view is no negative."""
    assert summary_of(states).value == code


NAMES = {
    "latin": ("ISO_IR 100", "Müller^Jürgen".encode("latin-1")),
    "chinese": ("GB18030", "Wang^XiaoDong=王^小东".encode("gb18030")),
    "utf-8": ("ISO_IR 192", "Wang^XiaoDong=王^小东".encode()),
    "html": ("ISO_IR 192", b"<script>alert(1)</script>^&amp;"),
    "right to left": ("ISO_IR 192", "\u202eevil\u202c^اسم".encode()),
    "long": ("ISO_IR 192", b"A" * 65_000),
    "longer in utf-8": ("ISO_IR 100", b"\xe9" * 40_000),
    "korean with escapes": (
        "\\ISO 2022 IR 149",
        b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
    ),
    "not what it says": ("ISO_IR 192", b"M\xfcller^J\xfcrgen"),
    "no character set": ("", b"M\xfcller^J\xfcrgen"),
}


@pytest.mark.parametrize("kind", NAMES)
def test_a_name_is_kept_to_the_letter(kind: str) -> None:
    """As text where it is text, as bytes where it is not."""
    charset, raw = NAMES[kind]
    made = placed_slices(count=4)
    for ds in made:
        ds.SpecificCharacterSet = charset.split("\\") if charset else None
        ds.PatientName = "x"
    case, _ = screened(made)
    header = case.series[0].header
    padded = raw + b" " * (len(raw) % 2)
    header[0x00100010] = pydicom.dataelem.RawDataElement(
        pydicom.tag.Tag(0x00100010), "PN", len(padded), padded, 0, False, True
    )
    for one in all_forms(case):
        ds = read(one)
        kept = bytes(ds.get_item(0x00100010).value).rstrip(b" ")
        [*declared] = (ds.get("SpecificCharacterSet") and [str(ds.SpecificCharacterSet)]) or []
        if kind in ("not what it says", "no character set"):
            assert kept == raw
            if not charset and one.kind == "sr":
                assert all(text.isascii() for text in texts(ds))
        elif kind == "korean with escapes":
            assert kept.decode() == "Hong^Gildong=洪^吉洞"
        else:
            source = {"ISO_IR 100": "latin-1", "GB18030": "gb18030"}.get(charset, "utf-8")
            target = "gb18030" if declared == ["GB18030"] else "utf-8"
            assert kept.decode(target) == raw.decode(source)


def test_the_objects_are_known_as_our_own() -> None:
    """So that what comes back is never screened."""
    for one in all_forms(screened()[0]):
        assert is_own_result(read_header(one.data, object_key="x"))


def test_a_summary_says_that_it_is_burnt_in_and_not_for_clinical_use() -> None:
    """One page and a slice for each check that asks for action."""
    case, _ = screened()
    page, flag = (read(one) for one in secondary_captures(case))
    for ds in (page, flag):
        assert ds.BurnedInAnnotation == "YES"
        assert "NOT FOR CLINICAL USE" in ds.ImageComments
        assert np.count_nonzero(ds.pixel_array) > 500
    lesions = case.result["checks"][0]["lesions"]
    assert flag.SourceImageSequence[0].ReferencedSOPInstanceUID == lesions[0]["sop_instance_uid"]
    assert flag.pixel_array.max() == 255


def test_a_screening_without_findings_has_a_report_and_a_page() -> None:
    """And no empty Segmentation."""
    quiet = [check_result(state="negative", lesions=[], codes={})]
    case = dataclasses.replace(screened(checks=quiet)[0], label_maps=[])
    assert segmentations(case) == []
    assert len(secondary_captures(case)) == 1
    assert read(unsigned_sr(case)).CompletionFlag == "COMPLETE"
