"""Frames as they are shown: lossy, coloured and packed ones, and those that are none."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import imagecodecs
import numpy as np
import pytest

from gateway.exceptions import PixelDataError, UnsupportedTransferSyntaxError
from gateway.instance import Frame
from gateway.intake.header import read_header
from gateway.study.picture import DECODED, JPEG_LS_LOSSY, frame_bytes, samples_of
from gateway.study.transcode import little_endian
from tests.ct_files import ct_dataset, part10

[GREY] = read_header(part10(ct_dataset(size=32))).frames
EXPLICIT, BIG = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, J2K, RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.91", "1.2.840.10008.1.2.5"

PICTURE = np.zeros((32, 32, 3), np.uint8)
PICTURE[:16, :, 0], PICTURE[:, 16:, 1] = 200, 90


def colour(syntax: str, kind: str = "RGB", **changes: Any) -> Frame:
    return replace(
        GREY, transfer_syntax_uid=syntax, samples_per_pixel=3, bits_allocated=8, bits_stored=8,
        high_bit=7, pixel_representation=0, photometric_interpretation=kind, **changes,
    )  # fmt: skip


def test_lossy_grey_is_shown_though_never_measured() -> None:
    """JPEG 2000 with the irreversible wavelet, JPEG-LS that is near lossless."""
    ramp = np.arange(1024, dtype=np.uint16).reshape(32, 32)
    wavelet = imagecodecs.jpeg2k_encode(ramp, level=95, reversible=False)
    near = imagecodecs.jpegls_encode(ramp, level=2)
    for syntax, data in ((J2K, wavelet), (JPEG_LS_LOSSY, near)):
        got = samples_of(data, replace(GREY, transfer_syntax_uid=syntax))
        assert np.abs(got.astype(int) - ramp).max() <= 20


def test_colour_of_every_coding_is_the_picture() -> None:
    planes = np.ascontiguousarray(np.moveaxis(PICTURE, -1, 0))
    segments = [imagecodecs.packbits_encode(plane) for plane in planes]
    segments = [segment + b"\0" * (len(segment) % 2) for segment in segments]
    starts = np.cumsum([64, *map(len, segments[:-1])])
    header = np.zeros(16, "<u4")
    header[0], header[1:4] = 3, starts
    coded = {
        J2K: imagecodecs.jpeg2k_encode(PICTURE, level=0, reversible=True),
        RLE: header.tobytes() + b"".join(segments),
        "1.2.840.10008.1.2.4.80": imagecodecs.jpegls_encode(PICTURE),
    }
    for syntax, data in coded.items():
        assert np.array_equal(samples_of(data, colour(syntax)), PICTURE), syntax
    lossy = samples_of(imagecodecs.jpeg8_encode(PICTURE, level=98), colour(JPEG, "YBR_FULL_422"))
    assert np.abs(lossy[4:12, 4:12].astype(int) - (200, 0, 0)).max() < 10
    assert np.array_equal(samples_of(PICTURE.tobytes(), colour(EXPLICIT)), PICTURE)
    assert np.array_equal(samples_of(planes.tobytes(), colour(EXPLICIT), planar=True), PICTURE)


def test_half_resolution_chroma_is_spread() -> None:
    """Y Y Cb Cr for each pair of pixels."""
    data = bytes((1, 2, 30, 40)) * (16 * 32)
    got = samples_of(data, colour(EXPLICIT, "YBR_FULL_422"))
    assert got.shape == (32, 32, 3)
    assert got[5, 6].tolist() == [1, 30, 40]
    assert got[5, 7].tolist() == [2, 30, 40]


def test_big_endian_values_are_swapped() -> None:
    values = np.arange(1024, dtype=">u2")
    frame = replace(GREY, transfer_syntax_uid=BIG)
    assert little_endian(values.tobytes(), frame) == values.astype("<u2").tobytes()
    assert np.array_equal(samples_of(values.tobytes(), frame).reshape(-1), np.arange(1024))


@pytest.mark.parametrize("syntax", sorted(DECODED))
@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff\xd9", b"\0" * 64, b"\xff\x4f\xff\x51" * 20])
def test_bytes_that_are_no_frame_are_refused(syntax: str, data: bytes) -> None:
    for frame in (replace(GREY, transfer_syntax_uid=syntax), colour(syntax)):
        with pytest.raises(PixelDataError):
            samples_of(data, frame)


def test_an_image_of_another_size_is_refused_before_it_is_decoded() -> None:
    """A header that announces 60,000 × 60,000 pixels allocates nothing."""
    data = bytearray(imagecodecs.jpeg8_encode(PICTURE))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = b"\xea\x60\xea\x60"
    with pytest.raises(PixelDataError):
        samples_of(bytes(data), colour(JPEG))


def test_what_has_no_decoder_is_told() -> None:
    with pytest.raises(UnsupportedTransferSyntaxError):
        samples_of(b"", replace(GREY, transfer_syntax_uid="1.2.840.10008.1.2.4.100"))


def test_an_object_that_ends_early_is_told() -> None:
    class Short:
        def open(self, key: str) -> int:
            raise NotImplementedError

        def read(self, key: str, offset: int, length: int) -> bytes:
            return b"x" * (length - 1)

    with pytest.raises(PixelDataError):
        frame_bytes(Short(), GREY)
