"""Retrieval as clients meet it: dicomweb-client, plain HTTP, and the bytes that come back."""

from __future__ import annotations

import io
from collections.abc import Iterator
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import imagecodecs
import numpy as np
import pydicom
import pytest
import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    RLELossless,
)

from tests.ct_files import ct_dataset, multi_frame, part10, slices
from tests.databases import fresh_database
from tests.dicomweb_server import DicomWeb, serving_dicomweb

pytestmark = pytest.mark.postgres

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
ANY_DICOM = 'multipart/related; type="application/dicom"; transfer-syntax=*'
DICOM = 'multipart/related; type="application/dicom"'
OCTETS = 'multipart/related; type="application/octet-stream"'

STUDY, SERIES = "1.2.3.1.1", "1.2.3.1.2"
MIXED = "1.2.3.7.1"
"""A study of one instance a transfer syntax or kind."""


def colour(seed: int) -> tuple[Any, np.ndarray[Any, Any]]:
    """Make a screen capture as JPEG Baseline, and the picture that it decodes to."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :, 0], picture[16:, :24, 1], picture[16:, 24:, 2] = 200, 150, 100
    coded = imagecodecs.jpeg8_encode(picture, level=95)
    ds = ct_dataset(20, seed=seed, size=16, SOPClassUID="1.2.840.10008.5.1.4.1.1.7")
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.Rows, ds.Columns, ds.SamplesPerPixel = 32, 48, 3
    ds.PhotometricInterpretation, ds.PlanarConfiguration = "YBR_FULL_422", 0
    ds.BitsAllocated = ds.BitsStored = 8
    ds.HighBit, ds.PixelRepresentation = 7, 0
    ds.Modality = "OT"
    ds.PixelData = encapsulate([coded])
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return ds, np.asarray(imagecodecs.jpeg8_decode(coded))


def report(seed: int) -> Any:
    """Make a structured report: no pixels, a sequence, a large private value inside of it."""
    ds = ct_dataset(30, seed=seed)
    for keyword in ("PixelData", "Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(ds, keyword)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.88.22"
    ds.Modality = "SR"
    item = Dataset()
    item.TextValue = "Lésion"
    item.add_new(0x00420011, "OB", bytes(range(256)) * 8)
    ds.ContentSequence = [item]
    return ds


def mask(seed: int) -> Any:
    """Make two frames of packed bits that do not end at a byte."""
    ds = ct_dataset(40, seed=seed, SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4", Modality="SEG")
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.Rows, ds.Columns, ds.NumberOfFrames = 3, 5, 2
    ds.BitsAllocated = ds.BitsStored = 1
    ds.HighBit = ds.PixelRepresentation = 0
    ds.PixelData = np.packbits(MASK.reshape(-1), bitorder="little").tobytes()
    ds["PixelData"].VR = "OB"
    return ds


MASK = np.array([[1, 0, 0, 0, 1] * 3, [0, 1, 1, 1, 0] * 3], np.uint8).reshape(2, 3, 5)
PLAIN = [part10(ds) for ds in slices(3, seed=1)]


def compressed(index: int, syntax: str) -> Any:
    ds = ct_dataset(index, seed=7, size=64)
    ds.compress(syntax, generate_instance_uid=False)
    return ds


def mixed() -> dict[str, bytes]:
    """Give the files of `MIXED` by what they are."""
    enhanced = multi_frame(slices(3, seed=7))
    made = {
        "implicit": part10(ct_dataset(0, seed=7), IMPLICIT),
        "big": part10(ct_dataset(1, seed=7), BIG_ENDIAN),
        "deflated": part10(ct_dataset(2, seed=7), DEFLATED),
        "rle": part10(compressed(3, RLELossless)),
        "j2k": part10(compressed(4, JPEG2000Lossless)),
        "enhanced": part10(enhanced),
        "colour": part10(colour(7)[0]),
        "report": part10(report(7)),
        "mask": part10(mask(7)),
    }
    return made


FILES = mixed()
SETS = {name: pydicom.dcmread(io.BytesIO(data)) for name, data in FILES.items()}


@pytest.fixture(scope="module")
def service(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DicomWeb]:
    """One service for all tests of this file; they only read."""
    with (
        fresh_database(postgres_url) as url,
        serving_dicomweb(url, tmp_path_factory.mktemp("objects")) as made,
    ):
        made.store(PLAIN)
        made.store(list(FILES.values()))
        made.store(PLAIN[:1], tenant="other")
        yield made


@pytest.fixture
def client(service: DicomWeb) -> DICOMwebClient:
    return DICOMwebClient(service.url)


def parts(response: requests.Response) -> list[tuple[str, bytes]]:
    """Take a multipart answer apart by a reader that is not ours: (content type, body)."""
    assert response.status_code == 200, response.text
    head = f"Content-Type: {response.headers['Content-Type']}\r\n\r\n".encode()
    message = BytesParser(policy=HTTP).parsebytes(head + response.content)
    found = message.get_payload()
    assert isinstance(found, list)
    boundary = response.headers["Content-Type"].partition("boundary=")[2].encode()
    bodies = response.content.split(b"--" + boundary)[1:-1]
    assert len(bodies) == len(found)
    return [
        (str(part["Content-Type"]).replace('"', ""), raw.partition(b"\r\n\r\n")[2][:-2])
        for part, raw in zip(found, bodies)
    ]


def path_of(name: str) -> str:
    ds = SETS[name]
    return f"/studies/{MIXED}/series/{ds.SeriesInstanceUID}/instances/{ds.SOPInstanceUID}"


def test_a_study_comes_back_byte_by_byte(service: DicomWeb) -> None:
    response = service.get(f"/studies/{STUDY}", ANY_DICOM)
    assert [data for _, data in parts(response)] == PLAIN
    assert int(response.headers["Content-Length"]) == len(response.content)


def test_every_kind_of_file_comes_back_byte_by_byte(service: DicomWeb) -> None:
    """As stored, each with its own transfer syntax named."""
    got = parts(service.get(f"/studies/{MIXED}", ANY_DICOM))
    assert sorted(data for _, data in got) == sorted(FILES.values())
    named = {kind.partition("transfer-syntax=")[2] for kind, _ in got}
    assert named == {ds.file_meta.TransferSyntaxUID for ds in SETS.values()}


def test_a_client_retrieves_study_series_and_instance(client: DICOMwebClient) -> None:
    wanted = [pydicom.dcmread(io.BytesIO(data)) for data in PLAIN]
    assert client.retrieve_study(STUDY) == wanted
    assert client.retrieve_series(STUDY, SERIES) == wanted
    one = client.retrieve_instance(STUDY, SERIES, wanted[1].SOPInstanceUID)
    assert one == wanted[1]


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("report", "colour")])
def test_without_a_transfer_syntax_files_come_in_explicit_little_endian(
    service: DicomWeb, name: str
) -> None:
    """The same attributes and the same pixels, in the default of the standard."""
    [(kind, data)] = parts(service.get(path_of(name), DICOM))
    assert kind == f"application/dicom; transfer-syntax={EXPLICIT}"
    got, sent = pydicom.dcmread(io.BytesIO(data)), SETS[name]
    assert got.file_meta.TransferSyntaxUID == EXPLICIT
    assert got.file_meta.MediaStorageSOPInstanceUID == sent.SOPInstanceUID
    assert np.array_equal(got.pixel_array, sent.pixel_array)
    del got.PixelData
    told = {e.tag for e in got if e.tag != 0x7FE00010}
    assert told == {e.tag for e in sent if e.tag != 0x7FE00010}
    assert got.PatientName == sent.PatientName
    assert got.get("ImagePositionPatient") == sent.get("ImagePositionPatient")


def test_lossy_colour_is_decoded_to_rgb(service: DicomWeb) -> None:
    [(_, data)] = parts(service.get(path_of("colour"), DICOM))
    got = pydicom.dcmread(io.BytesIO(data))
    assert got.PhotometricInterpretation == "RGB"
    assert np.array_equal(got.pixel_array, colour(7)[1])


def test_a_named_transfer_syntax_is_kept(service: DicomWeb) -> None:
    accept = f"{DICOM}; transfer-syntax={RLELossless}"
    [(kind, data)] = parts(service.get(path_of("rle"), accept))
    assert data == FILES["rle"]
    assert kind.endswith(RLELossless)


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        (f"/studies/{STUDY}", "application/json"),
        (f"/studies/{STUDY}", f"{DICOM}; transfer-syntax={RLELossless}"),
        (f"/studies/{STUDY}/metadata", 'multipart/related; type="application/dicom+xml"'),
        (path_of("j2k") + "/frames/1", 'multipart/related; type="image/jls"'),
        (path_of("j2k") + "/frames/1", "application/dicom+json"),
        (path_of("j2k") + "/rendered", "image/gif"),
        ("/studies", 'multipart/related; type="application/dicom+xml"'),
        ("/studies", "application/dicom+xml"),
    ],
)
def test_a_form_that_is_not_given_is_406(service: DicomWeb, path: str, accept: str) -> None:
    response = service.get(path, accept)
    assert response.status_code == 406
    assert response.json()["code"] == "request.not_acceptable"


@pytest.mark.parametrize(
    "path",
    [
        "/studies/1.2.3.99",
        "/studies/a%00b",
        f"/studies/{STUDY}/series/1.2.3",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3",
        "/studies/1.2.3.99/metadata",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3.1.3.1/frames/2",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3.1.3.1/frames/0",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3.1.3.1/bulkdata/00420011",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3.1.3.1/bulkdata/00081140.1.00420011",
        f"/studies/{STUDY}/series/{SERIES}/instances/1.2.3.1.3.1/bulkdata/%2e%2e",
        path_of("report") + "/frames/1",
        path_of("report") + "/rendered",
    ],
)
def test_what_is_not_there_is_404(service: DicomWeb, path: str) -> None:
    response = service.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "request.not_found"


@pytest.mark.parametrize(
    "path", ["", "/metadata", "/series/1.2.3.7.2/metadata", "/series/1.2.3.7.2"]
)
def test_another_tenants_study_is_404(service: DicomWeb, path: str) -> None:
    """Also where this tenant has an instance of the same UID in another study."""
    assert service.get(f"/studies/{MIXED}{path}").status_code == 200
    assert service.get(f"/studies/{MIXED}{path}", X_Tenant="other").status_code == 404
    own = parts(service.get(f"/studies/{STUDY}", ANY_DICOM, X_Tenant="other"))
    assert [data for _, data in own] == PLAIN[:1]


def test_metadata_is_the_header_with_pixels_by_address(
    service: DicomWeb, client: DICOMwebClient
) -> None:
    """A DICOM library reads it back to what was sent."""
    told = service.get(f"/studies/{STUDY}/metadata").json()
    assert [item["00080018"] for item in client.retrieve_study_metadata(STUDY)] == [
        item["00080018"] for item in told
    ]
    assert len(told) == 3
    for item, data in zip(told, PLAIN):
        pixels = item.pop("7FE00010")
        got, sent = Dataset.from_json(item), pydicom.dcmread(io.BytesIO(data))
        assert got.pop("AvailableTransferSyntaxUID").value == EXPLICIT
        assert got.pop("SpecificCharacterSet").value == "ISO_IR 192"
        del sent.SpecificCharacterSet
        want = sent.PixelData
        del sent.PixelData
        assert got == sent
        assert pixels["BulkDataURI"].startswith(service.url)
        [value] = client.retrieve_bulkdata(pixels["BulkDataURI"])
        assert value == want


def test_metadata_of_every_kind_is_read(service: DicomWeb) -> None:
    told = {
        item["00080018"]["Value"][0]: item
        for item in service.get(f"/studies/{MIXED}/metadata").json()
    }
    for name, ds in SETS.items():
        item = told[ds.SOPInstanceUID]
        assert ("7FE00010" in item) == (name != "report")
        assert item["00083002"]["Value"] == [ds.file_meta.TransferSyntaxUID]
        assert item["00100010"] == {"vr": "PN", "Value": [{"Alphabetic": "Doe^Jane"}]}
        assert item["00281052"]["Value"] == [-1024] if "RescaleIntercept" in ds else True


def test_a_large_value_inside_a_sequence_is_given_by_its_address(
    service: DicomWeb, client: DICOMwebClient
) -> None:
    item = service.get(f"{path_of('report')}/metadata").json()[0]["0040A730"]["Value"][0]
    assert item["0040A160"]["Value"] == ["Lésion"]
    [value] = client.retrieve_bulkdata(item["00420011"]["BulkDataURI"])
    assert value == bytes(range(256)) * 8


def test_a_client_retrieves_frames(client: DICOMwebClient) -> None:
    """Decoded, in the order asked for."""
    ds = SETS["enhanced"]
    wanted = [ct_dataset(index, seed=7).PixelData for index in range(3)]
    where = (MIXED, ds.SeriesInstanceUID, ds.SOPInstanceUID)
    assert client.retrieve_instance_frames(*where, frame_numbers=[3, 1]) == [wanted[2], wanted[0]]
    coded = SETS["j2k"]
    where = (MIXED, coded.SeriesInstanceUID, coded.SOPInstanceUID)
    [frame] = client.retrieve_instance_frames(*where, frame_numbers=[1])
    assert frame == ct_dataset(4, seed=7, size=64).PixelData


@pytest.mark.parametrize(
    ("name", "accept", "kind"),
    [
        ("j2k", 'type="image/jp2"', "image/jp2"),
        ("j2k", 'type="*/*"; transfer-syntax=*', "image/jp2"),
        ("j2k", 'type="application/octet-stream"; transfer-syntax=*', "application/octet-stream"),
        ("rle", "type=image/*; transfer-syntax=*", "image/dicom-rle"),
    ],
)
def test_frames_come_as_they_are_stored(
    service: DicomWeb, name: str, accept: str, kind: str
) -> None:
    accept = f"multipart/related; {accept}"
    [(told, data)] = parts(service.get(f"{path_of(name)}/frames/1", accept))
    assert told == f"{kind}; transfer-syntax={SETS[name].file_meta.TransferSyntaxUID}"
    assert data == next(pydicom.encaps.generate_frames(SETS[name].PixelData, number_of_frames=1))


@pytest.mark.parametrize("name", ["implicit", "big", "deflated", "rle", "j2k"])
def test_frames_are_the_same_values_whatever_they_were(service: DicomWeb, name: str) -> None:
    [(kind, data)] = parts(service.get(f"{path_of(name)}/frames/1", OCTETS))
    assert kind == f"application/octet-stream; transfer-syntax={EXPLICIT}"
    assert np.array_equal(np.frombuffer(data, "<i2"), SETS[name].pixel_array.reshape(-1))


def test_frames_of_packed_bits_begin_at_a_byte(service: DicomWeb) -> None:
    got = parts(service.get(f"{path_of('mask')}/frames/1,2", OCTETS))
    for (_, data), frame in zip(got, MASK, strict=True):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
        assert np.array_equal(bits[:15].reshape(3, 5), frame)


def test_all_pixels_are_one_bulk_value(service: DicomWeb) -> None:
    [(_, data)] = parts(service.get(f"{path_of('enhanced')}/bulkdata/7fe00010"))
    assert data == SETS["enhanced"].PixelData


@pytest.mark.parametrize("query", ["abc", "1,x", "1,2,3,4", "1,,2"])
def test_a_list_of_frames_that_is_none_is_refused(service: DicomWeb, query: str) -> None:
    response = service.get(f"{path_of('enhanced')}/frames/{query}")
    assert (response.status_code, response.json()["code"]) == (400, "request.invalid_query")


def test_a_client_retrieves_a_picture(client: DICOMwebClient) -> None:
    """A PNG shows what the window says, to the grey value."""
    sent = pydicom.dcmread(io.BytesIO(PLAIN[0]))
    data = client.retrieve_instance_rendered(
        STUDY, SERIES, sent.SOPInstanceUID, media_types=("image/png",),
        params={"window": "0,2000,linear-exact"},
    )  # fmt: skip
    hu = sent.pixel_array.astype(float) - 1024
    wanted = np.rint(np.clip((hu / 2000 + 0.5) * 255, 0, 255))
    assert np.abs(imagecodecs.png_decode(data).astype(float) - wanted).max() <= 1


def test_pictures_of_every_kind(service: DicomWeb) -> None:
    """JPEG by default; colour stays colour, a frame may be chosen, a viewport fits."""
    for name in FILES:
        if name != "report":
            response = service.get(f"{path_of(name)}/rendered")
            assert response.headers["Content-Type"] == "image/jpeg", response.text
            rows, columns = SETS[name].Rows, SETS[name].Columns
            assert imagecodecs.jpeg8_decode(response.content).shape[:2] == (rows, columns)
    png = service.get(f"{path_of('colour')}/rendered?viewport=24,100", "image/png").content
    picture = imagecodecs.png_decode(png)
    assert picture.shape == (16, 24, 3)
    assert np.abs(picture[3, 5].astype(int) - (200, 0, 0)).max() < 8
    first, second = (
        service.get(f"{path_of('mask')}/frames/{n}/rendered", "image/png").content for n in (1, 2)
    )
    assert first != second


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("window=1", "request.invalid_query"),
        ("window=1,0,linear", "request.invalid_query"),
        ("window=1,nan,linear", "request.invalid_query"),
        ("window=1,2,cubic", "request.invalid_query"),
        ("viewport=0,10", "request.invalid_query"),
        ("viewport=100000,10", "request.invalid_query"),
        ("viewport=1,2,3", "request.invalid_query"),
        ("quality=101", "request.invalid_query"),
        ("annotation=patient", "request.unknown_query_key"),
    ],
)
def test_a_rendering_that_makes_no_sense_is_refused(
    service: DicomWeb, query: str, code: str
) -> None:
    response = service.get(f"{path_of('j2k')}/rendered?{query}")
    assert (response.status_code, response.json()["code"]) == (400, code)


def test_what_store_answers_can_be_retrieved(service: DicomWeb) -> None:
    """Retrieve URLs of study and instances, on the Host that was asked."""
    told = service.store([part10(ct_dataset(seed=11))])
    assert told["00081190"]["Value"] == [f"{service.url}/studies/1.2.3.11.1"]
    [item] = told["00081199"]["Value"]
    [url] = item["00081190"]["Value"]
    got = requests.get(url, headers={"Accept": ANY_DICOM}, timeout=60)
    assert [data for _, data in parts(got)] == [part10(ct_dataset(seed=11))]
    two = service.store([part10(ct_dataset(seed=12)), part10(ct_dataset(seed=13))])
    assert two["00081190"] == {"vr": "UR"}


def test_a_correction_is_told_and_the_file_stays(service: DicomWeb) -> None:
    """Metadata has the newest name; the stored bytes are those that came first."""
    sent = part10(ct_dataset(seed=14, PatientName="Doe^Wrong"))
    service.store([sent])
    service.store([part10(ct_dataset(seed=14, PatientName="Doe^Right", PatientAge=None))])
    [told] = service.get("/studies/1.2.3.14.1/metadata").json()
    assert told["00100010"]["Value"] == [{"Alphabetic": "Doe^Right"}]
    assert "00101010" not in told
    assert [data for _, data in parts(service.get("/studies/1.2.3.14.1", ANY_DICOM))] == [sent]


def test_an_object_that_is_gone_is_404_and_a_cut_one_breaks_off(service: DicomWeb) -> None:
    """Never a short answer that looks whole."""
    before = set(service.objects.root.rglob("*.seg"))
    service.store([part10(ds) for ds in slices(2, seed=15, size=600)])
    [segment] = set(service.objects.root.rglob("*.seg")) - before
    with segment.open("r+b") as file:
        file.truncate(segment.stat().st_size - 1000)
    with pytest.raises(requests.RequestException):
        service.get("/studies/1.2.3.15.1", ANY_DICOM)
    segment.unlink()
    assert service.get("/studies/1.2.3.15.1", ANY_DICOM).status_code == 404
