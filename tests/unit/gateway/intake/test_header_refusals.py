"""What is refused, each with the error that says why."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from pydicom.uid import DeflatedExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from gateway.exceptions import (
    InstanceError,
    InstanceTooLargeError,
    InvalidHeaderError,
    InvalidUidError,
    MissingUidError,
    NoPixelDataError,
    NotDicomError,
    TruncatedInstanceError,
)
from gateway.intake.header import read_header
from tests.ct_files import ct_dataset, multi_frame, part10, slices


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n", b"\0" * 500, b"{}" * 300])
def test_what_has_no_prefix_is_not_dicom(data: bytes) -> None:
    with pytest.raises(NotDicomError):
        read_header(data)


def test_a_dataset_without_preamble_is_not_dicom() -> None:
    """Part 10 asks for the preamble, and guessing would take text files for DICOM."""
    with pytest.raises(NotDicomError):
        read_header(part10(ct_dataset())[132:])


def test_the_real_file_with_empty_uids_is_refused(shared_data: Path) -> None:
    with pytest.raises(MissingUidError):
        read_header(shared_data / "ct" / "bad" / "empty-uids.dcm")


@pytest.mark.parametrize(
    "keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"]
)
def test_a_missing_uid_is_named(keyword: str) -> None:
    with pytest.raises(MissingUidError, match="UID is missing"):
        read_header(part10(ct_dataset(**{keyword: None})))


@pytest.mark.parametrize("uid", [b"1.2.3.X.3.1", b"1.2..3.3.1 ", b"-1.2.3.3.1 "])
def test_a_uid_that_is_none_is_refused(uid: bytes) -> None:
    data = part10(ct_dataset(seed=0)).replace(b"1.2.3.0.3.1", uid)
    with pytest.raises(InvalidUidError):
        read_header(data)


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI", "ignore:The value length")
def test_a_uid_of_65_characters_is_refused() -> None:
    with pytest.raises(InvalidUidError):
        read_header(part10(ct_dataset(StudyInstanceUID="1." + "2" * 63)))


@pytest.mark.parametrize("cut", [1, 100, 511])
def test_native_pixels_that_end_early_are_truncated(cut: int) -> None:
    with pytest.raises(TruncatedInstanceError):
        read_header(part10(ct_dataset())[:-cut])


def test_a_header_that_ends_early_is_truncated() -> None:
    with pytest.raises(TruncatedInstanceError):
        read_header(part10(ct_dataset())[:300])


def test_an_image_without_pixel_data_is_refused() -> None:
    with pytest.raises(NoPixelDataError):
        read_header(part10(ct_dataset(PixelData=None)))


def test_ct_without_rows_and_pixels_is_refused_for_its_pixels() -> None:
    ds = ct_dataset(PixelData=None, Rows=None)
    with pytest.raises(NoPixelDataError):
        read_header(part10(ds))


@pytest.mark.parametrize(
    "changes",
    [
        {"Rows": 0},
        {"Columns": 0},
        {"Rows": None},
        {"BitsAllocated": 12},
        {"BitsStored": 17},
        {"HighBit": 3},
        {"PixelRepresentation": None},
        {"PixelRepresentation": 2},
        {"Rows": 17},
        {"NumberOfFrames": "2"},
        {"NumberOfFrames": "0"},
        {"NumberOfFrames": "1000000"},
    ],
    ids=str,
)
def test_pixel_attributes_that_contradict_each_other_are_refused(changes: dict[str, int]) -> None:
    with pytest.raises(InvalidHeaderError):
        read_header(part10(ct_dataset(**changes)))


def compressed(frames: list[bytes], *, announced: int | None = None) -> bytes:
    ds = ct_dataset(PixelData=encapsulate(frames, has_bot=False))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.NumberOfFrames = len(frames) if announced is None else announced
    ds.file_meta.TransferSyntaxUID = JPEGLSLossless
    return part10(ds)


def test_fewer_fragments_than_frames_are_truncated() -> None:
    with pytest.raises(TruncatedInstanceError):
        read_header(compressed([b"abcd\xff\xd9"] * 2, announced=3))


@pytest.mark.parametrize("cut", [8, 9, 12, 14])
def test_fragments_without_delimiter_are_taken_only_when_the_stream_is_whole(cut: int) -> None:
    """Some senders leave the delimiter out; a cut one never ends in End Of Image."""
    data = compressed([b"abcd\xff\xd9"])
    if cut == 8:
        assert read_header(data[:-cut]).frames[0].pixel_length == 6
    else:
        with pytest.raises(TruncatedInstanceError):
            read_header(data[:-cut])


def test_fragments_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(InvalidHeaderError):
        read_header(compressed([b"abcd", b"efgh", b"ijkl"], announced=2))


def test_sequences_nested_without_end_are_refused() -> None:
    """Ten thousand levels end in an error, not in a stack overflow."""
    sequence = struct.pack("<HH2sHI", 0x0008, 0x1140, b"SQ", 0, 0xFFFFFFFF)
    item = struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    data = part10(ct_dataset())
    start = data.index(struct.pack("<HH", 0x0008, 0x0005))
    with pytest.raises(InvalidHeaderError, match="nested"):
        read_header(data[:start] + (sequence + item) * 10_000)


def test_a_huge_declared_length_is_truncated_and_takes_no_memory() -> None:
    data = bytearray(part10(ct_dataset(StudyDescription="x")))
    start = data.index(struct.pack("<HH", 0x0008, 0x1030))
    data[start + 4 : start + 8] = b"UT\0\0"
    data[start + 8 : start + 8] = struct.pack("<I", 0xFFFF_FFF0)
    with pytest.raises(TruncatedInstanceError):
        read_header(bytes(data))


def deflated(payload: bytes) -> bytes:
    data = part10(ct_dataset(), DeflatedExplicitVRLittleEndian)
    return data[: len(data) - len(_dataset_of(data))] + payload


def _dataset_of(data: bytes) -> bytes:
    start = 132
    (length,) = struct.unpack_from("<I", data, start + 8)
    return data[start + 12 + length :]


def test_a_deflated_instance_is_read_and_marked() -> None:
    """Its pixels lie in no range of the file, so the frame says -1."""
    instance = read_header(part10(ct_dataset(), DeflatedExplicitVRLittleEndian))
    assert instance.frames[0].pixel_offset == -1
    assert instance.frames[0].pixel_length == 16 * 16 * 2


def test_a_deflate_bomb_is_stopped() -> None:
    """300 MB of zeros packed into 300 kB are not inflated to their end."""
    packer = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(packer.compress(bytes(1024**2)) for _ in range(300)) + packer.flush()
    with pytest.raises(InstanceTooLargeError):
        read_header(deflated(bomb))


def test_a_cut_deflate_stream_is_truncated() -> None:
    data = part10(ct_dataset(), DeflatedExplicitVRLittleEndian)
    with pytest.raises(TruncatedInstanceError):
        read_header(data[:-20])


def _rle() -> bytes:
    ds = ct_dataset()
    ds.compress(RLELossless, generate_instance_uid=False)
    return part10(ds)


VALID = {
    "explicit": part10(ct_dataset()),
    "implicit": part10(ct_dataset(), "1.2.840.10008.1.2"),
    "deflated": part10(ct_dataset(), DeflatedExplicitVRLittleEndian),
    "enhanced": part10(multi_frame(slices(3))),
    "compressed": _rle(),
}


@pytest.mark.parametrize("kind", VALID)
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    edits=st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=6)), max_size=4),
    cut=st.integers(0, 2**16),
)
def test_hostile_bytes_raise_nothing_but_instance_errors(
    kind: str, edits: list[tuple[int, bytes]], cut: int
) -> None:
    """Whatever is done to a valid file, it is an instance or an InstanceError."""
    data = bytearray(VALID[kind])
    for position, replacement in edits:
        start = 128 + position % (len(data) - 128)
        data[start : start + len(replacement)] = replacement
    if cut % 3 == 0:
        del data[cut % len(data) :]
    try:
        instance = read_header(bytes(data))
    except InstanceError:
        return
    assert instance.sop_instance_uid
    for frame in instance.frames:
        assert frame.pixel_offset + frame.pixel_length <= len(data)
