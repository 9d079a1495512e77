"""One header, read once, says what the index needs."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import generate_fragmented_frames
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from gateway.instance import Instance
from gateway.intake.header import read_header
from tests.ct_files import ct_dataset, part10


def pixels(data: bytes, instance: Instance, number: int = 0) -> bytes:
    """Read a frame's bytes where the index says that they are."""
    frame = instance.frames[number]
    places = frame.fragments or ((frame.pixel_offset, frame.pixel_length),)
    return b"".join(data[offset : offset + length] for offset, length in places)


def real_files(shared_data: Path) -> list[Path]:
    return [
        path
        for path in sorted((shared_data / "ct").glob("*/*.dcm"))
        if "DIRFILE" not in path.name and path.parent.name != "bad"
    ]


def test_a_single_slice_is_read_in_full() -> None:
    """Identity, attributes and the one frame come out as they were written."""
    data = part10(ct_dataset(2, seed=7))
    instance = read_header(data, object_key="k")
    assert instance.sop_instance_uid == "1.2.3.7.3.3"
    assert instance.object_length == len(data)
    assert instance.attributes["ConvolutionKernel"] == ["Br38f", "3"]
    assert instance.attributes["KVP"] == 120.0
    assert instance.attributes["InstanceNumber"] == 3
    assert instance.attributes["PatientName"] == "Doe^Jane"
    [frame] = instance.frames
    assert frame.image_position_patient == (-100.5, -100.25, 6.0)
    assert frame.pixel_spacing == (0.7, 0.8)
    assert (frame.rescale_slope, frame.rescale_intercept) == (1.0, -1024.0)
    assert pixels(data, instance) == pydicom.dcmread(io.BytesIO(data)).PixelData


def test_offsets_count_from_the_start_of_the_object() -> None:
    """A file in the middle of a segment is pointed at in the segment."""
    data = part10(ct_dataset())
    alone, inside = read_header(data), read_header(data, object_key="s", object_offset=1000)
    assert inside.frames[0].pixel_offset == alone.frames[0].pixel_offset + 1000
    assert (inside.object_offset, inside.object_length) == (1000, len(data))


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_every_uncompressed_coding_gives_the_same_instance(syntax: str) -> None:
    """Implicit and big-endian files differ from explicit ones only in where the bytes are."""
    explicit = read_header(part10(ct_dataset()))
    data = part10(ct_dataset(), syntax)
    other = read_header(data)
    assert other.attributes == explicit.attributes
    assert other.frames[0].image_position_patient == explicit.frames[0].image_position_patient
    assert pixels(data, other) == pydicom.dcmread(io.BytesIO(data)).PixelData


def test_a_file_is_read_from_path_file_and_memory_alike(tmp_path: Path) -> None:
    """What the bytes come from makes no difference."""
    data = part10(ct_dataset())
    path = tmp_path / "a.dcm"
    path.write_bytes(data)
    with path.open("rb") as file:
        assert read_header(file) == read_header(path) == read_header(memoryview(data))


def test_real_files_agree_with_pydicom(shared_data: Path) -> None:
    """Pixel bytes and geometry of every real file are those that pydicom finds."""
    for path in real_files(shared_data):
        data = path.read_bytes()
        instance = read_header(path)
        ds = pydicom.dcmread(io.BytesIO(data))
        assert instance.sop_instance_uid == ds.SOPInstanceUID
        assert instance.transfer_syntax_uid == ds.file_meta.TransferSyntaxUID
        if ds.file_meta.TransferSyntaxUID.is_deflated:
            assert instance.frames[0].pixel_offset == -1
        elif ds.file_meta.TransferSyntaxUID.is_compressed:
            fragments = next(generate_fragmented_frames(ds.PixelData, number_of_frames=1))
            assert pixels(data, instance) == b"".join(fragments)
        else:
            assert pixels(data, instance) == ds.PixelData[: instance.frames[0].pixel_length]
        if "ImagePositionPatient" in ds:
            assert instance.frames[0].image_position_patient == tuple(ds.ImagePositionPatient)
        for keyword in ("Modality", "PatientPosition", "SliceThickness", "ImageType"):
            if keyword in ds and ds[keyword].value not in (None, ""):
                value = ds[keyword].value
                stripped = [v.strip() for v in value] if keyword == "ImageType" else value
                assert instance.attributes[keyword] == stripped


@pytest.mark.parametrize(
    ("charset", "name"),
    [
        ("ISO_IR 100", "Müller^Jörg"),
        ("GB18030", "王^小东"),
        ("ISO_IR 192", "Wang^XiaoDong=王^小东"),
    ],
)
def test_names_are_decoded_by_their_character_set(charset: str, name: str) -> None:
    """Latin-1, Chinese and UTF-8 names come out as Unicode."""
    data = part10(ct_dataset(SpecificCharacterSet=charset, PatientName=name))
    assert read_header(data).attributes["PatientName"] == name


@pytest.mark.parametrize("charset", [b"ISO_IR 192", b"NONSENSE 1", b"GB18030   "])
def test_text_that_does_not_decode_is_no_error(charset: bytes) -> None:
    """Bytes that are wrong in their character set lose characters, not the instance."""
    data = part10(ct_dataset(SpecificCharacterSet="ISO_IR 100", PatientName="J\xff\xfed\xe9"))
    data = data.replace(b"ISO_IR 100", charset)
    assert read_header(data).attributes["PatientName"].startswith("J")


def test_nul_characters_never_reach_the_index() -> None:
    """PostgreSQL's JSON knows no NUL."""
    data = part10(ct_dataset(StudyDescription="CHEST ABDOMEN")).replace(b"CHEST ABD", b"CHEST\0ABD")
    assert read_header(data).attributes["StudyDescription"] == "CHESTABDOMEN"


@pytest.mark.parametrize(("representation", "expected"), [(1, -2000), (0, 63536)])
def test_padding_has_the_sign_of_the_pixels(representation: int, expected: int) -> None:
    """The same bits mean -2000 or 63536, whatever VR the writer chose."""
    ds = ct_dataset(PixelRepresentation=representation)
    ds.add_new("PixelPaddingValue", "US", 63536)
    instance = read_header(part10(ds))
    assert instance.frames[0].pixel_padding_value == expected
    assert instance.attributes["PixelPaddingValue"] == expected


def test_an_object_without_pixels_has_no_frames() -> None:
    """A structured report is indexed, with nothing to decode."""
    ds = ct_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22", Modality="SR")
    for keyword in ("PixelData", "Rows", "Columns"):
        delattr(ds, keyword)
    instance = read_header(part10(ds))
    assert instance.frames == ()
    assert instance.attributes["Modality"] == "SR"


def test_a_long_private_element_before_the_pixels_is_passed_over() -> None:
    """The window grows until the header fits."""
    ds = ct_dataset()
    ds.private_block(0x0099, "TEST", create=True).add_new(1, "OB", b"x" * 3_000_000)
    data = part10(ds)
    assert pixels(data, read_header(data)) == ds.PixelData
