"""A quick C-STORE sender: one association, prepared data sets, no toolkit in its loop.

``python -m loadtests.dimse_sender PORT COUNT`` sends COUNT instances of 512×512×2 bytes, one after
the other, and prints the seconds between the first command and the last response as JSON.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import time
from collections.abc import Sequence

import numpy as np
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import generate_uid
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)
from pynetdicom.presentation import build_context

from gateway.dimse.command import decode_command, encode_command
from gateway.dimse.pdu import ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, fragments, values

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CALLING = "MODALITY"

MAX_PDU_BYTES = 16384
"""What we take in one PDU."""


class NotAcceptedError(ConnectionError):
    """The association was not accepted."""

    def __init__(self, kind: int, body: bytes) -> None:
        super().__init__(f"The association was not accepted: {kind} {body.hex()}")
        self.is_transient = kind == ASSOCIATE_RJ and body[1:2] == b"\x02"
        """Whether one may ask again."""


class Sender:
    """One association."""

    def __init__(self, port: int, *, host: str = "127.0.0.1", calling: str = CALLING) -> None:
        self._socket = socket.create_connection((host, port), 30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb")
        self.send(request(calling))
        kind, body = self.read()
        if kind != ASSOCIATE_AC:
            self.close()
            raise NotAcceptedError(kind, body)
        at = body.index(b"\x51\x00\x00\x04")  # the maximum length item
        (self._max_pdu,) = struct.unpack_from(">I", body, at + 4)

    def message(self, number: int, uid: str, data: bytes) -> list[bytes]:
        """Prepare a C-STORE as PDUs."""
        command = {
            0x0002: CT_IMAGE,
            0x0100: 1,
            0x0110: number % 0xFFFF + 1,
            0x0700: 0,
            0x0800: 1,
            0x1000: uid,
        }
        size = self._max_pdu
        return [
            *fragments(1, encode_command(command), is_command=True, max_pdu_bytes=size),
            *fragments(1, data, is_command=False, max_pdu_bytes=size),
        ]

    def store(self, message: list[bytes]) -> int:
        """Send a prepared message and give the status of its response."""
        self.send(b"".join(message))
        kind, body = self.read()
        if kind != P_DATA:
            raise ConnectionError(f"A PDU of type {kind} came instead of the response.")
        [value] = values(body)
        status = decode_command(bytes(value.data))[0x0900]
        assert isinstance(status, int)
        return status

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(data)

    def release(self) -> None:
        """End the association as one should."""
        self.send(struct.pack(">BBII", 5, 0, 4, 0))
        self.read()
        self.close()

    def read(self) -> tuple[int, bytes]:
        """Read a PDU: its type and its body; type 0 at the end of the connection."""
        head = self._file.read(6)
        if len(head) < 6:
            return 0, b""
        kind, _, length = struct.unpack(">BBI", head)
        return kind, self._file.read(length)

    def close(self) -> None:
        """Close the connection, whatever the association is at."""
        self._file.close()
        self._socket.close()

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def request(
    calling: str, contexts: Sequence[tuple[str, Sequence[str]]] = ((CT_IMAGE, (EXPLICIT,)),)
) -> bytes:
    """Write an association request, for CT images in explicit VR little endian unless told.

    Parameters
    ----------
    contexts : sequence of (str, sequence of str)
        Abstract syntaxes, each with its transfer syntaxes; numbered 1, 3, 5, …
    """
    primitive = A_ASSOCIATE()
    primitive.application_context_name = "1.2.840.10008.3.1.1.1"
    primitive.calling_ae_title, primitive.called_ae_title = calling, "ONESCAN"
    proposed = [build_context(abstract, list(syntaxes)) for abstract, syntaxes in contexts]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    primitive.presentation_context_definition_list = proposed
    length = MaximumLengthNotification()
    length.maximum_length_received = MAX_PDU_BYTES
    implementation = ImplementationClassUIDNotification()
    implementation.implementation_class_uid = "1.2.3.4"
    primitive.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def data_sets(count: int, size: int = 512, *, seed: str = "") -> list[tuple[str, bytes]]:
    """Make the data sets of one series: SOP Instance UID and bytes; a seed gives the same UIDs."""
    pixels = np.random.default_rng(5).integers(0, 2000, (size, size)).astype("<i2").tobytes()
    sources = [[f"{seed}/{level}"] if seed else None for level in ("study", "series", "frame")]
    study, series, frame = (generate_uid(entropy_srcs=source) for source in sources)
    made = []
    for index in range(count):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = CT_IMAGE, f"{series[:50]}.{index}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.FrameOfReferenceUID = study, series, frame
        ds.PatientName, ds.PatientID, ds.Modality = "Bench^One", "B1", "CT"
        ds.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        ds.InstanceNumber, ds.SliceThickness = str(index), "1"
        ds.ImagePositionPatient = [-200, -200, index]
        ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.Rows, ds.Columns = [0.7, 0.7], size, size
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.RescaleIntercept, ds.RescaleSlope = "-1024", "1"
        ds.PixelData = pixels
        ds["PixelData"].VR = "OW"
        file = DicomBytesIO()
        file.is_little_endian, file.is_implicit_VR = True, False
        write_dataset(file, ds)
        made.append((str(ds.SOPInstanceUID), file.getvalue()))
    return made


def main(port: int, count: int) -> None:
    """Send and print."""
    sender = Sender(port)
    warm = data_sets(5)
    for number, (uid, data) in enumerate(warm):
        assert sender.store(sender.message(number, uid, data)) == 0
    messages = [sender.message(n, uid, data) for n, (uid, data) in enumerate(data_sets(count))]
    times = []
    started = time.perf_counter()
    for message in messages:
        begun = time.perf_counter()
        assert sender.store(message) == 0
        times.append(time.perf_counter() - begun)
    seconds = time.perf_counter() - started
    sender.release()
    size = sum(len(part) for message in messages for part in message)
    print(json.dumps({"seconds": seconds, "bytes": size, "times": times}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
