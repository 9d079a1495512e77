"""Valid files that the fuzzer starts from: every coding, single and multi-frame, compressed."""

from __future__ import annotations

import io
from collections.abc import Container, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from gateway.intake.dataset import open_dataset
from gateway.intake.elements import Coding, Element, items
from gateway.intake.source import BytesSource
from tests.ct_files import ct_dataset, multi_frame, part10, slices

IMPLICIT, BIG, DEFLATED = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"
JPEG_LOSSLESS, JPEG_LS = "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.80"
JPEG_2000, HTJ2K = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"

SYNTAXES = (
    *(IMPLICIT, "1.2.840.10008.1.2.1", BIG, DEFLATED),
    *(JPEG_LOSSLESS, JPEG_LS, JPEG_2000, HTJ2K, "1.2.840.10008.1.2.4.50", str(RLELossless)),
)
"""What a mutated file may claim to be."""


class _Everything(Container[int]):
    def __contains__(self, tag: object) -> bool:
        return True


@dataclass(frozen=True)
class Place:
    """Where one element lies in a file."""

    tag: int
    vr: bytes
    header: int
    value: int
    length: int
    coding: Coding


@dataclass(frozen=True)
class Seed:
    """A valid file, and where its elements are."""

    name: str
    data: bytes
    places: tuple[Place, ...]


@cache
def seeds() -> tuple[Seed, ...]:
    """Make them all; each is a few kilobytes."""
    files: dict[str, bytes] = {
        "explicit": part10(ct_dataset()),
        "implicit": part10(ct_dataset(), IMPLICIT),
        "big endian": part10(ct_dataset(), BIG),
        "enhanced": part10(multi_frame(slices(3))),
        "legacy": part10(multi_frame(slices(3), legacy=True)),
        "eight bits": part10(_eight_bits()),
        "no pixels": part10(ct_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11", Rows=None,
                                       PixelData=None)),
        "rle": part10(_rle()),
        "fragments": part10(_fragments()),
        "deflated": _deflated(),
    }  # fmt: skip
    for name, syntax in (("jpeg ls", JPEG_LS), ("jpeg 2000", JPEG_2000), ("jpeg", JPEG_LOSSLESS)):
        files[name] = part10(_encoded(syntax))
    return tuple(Seed(name, data, tuple(_places(data))) for name, data in files.items())


def _places(data: bytes) -> Iterator[Place]:
    everything = cast(Any, _Everything())
    opened = open_dataset(BytesSource(data), everything)
    if opened.deflated:
        return
    for tag, element in opened.found.elements.items():
        yield from _of(data, tag, element, depth=1)
    if opened.found.pixels is not None:
        tag, element = opened.found.pixels
        yield _place(tag, element)


def _of(data: bytes, tag: int, element: Element, depth: int) -> Iterator[Place]:
    yield _place(tag, element)
    if element.vr == b"SQ":
        for item in items(data, element, cast(Any, _Everything()), depth=depth):
            for inner, found in item.items():
                yield from _of(data, inner, found, depth + 1)


def _place(tag: int, element: Element) -> Place:
    long = element.vr in (b"SQ", b"OB", b"OW", b"UN", b"UT")
    header = element.offset - (12 if long else 8)
    return Place(tag, element.vr, header, element.offset, element.length, element.coding)


def _eight_bits() -> FileDataset:
    ds = ct_dataset(BitsAllocated=8, BitsStored=8, HighBit=7, PixelRepresentation=0)
    ds.PixelData = bytes(256)
    ds["PixelData"].VR = "OW"
    return ds


def _rle() -> FileDataset:
    ds = ct_dataset()
    ds.compress(RLELossless, generate_instance_uid=False)
    return ds


def _encoded(syntax: str) -> FileDataset:
    import imagecodecs

    ds = ct_dataset(PixelRepresentation=0)
    pixels = np.frombuffer(ds.PixelData, "<u2").reshape(16, 16)
    encode = {
        JPEG_LS: imagecodecs.jpegls_encode,
        JPEG_2000: lambda a: imagecodecs.jpeg2k_encode(a, codecformat="j2k", reversible=True),
        JPEG_LOSSLESS: imagecodecs.ljpeg_encode,
    }[syntax]
    ds.file_meta.TransferSyntaxUID = syntax
    ds.PixelData = encapsulate([bytes(encode(pixels))])
    ds["PixelData"].VR = "OB"
    return ds


def _fragments() -> FileDataset:
    """Three frames of two fragments each, with an offset table."""
    source = _encoded(JPEG_LS)
    frame = next(pydicom.encaps.generate_frames(source.PixelData, number_of_frames=1))
    ds = multi_frame(slices(3))
    ds.file_meta.TransferSyntaxUID = JPEG_LS
    ds.PixelRepresentation = 0
    ds.PixelData = encapsulate([frame] * 3, fragments_per_frame=2)
    ds["PixelData"].VR = "OB"
    return ds


def _deflated() -> bytes:
    ds = ct_dataset()
    ds.file_meta.TransferSyntaxUID = DEFLATED
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()
