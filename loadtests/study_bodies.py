"""Bodies of STOW requests of one study, with fresh UIDs, made before the clock starts."""

from __future__ import annotations

import io
import socket
import uuid
from collections.abc import Iterator, Sequence
from functools import cache
from urllib.parse import urlsplit

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

BOUNDARY = "onescan-bench"

CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'

SIZE = 512
"""Rows and columns of 2 bytes each."""

DISTINCT = 16
"""Different slices; the others repeat their pixels."""

BUFFERS_AT_ONCE = 256
"""Handed to the kernel in one call; IOV_MAX is 1024."""


def study_body(slices: int) -> list[bytes]:
    """Make the body of a study of its own: UIDs that no server has seen.

    Returns
    -------
    list of bytes
        Which joined are the body; pixels are shared between slices, so it takes little memory.
    """
    root = f"2.25.{uuid.uuid4().int}"
    pixels = [_pixels(number) for number in range(DISTINCT)]
    head, tail = _template(root)
    out: list[bytes] = []
    for number in range(slices):
        own = head.replace(b"7777", b"%04d" % (number + 1000)).replace(
            b"-000.0", b"%06.1f" % (number * 0.5)
        )
        out += [
            f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode(),
            own,
            pixels[number % DISTINCT],
            tail,
            b"\r\n",
        ]
    return [*out, f"--{BOUNDARY}--\r\n".encode()]


def post(
    url: str, chunks: Sequence[bytes] | Iterator[bytes], *, length: int, headers: dict[str, str]
) -> int:
    """Send a body straight from memory and wait for the answer; gives its status.

    The client costs next to nothing, so that it is the server that is measured.
    """
    address = urlsplit(url)
    lines = {
        "Host": address.netloc,
        "Content-Length": str(length),
        "Connection": "close",
        **headers,
    }
    request = f"POST {address.path} HTTP/1.1\r\n" + "".join(
        f"{k}: {v}\r\n" for k, v in lines.items()
    )
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(request.encode() + b"\r\n")
        batch: list[memoryview] = []
        for chunk in chunks:
            batch.append(memoryview(chunk))
            if len(batch) == BUFFERS_AT_ONCE:
                _send(connection, batch)
                batch = []
        _send(connection, batch)
        answer = connection.makefile("rb").read()
    return int(answer.split(b" ", 2)[1])


def _send(connection: socket.socket, buffers: list[memoryview]) -> None:
    while buffers:
        sent = connection.sendmsg(buffers)
        while buffers and sent >= len(buffers[0]):
            sent -= len(buffers.pop(0))
        if sent:
            buffers[0] = buffers[0][sent:]


def _template(root: str) -> tuple[bytes, bytes]:
    """Write one slice; gives what stands before and after its pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{root}.2.7777"
    ds = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{root}.2.7777"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = f"{root}.0", f"{root}.1"
    ds.FrameOfReferenceUID = f"{root}.3"
    ds.PatientName, ds.PatientID, ds.PatientAge = "Bench^Ingest", "BENCH", "060Y"
    ds.StudyDate, ds.Modality, ds.Manufacturer = "20260101", "CT", "BENCH"
    ds.ImageType, ds.InstanceNumber, ds.KVP = ["ORIGINAL", "PRIMARY", "AXIAL"], "7777", "120"
    ds.ConvolutionKernel, ds.SliceThickness = "STANDARD", "0.5"
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.add_new(0x00200032, "DS", ["-192.0", "-192.0", "-000.0"])
    ds.PixelSpacing, ds.Rows, ds.Columns = [0.75, 0.75], SIZE, SIZE
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleSlope, ds.RescaleIntercept = "1", "-1024"
    mark = bytes(range(1, 256)) * (2 * SIZE * SIZE // 255 + 1)
    ds.PixelData = mark[: 2 * SIZE * SIZE]
    out = io.BytesIO()
    pydicom.dcmwrite(out, ds, enforce_file_format=True)
    head, found, tail = out.getvalue().partition(ds.PixelData)
    assert found
    return head, tail


@cache
def _pixels(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 4096, (SIZE, SIZE), dtype=np.uint16).tobytes()
