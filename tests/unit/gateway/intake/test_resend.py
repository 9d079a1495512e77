"""Copies of an instance are recognised by what they decode to."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from gateway.instance import Instance
from gateway.intake.folders import PathObjects
from gateway.intake.header import read_header
from gateway.intake.resend import same_pixels
from tests.ct_files import ct_dataset, multi_frame, part10, slices


def stored(path: Path, data: bytes) -> Instance:
    path.write_bytes(data)
    return read_header(path, object_key=str(path))


def rle() -> bytes:
    ds = ct_dataset()
    ds.compress(RLELossless, generate_instance_uid=False)
    return part10(ds)


@pytest.mark.parametrize(
    "copy",
    [
        part10(ct_dataset()),
        part10(ct_dataset(PatientName="Other^Name")),
        part10(ct_dataset(), "1.2.840.10008.1.2"),
        part10(ct_dataset(), "1.2.840.10008.1.2.2"),
        part10(ct_dataset(), "1.2.840.10008.1.2.1.99"),
        rle(),
    ],
    ids=["bytes", "renamed", "implicit", "big-endian", "deflated", "rle"],
)
def test_copies_are_the_same(copy: bytes, tmp_path: Path) -> None:
    """Another name or another transfer syntax leaves the pixels what they are."""
    old = stored(tmp_path / "old", part10(ct_dataset()))
    assert same_pixels(PathObjects(), old, stored(tmp_path / "new", copy))


def test_one_changed_pixel_makes_another(tmp_path: Path) -> None:
    ds = ct_dataset()
    ds.PixelData = ds.PixelData[:-2] + b"\x07\x07"
    old = stored(tmp_path / "old", part10(ct_dataset()))
    assert not same_pixels(PathObjects(), old, stored(tmp_path / "new", part10(ds)))


def test_real_transcoded_copies_are_the_same(shared_data: Path) -> None:
    """The lossless codings of one real slice are copies; the lossy ones are not."""
    folder = shared_data / "ct" / "chest-transfer-syntaxes"

    def header(prefix: str) -> Instance:
        path = next(folder.glob(f"{prefix}_*"))
        return read_header(path, object_key=str(path))

    old = header("LittleEndianExplicit")
    for name in (
        "JPEG2000LosslessOnly",
        "JPEGLSLossless",
        "JPEGProcess14SV1",
        "RLELossless",
        "BigEndianExplicit",
        "DeflatedExplicitVRLittleEndian",
    ):
        assert same_pixels(PathObjects(), old, header(name)), name
    for name in ("JPEG2000", "JPEGLSLossy", "JPEGProcess1", "JPEGProcess10_12"):
        assert not same_pixels(PathObjects(), old, header(name)), name


def test_damaged_run_lengths_make_another(tmp_path: Path) -> None:
    """A run that crosses the end of its frame is no copy, and no decoder's panic comes through."""
    ds = ct_dataset()
    crossing = b"\x9d\x01" * (ds.Rows * ds.Columns // 100 + 1)  # runs of 100
    assert ds.Rows * ds.Columns % 100
    head = struct.pack("<16I", 2, 64, 64 + len(crossing), *[0] * 13)
    ds.compress(RLELossless, generate_instance_uid=False)
    ds.PixelData = encapsulate([head + 2 * crossing])
    old = stored(tmp_path / "old", part10(ct_dataset()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom warns of the padding
        assert not same_pixels(PathObjects(), old, stored(tmp_path / "new", part10(ds)))


def test_every_frame_counts(tmp_path: Path) -> None:
    """Instances of several frames differ when the last frame does."""
    ds, other = multi_frame(slices(3)), multi_frame(slices(3))
    other.PixelData = other.PixelData[:-2] + b"\x07\x07"
    old = stored(tmp_path / "old", part10(ds))
    implicit = stored(tmp_path / "implicit", part10(ds, "1.2.840.10008.1.2"))
    assert same_pixels(PathObjects(), old, implicit)
    assert not same_pixels(PathObjects(), old, stored(tmp_path / "new", part10(other)))


def test_objects_without_pixels_are_the_same_only_byte_by_byte(tmp_path: Path) -> None:
    """Content that is nowhere indexed is never dropped as a copy."""

    def report(text: str) -> bytes:
        ds = ct_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", ContentLabel=text)
        for keyword in ("PixelData", "Rows", "Columns"):
            delattr(ds, keyword)
        return part10(ds)

    old = stored(tmp_path / "old", report("A"))
    assert same_pixels(PathObjects(), old, stored(tmp_path / "same", report("A")))
    assert not same_pixels(PathObjects(), old, stored(tmp_path / "new", report("B")))
