"""Searches as clients meet them, and Orthanc pulling what it found."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dicomweb_client import DICOMwebClient
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import RLELossless

from gateway.settings import ApiSettings
from tests.ct_files import ct_dataset, part10, slices
from tests.databases import fresh_database
from tests.dicomweb_server import DicomWeb, serving_dicomweb
from tests.orthanc import running_orthanc

pytestmark = pytest.mark.postgres

MOST = 5
"""Results of one search here."""

WARNING = "There are additional results that can be requested."


NAMES = {"PatientName": "Yamada^Tarou=山田^太郎", "SpecificCharacterSet": "ISO_IR 192"}


def _sent() -> list[bytes]:
    """Make study 7: three slices, one of them compressed, and one of another series."""
    axial = slices(3, seed=7, AccessionNumber="A7", **NAMES)
    axial[2].compress(RLELossless, generate_instance_uid=False)
    other = ct_dataset(5, seed=7, SeriesInstanceUID="1.2.3.7.22", Modality="MR", **NAMES)
    return [part10(ds) for ds in (*axial, other)]


SENT = _sent()


@pytest.fixture(scope="module")
def service(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomWeb]:
    """One service for all tests of this file; seven studies, one of two series."""
    api = replace(ApiSettings(), max_search_results=MOST, public_url="https://ct.example.org/a/")
    with (
        fresh_database(postgres_url) as url,
        serving_dicomweb(url, tmp_path_factory.mktemp("objects"), api) as made,
    ):
        for seed in range(1, 7):
            made.store([part10(ct_dataset(seed=seed, StudyDate=f"202601{seed:02}"))])
        made.store(SENT)
        made.store([part10(ct_dataset(seed=8))], tenant="other")
        yield made


def told(service: DicomWeb, path: str) -> list[dict[str, Any]]:
    response = service.get(path)
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/dicom+json"
    found: list[dict[str, Any]] = response.json()
    return found


def test_a_client_searches_studies(service: DicomWeb) -> None:
    """What it gets is what it reads back as a dataset."""
    client = DICOMwebClient(service.url)
    [found] = client.search_for_studies(
        search_filters={"PatientName": "yamada*", "StudyDate": "20260101-20260131"}
    )
    ds = Dataset.from_json(found)
    assert str(ds.PatientName) == "Yamada^Tarou=山田^太郎"
    assert ds.StudyInstanceUID == "1.2.3.7.1"
    assert list(ds.ModalitiesInStudy) == ["CT", "MR"]
    assert (ds.NumberOfStudyRelatedSeries, ds.NumberOfStudyRelatedInstances) == (2, 4)
    assert ds.RetrieveURL == "https://ct.example.org/a/dicomweb/studies/1.2.3.7.1"
    assert ds.InstanceAvailability == "ONLINE"
    assert ds.StudyTime == "101500"


def test_a_client_searches_series_and_instances(service: DicomWeb) -> None:
    client = DICOMwebClient(service.url)
    [series] = client.search_for_series("1.2.3.7.1", search_filters={"Modality": "MR"})
    assert series["00201209"] == {"vr": "IS", "Value": [1]}
    assert series["00200011"] == {"vr": "IS", "Value": [2]}
    instances = client.search_for_instances("1.2.3.7.1", "1.2.3.7.2")
    assert [item["00200013"]["Value"] for item in instances] == [[1], [2], [3]]
    assert instances[0]["00080018"]["Value"] == ["1.2.3.7.3.1"]
    assert instances[0]["00280010"] == {"vr": "US", "Value": [16]}
    assert "00100010" not in instances[0]
    everywhere = client.search_for_instances(search_filters={"AccessionNumber": "A7"})
    assert len(everywhere) == 4
    assert {item["00080050"]["Value"][0] for item in everywhere} == {"A7"}


def test_nothing_found_is_204(service: DicomWeb) -> None:
    response = service.get("/studies?PatientID=nobody")
    assert (response.status_code, response.content) == (204, b"")
    assert service.get("/studies/1.2.3.8.1/series").status_code == 204


def test_a_tenant_searches_its_own(service: DicomWeb) -> None:
    for path in ("/studies", "/series", "/instances"):
        found = service.get(path, X_Tenant="other").json()
        assert [item["0020000D"]["Value"] for item in found] == [["1.2.3.8.1"]]


def test_a_search_that_is_cut_says_so_and_pages_are_whole(service: DicomWeb) -> None:
    """Newest first; a limit that was asked for and met is no cut."""
    response = service.get("/studies")
    assert len(response.json()) == MOST
    assert response.headers["Warning"] == f'299 https://ct.example.org/a/dicomweb "{WARNING}"'
    assert "Warning" in service.get("/studies?limit=100").headers
    assert "Warning" not in service.get("/studies?limit=3").headers
    pages = told(service, "/studies?limit=3") + told(service, "/studies?limit=3&offset=3")
    pages += told(service, "/studies?limit=3&offset=6")
    uids = [item["0020000D"]["Value"][0] for item in pages]
    assert uids == [f"1.2.3.{seed}.1" for seed in (6, 5, 4, 3, 2, 1, 7)]
    assert [item["0020000D"]["Value"][0] for item in response.json()] == uids[:MOST]


def test_a_path_that_names_no_uid_finds_nothing(service: DicomWeb) -> None:
    response = service.get("/studies/a%00b/series")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid_query")


def test_fuzzy_matching_is_literal_and_says_so(service: DicomWeb) -> None:
    response = service.get("/studies?fuzzymatching=true&PatientName=yamada*")
    assert len(response.json()) == 1
    assert "The fuzzymatching parameter is not supported." in response.headers["Warning"]
    assert "Warning" not in service.get("/studies?fuzzymatching=false&PatientID=4711x").headers


def test_attributes_are_named_by_tag_or_keyword_and_included(service: DicomWeb) -> None:
    path = "/studies/1.2.3.7.1/series?00080060=MR"
    [plain] = told(service, path)
    assert "00080070" not in plain
    [more] = told(service, path + "&includefield=Manufacturer,00181030&includefield=00104000")
    assert more["00080070"]["Value"] == ["SIEMENS"]
    assert more["00181030"] == {"vr": "LO"}
    [every] = told(service, path + "&includefield=all")
    assert every.keys() >= plain.keys() | {"00080070", "00100010", "00185100"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("PatientNme=x", "request.unknown_query_key"),
        ("PatientWeight=70", "request.unknown_query_key"),
        ("RequestAttributesSequence.ScheduledProcedureStepID=1", "request.unknown_query_key"),
        ("00081111.00081150=1.2", "request.unknown_query_key"),
        ("includefield=Nothing", "request.unknown_query_key"),
        ("Modality=CT", "request.invalid_query"),
        ("StudyDate=yesterday", "request.invalid_query"),
        ("limit=-1", "request.invalid_query"),
        ("limit=ten", "request.invalid_query"),
        ("offset=999999999", "request.invalid_query"),
        ("fuzzymatching=maybe", "request.invalid_query"),
        ("PatientID=1&PatientID=2", "request.invalid_query"),
        ("PatientID=1&00100020=2", "request.invalid_query"),
        ("PatientName=a%00b", "request.invalid_query"),
    ],
)
def test_a_search_that_makes_no_sense_is_refused(service: DicomWeb, query: str, code: str) -> None:
    response = service.get(f"/studies?{query}")
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_orthanc_finds_and_pulls_what_we_have(
    service: DicomWeb, need_tool: Callable[[str], str]
) -> None:
    """Its DICOMweb client searches, retrieves, and has every instance as it was sent."""
    with running_orthanc(need_tool) as orthanc:
        orthanc.add_dicomweb_server("onescan", f"{service.url}/")
        found = orthanc.call(
            "POST",
            "/dicom-web/servers/onescan/qido",
            {"Uri": "/studies", "Arguments": {"00100010": "yamada*"}},
        )
        assert [item["0020000D"]["Value"] for item in found] == ["1.2.3.7.1"]
        orthanc.call(
            "POST",
            "/dicom-web/servers/onescan/retrieve",
            {"Resources": [{"Study": "1.2.3.7.1"}], "Synchronous": True},
        )
        pulled = [
            orthanc.call("GET", f"/instances/{uid}/file")
            for uid in orthanc.call("GET", "/instances")
        ]
    got = {ds.SOPInstanceUID: data for data in pulled for ds in [dcmread(io.BytesIO(data))]}
    assert sorted(got) == [f"1.2.3.7.3.{n}" for n in (1, 2, 3, 6)]
    for data in SENT:
        sent = dcmread(io.BytesIO(data))
        if sent.file_meta.TransferSyntaxUID == RLELossless:  # it asks for the default, not for *
            back = dcmread(io.BytesIO(got[sent.SOPInstanceUID]))
            assert np.array_equal(back.pixel_array, sent.pixel_array)
        else:
            assert got[sent.SOPInstanceUID] == data
