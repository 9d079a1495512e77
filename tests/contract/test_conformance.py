"""docs/conformance.md says what the software does."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.dimse import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME, server, status
from gateway.dimse.pdu import INVALID_PARAMETER, NOT_SPECIFIED, UNEXPECTED_PDU, UNRECOGNISED_PDU
from gateway.dimse.retrieved_classes import retrieval_contexts
from gateway.dimse.syntaxes import STORAGE_CLASSES, TRANSFER_SYNTAXES
from gateway.exceptions import InstanceError
from gateway.settings import DimseSettings

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "conformance.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """Give the text below a heading, up to the next one of its depth."""
    depth = title.split(" ")[0]
    after = TEXT.split(f"\n{title}", 1)[1]
    return re.split(rf"\n{depth} ", after)[0]


def rows(text: str) -> dict[str, str]:
    """Give a table's first column, without its ticks, and its second."""
    return dict(re.findall(r"^\| `?([^|`]+?)`? \| ([^|]*?) \|", text, flags=re.MULTILINE))


def test_storage_classes_are_those_of_the_code() -> None:
    """Each UID with its name, and no other."""
    told = {uid: name for uid, name in rows(section("## 3 ")).items() if uid[0].isdigit()}
    assert told == {uid: name for name, uid in STORAGE_CLASSES.items()}


def test_transfer_syntaxes_are_those_of_the_code_and_in_their_order() -> None:
    """The order is what the choice among uncompressed ones goes by."""
    told = {uid: name for uid, name in rows(section("## 4 ")).items() if uid[0].isdigit()}
    assert list(told.items()) == list(TRANSFER_SYNTAXES.items())


def test_the_implementation_and_the_defaults() -> None:
    """Class UID, version name, AE title, PDU length, number of associations, contexts of C-GET."""
    defaults = DimseSettings()
    policies = section("### 2.1 ")
    for told in (IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME):
        assert f"`{told}`" in policies
    assert f"`{defaults.max_pdu_bytes}` (`ONESCAN_DIMSE__MAX_PDU_BYTES`)" in policies
    assert f"`{defaults.max_associations}` (`ONESCAN_DIMSE__MAX_ASSOCIATIONS`)" in policies
    assert f"`{defaults.ae_title}` (`ONESCAN_DIMSE__AE_TITLE`)" in section("## 2 ")
    assert f"For C-GET {len(retrieval_contexts())} storage contexts" in section("### 2.5 ")


def test_rejections_and_aborts_are_those_of_the_code() -> None:
    """Result, source, reason of each."""
    told = {key for key in rows(section("### 2.1 ")) if re.fullmatch(r"[0-9, ]+", key)}
    rejections = {
        ", ".join(map(str, value))
        for name, value in vars(server).items()
        if name.isupper() and isinstance(value, tuple) and len(value) == 3
    }
    reasons = (NOT_SPECIFIED, UNRECOGNISED_PDU, UNEXPECTED_PDU, INVALID_PARAMETER)
    assert told == rejections | {f"2, {reason}" for reason in reasons} | {"0, 0"}


def test_every_status_of_a_store_is_told() -> None:
    """Those that an error may become, success and the two of the service itself."""
    kinds = [InstanceError]
    for kind in kinds:
        kinds.extend(kind.__subclasses__())
    elsewhere = {0x0110}  # of a STOW request's address; told as processing failure here too
    codes = {kind.failure_reason for kind in kinds} - elsewhere
    codes |= {status.SUCCESS, status.OUT_OF_RESOURCES, status.PROCESSING_FAILURE}
    codes |= {status.CLASS_NOT_SUPPORTED}
    assert set(rows(section("### 2.3 "))) - {"status"} - {"---"} == {f"{c:04X}" for c in codes}
