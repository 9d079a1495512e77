"""Storage Commitment Push Model (PS3.4, annex J): what is asked, and the result."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from gateway.dimse.status import CLASS_CONFLICT, NO_SUCH_INSTANCE
from gateway.dimse.syntaxes import IMPLICIT
from gateway.exceptions import DimseError
from gateway.intake.header import is_uid
from gateway.store.commitments import Commitment, held
from gateway.store.database import Connection

ASK: Final = 1
"""Action Type of a request for commitment."""

ALL_HELD, SOME_MISSING = 1, 2
"""Event Types of the result."""

MAX_REQUEST_BYTES = 8 * 1024**2
"""Some 50,000 references."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request for commitment."""

    transaction_uid: str
    references: Mapping[str, str] = field(repr=False)
    """SOP Instance UID → SOP Class UID."""


def read_request(data: bytes, transfer_syntax: str) -> Asked:
    """Read the data set of the N-ACTION; blocks.

    Raises
    ------
    DimseError
        When Transaction UID or references are missing or no UIDs.
    """
    try:
        dataset = dcmread(io.BytesIO(_file(data, transfer_syntax)), force=True)
        transaction = str(dataset.TransactionUID)
        references = {
            str(item.ReferencedSOPInstanceUID): str(item.ReferencedSOPClassUID)
            for item in dataset.ReferencedSOPSequence
        }
    except Exception as error:  # hostile bytes; that they cannot be read is all that matters
        raise DimseError(
            f"The request for commitment cannot be read ({type(error).__name__})."
        ) from error
    if not references or not all(
        map(is_uid, (transaction, *references.keys(), *references.values()))
    ):
        raise DimseError("The request for commitment has no references, or what are no UIDs.")
    return Asked(transaction, references)


async def result_of(connection: Connection, commitment: Commitment) -> tuple[int, Dataset]:
    """Judge a request by the index.

    Returns
    -------
    int
        Event Type.
    Dataset
        Event Information.
    """
    known = await held(connection, commitment.tenant, list(commitment.references))
    committed, failed = [], []
    for instance, sop_class in commitment.references.items():
        item = Dataset()
        item.ReferencedSOPClassUID = sop_class
        item.ReferencedSOPInstanceUID = instance
        if sop_class in known.get(instance, ()):
            committed.append(item)
        else:
            item.FailureReason = CLASS_CONFLICT if instance in known else NO_SUCH_INSTANCE
            failed.append(item)
    result = Dataset()
    result.TransactionUID = commitment.transaction_uid
    if committed:
        result.ReferencedSOPSequence = committed
    if failed:
        result.FailedSOPSequence = failed
    return (SOME_MISSING if failed else ALL_HELD), result


def encode(dataset: Dataset, transfer_syntax: str) -> bytes:
    """Write a data set in one of the uncompressed little endian or big endian syntaxes."""
    file = DicomBytesIO()
    file.is_implicit_VR = transfer_syntax == IMPLICIT
    file.is_little_endian = transfer_syntax != "1.2.840.10008.1.2.2"
    write_dataset(file, dataset)
    return bytes(file.getvalue())


def _file(data: bytes, transfer_syntax: str) -> bytes:
    from gateway.dimse.part10 import part10_head

    head = part10_head(
        sop_class_uid="",
        sop_instance_uid="",
        transfer_syntax_uid=transfer_syntax,
        calling="",
        called="",
    )
    return head + data
