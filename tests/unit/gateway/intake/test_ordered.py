"""What was ordered is read from an instance's header, wherever it stands."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset

from gateway.intake.attributes import REQUEST_ATTRIBUTES
from gateway.intake.header import read_header
from gateway.intake.stat_rule import RULE_ATTRIBUTES, StatRule
from tests.ct_files import part10, slices


def code(value: str, meaning: str) -> Dataset:
    ds = Dataset()
    ds.CodeValue, ds.CodingSchemeDesignator, ds.CodeMeaning = value, "99LOCAL", meaning
    return ds


def with_order() -> Dataset:
    [ds] = slices(1)
    request = Dataset()
    request.RequestedProcedureDescription = "CT Thorax Aortendissektion"
    request.RequestedProcedurePriority = "STAT"
    request.ScheduledProtocolCodeSequence = [code("P1", "Aorta"), code("P2", "Chest")]
    ds.RequestAttributesSequence = [request]
    ds.ProcedureCodeSequence = [code("CTA", "CT angiography")]
    ds.InstitutionalDepartmentName = "Emergency"
    return ds


def test_the_order_is_kept_and_rules_find_it() -> None:
    """At the top level, in the request's items, and codes inside of these."""
    kept = read_header(part10(with_order())).attributes
    assert kept["ProcedureCodeSequence.CodeValue"] == ["CTA"]
    inside = "RequestAttributesSequence.ScheduledProtocolCodeSequence"
    assert kept[f"{inside}.CodeMeaning"] == ["Aorta", "Chest"]
    for name, pattern in (
        ("RequestedProcedureDescription", "*aort*"),
        ("RequestedProcedurePriority", "stat"),
        ("ScheduledProtocolCodeSequence.CodeValue", "P2"),
        ("ProcedureCodeSequence.CodeMeaning", "*angio*"),
        ("InstitutionalDepartmentName", "emergency"),
    ):
        assert name in RULE_ATTRIBUTES
        assert StatRule(((name, pattern),)).holds(kept)


def test_a_broken_sequence_does_not_refuse_the_image() -> None:
    """What cannot be read of the order is left out; the instance is taken."""
    data = bytearray(part10(with_order()))
    tag = struct.pack("<HH", REQUEST_ATTRIBUTES >> 16, REQUEST_ATTRIBUTES & 0xFFFF)
    at = data.index(tag) + 12
    assert data[at : at + 4] == b"\xfe\xff\x00\xe0"
    data[at + 8 : at + 16] = b"\xff" * 8
    kept = read_header(bytes(data)).attributes
    assert not [name for name in kept if name.startswith("RequestAttributesSequence")]
    assert kept["InstitutionalDepartmentName"] == "Emergency"
