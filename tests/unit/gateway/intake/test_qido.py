"""Search parameters, and attributes as DICOM JSON."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.intake.dicom_json import dicom_json, element
from gateway.intake.qido import keyword_of, read_search, results
from gateway.intake.rendered import Rendering, frame_numbers, read_rendering
from gateway.store.matching import Level
from gateway.store.query import Match


def test_parameters_become_keys() -> None:
    """Lists of UIDs and codes get DICOM's backslash; commas of text stay."""
    search = read_search(
        [
            ("0020000D", "1.2,1.3"),
            ("ModalitiesInStudy", "CT,MR"),
            ("StudyDescription", "chest, abdomen"),
            ("limit", "10"),
            ("offset", "20"),
            ("includefield", "00081030,PatientAge"),
            ("includefield", "all"),
        ]
    )
    assert search.keys == {
        "StudyInstanceUID": "1.2\\1.3",
        "ModalitiesInStudy": "CT\\MR",
        "StudyDescription": "chest, abdomen",
    }
    assert (search.limit, search.offset, search.every_field) == (10, 20, True)
    assert search.fields == {*search.keys, "PatientAge"}


def test_a_key_of_the_path_is_not_given_again() -> None:
    with pytest.raises(InvalidQueryError):
        read_search([("StudyInstanceUID", "1.2")], above={"StudyInstanceUID": "1.3"})


@pytest.mark.parametrize("name", ["", "Patient Name", "FFFFFFFF", "0010", "A.B", "99990001x"])
def test_a_name_that_is_no_attribute_is_refused(name: str) -> None:
    with pytest.raises(UnknownQueryKeyError):
        keyword_of(name)


def test_values_have_the_dictionarys_vr() -> None:
    """What a DICOM library reads back is what was written."""
    told = dicom_json(
        {
            "PatientName": "Yamada^Tarou=山田^太郎=やまだ^たろう",
            "ModalitiesInStudy": ["CT", "MR"],
            "PatientWeight": 70.5,
            "NumberOfFrames": 3,
            "Rows": 512,
            "ImageType": ["ORIGINAL", "", "AXIAL"],
        },
        ("PatientName", "ModalitiesInStudy", "PatientWeight", "NumberOfFrames", "Rows",
         "ImageType", "PatientID"),
    )  # fmt: skip
    assert told["00100020"] == {"vr": "LO"}
    assert told["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]
    assert list(told) == sorted(told)
    ds = Dataset.from_json(told)
    assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎=やまだ^たろう"
    assert (ds.PatientWeight, ds.NumberOfFrames, ds.Rows) == (70.5, 3, 512)
    assert list(ds.ModalitiesInStudy) == ["CT", "MR"]


def test_an_ambiguous_vr_goes_by_the_value() -> None:
    assert element("PixelPaddingValue", -2000)["vr"] == "SS"
    assert element("PixelPaddingValue", 63536)["vr"] == "US"
    assert element("PatientID", "") == {"vr": "LO"}
    assert element("PatientName", "=山田") == {"vr": "PN", "Value": [{"Ideographic": "山田"}]}


def test_the_path_decides_which_levels_are_told() -> None:
    match = Match(
        study_instance_uid="1.2",
        series_instance_uid="1.3",
        sop_instance_uid="1.4",
        attributes={"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3", "SOPInstanceUID": "1.4"},
    )
    url = "https://h/dicomweb"
    search = read_search([])
    [everywhere] = results([match], Level.IMAGE, search, service_url=url, above={})
    [below] = results(
        [match], Level.IMAGE, search, service_url=url,
        above={"StudyInstanceUID": "1.2", "SeriesInstanceUID": "1.3"},
    )  # fmt: skip
    assert {"00100020", "00080060"} <= everywhere.keys()
    assert not {"00100020", "00080060"} & below.keys()
    assert below["00081190"]["Value"] == [f"{url}/studies/1.2/series/1.3/instances/1.4"]
    assert below["0020000D"]["Value"] == ["1.2"]


def test_renderings_are_read() -> None:
    asked = read_rendering(
        [("window", "40,400,linear-exact"), ("viewport", "10,20,1,2,3,4"), ("quality", "50")]
    )
    assert asked == Rendering(
        window=(40.0, 400.0, "LINEAR_EXACT"), viewport=(10, 20), part=(1, 2, 3, 4), quality=50
    )


def test_frames_are_counted_from_one() -> None:
    assert frame_numbers("3,1", 3) == [3, 1]
    for text in ("0", "4"):
        with pytest.raises(IndexError):
            frame_numbers(text, 3)
    for text in ("", "1,1,1,1", "-1", "١"):
        with pytest.raises(InvalidQueryError):
            frame_numbers(text, 3)
