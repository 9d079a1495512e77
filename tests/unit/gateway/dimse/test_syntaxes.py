"""Which contexts are accepted, and in which transfer syntax."""

from __future__ import annotations

import io

import pydicom
import pytest
from pydicom.uid import UID_dictionary

from gateway.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from gateway.dimse.part10 import part10_head
from gateway.dimse.retrieved_classes import retrieval_contexts
from gateway.dimse.syntaxes import (
    EXPLICIT,
    IMPLICIT,
    STORAGE_CLASSES,
    TRANSFER_SYNTAXES,
    choose_syntax,
    is_storage,
    is_uid,
)

J2K, BIG = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.2"
CT = STORAGE_CLASSES["CTImageStorage"]


def test_every_storage_class_of_the_tables_is_taken() -> None:
    """And each transfer syntax that we name is one of the standard."""
    assert len(STORAGE_CLASSES) > 150
    assert all(map(is_storage, STORAGE_CLASSES.values()))
    known = {uid for uid, entry in UID_dictionary.items() if entry[1] == "Transfer Syntax"}
    assert set(TRANSFER_SYNTAXES) <= known


@pytest.mark.parametrize(
    "uid",
    [
        "1.2.840.10008.1.1",
        "1.2.840.10008.5.1.4.31",
        "1.2.840.10008.5.1.4.1.2.2.1",
        "1.2.840.10008.1.20.1",
        "1.2.840.10008.5.1.1.1",
        "1.2.840.10008.5.1.4.1.1.200.4",  # inventory find, below the root of storage
        "",
        "nonsense",
    ],
)
def test_other_services_are_no_storage(uid: str) -> None:
    """Whatever else the standard has is not taken for an object."""
    assert not is_storage(uid)


def test_private_and_future_classes_are_storage() -> None:
    """Under another root, or newer than the tables."""
    assert is_storage("1.3.12.2.1107.5.9.1")
    assert is_storage("1.2.840.10008.5.1.4.1.1.999.7")


@pytest.mark.parametrize(
    ("proposed", "chosen"),
    [
        ([EXPLICIT], EXPLICIT),
        ([IMPLICIT, EXPLICIT], EXPLICIT),
        ([BIG, IMPLICIT], IMPLICIT),
        ([J2K, EXPLICIT], J2K),
        ([EXPLICIT, J2K], EXPLICIT),
        (["1.2.3.4", J2K], J2K),
        (["1.2.840.10008.1.2.4.94"], None),
        ([], None),
    ],
)
def test_the_sender_s_first_choice_is_taken(proposed: list[str], chosen: str | None) -> None:
    """Among uncompressed ones ours."""
    assert choose_syntax(CT, proposed) == chosen


def test_verification_is_never_compressed() -> None:
    """Only storage takes compressed syntaxes."""
    assert choose_syntax("1.2.840.10008.1.1", [J2K]) is None


def test_a_retrieval_fits_into_one_association() -> None:
    """At most 128 contexts, one of them the query's."""
    contexts = retrieval_contexts()
    assert len(contexts) < 128
    assert {CT} < {uid for uid, _ in contexts} <= set(STORAGE_CLASSES.values())


def test_the_head_of_a_file_is_one_that_pydicom_reads() -> None:
    """Preamble, group length, and what the association says."""
    head = part10_head(
        sop_class_uid=CT,
        sop_instance_uid="1.2.3",
        transfer_syntax_uid=J2K,
        calling="SCANNER",
        called="ONESCAN",
    )
    meta = pydicom.dcmread(io.BytesIO(head)).file_meta
    assert meta.FileMetaInformationGroupLength == len(head) - 144
    assert (meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID) == (CT, "1.2.3")
    assert meta.TransferSyntaxUID == J2K
    assert meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID
    assert meta.ImplementationVersionName == IMPLEMENTATION_VERSION_NAME
    assert (meta.SourceApplicationEntityTitle, meta.ReceivingApplicationEntityTitle) == (
        "SCANNER",
        "ONESCAN",
    )
    assert is_uid(IMPLEMENTATION_CLASS_UID)
    assert len(IMPLEMENTATION_VERSION_NAME) <= 16
