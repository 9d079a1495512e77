"""Our own results are known when they come back, and nothing else is taken for them."""

from __future__ import annotations

import pytest

from gateway.instance import Instance
from gateway.intake.header import read_header
from gateway.own_results import is_own_result
from gateway.screening.choosing import choose_for_checks
from gateway.screening.manifest_reader import load_manifests
from gateway.settings import ROOT, ScreeningSettings
from tests.ct_files import part10, slices

CT = "1.2.840.10008.5.1.4.1.1.2"


def an_instance(sop_class: str, **attributes: str) -> Instance:
    return Instance(
        study_instance_uid="1.2",
        series_instance_uid="1.2.1",
        sop_instance_uid=f"1.2.1.{sop_class[-1]}",
        sop_class_uid=sop_class,
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        attributes=dict(attributes),
    )


@pytest.mark.parametrize(
    ("sop_class", "attributes", "ours"),
    [
        ("1.2.840.10008.5.1.4.1.1.88.33", {"Manufacturer": "OneScan"}, True),
        ("1.2.840.10008.5.1.4.1.1.88.34", {"ManufacturerModelName": "OneScan 0.1"}, True),
        ("1.2.840.10008.5.1.4.1.1.66.4", {"Manufacturer": "ONESCAN"}, True),
        ("1.2.840.10008.5.1.4.1.1.7", {"Manufacturer": "OneScan"}, True),
        ("1.2.840.10008.5.1.4.1.1.7.4", {"Manufacturer": "OneScan"}, True),
        ("1.2.840.10008.5.1.4.1.1.66.4", {"Manufacturer": "QIICR"}, False),
        ("1.2.840.10008.5.1.4.1.1.88.33", {}, False),
        ("1.2.840.10008.5.1.4.1.1.88.33", {"Manufacturer": ["OneScan"]}, False),
        ("1.2.840.10008.5.1.4.1.1.77.1.1", {"Manufacturer": "OneScan"}, False),
        (CT, {"Manufacturer": "OneScan"}, False),
    ],
)
def test_only_derived_objects_of_ours_are_own_results(
    sop_class: str, attributes: dict[str, str], ours: bool
) -> None:
    """Maker and SOP class must both say so: a phantom's CT is an image whoever made it."""
    assert is_own_result(an_instance(sop_class, **attributes)) is ours


def test_a_study_of_nothing_else_is_answered_with_its_reason() -> None:
    """Every check says only_results, and no series is described as a candidate."""
    manifests = load_manifests(ROOT / "model_repository")
    own = an_instance("1.2.840.10008.5.1.4.1.1.66.4", Manufacturer="OneScan", Modality="SEG")
    chosen = choose_for_checks([own], manifests, ["liver", "aorta"], ScreeningSettings())
    assert {step.check: step.reason for step in chosen.skipped} == {
        "liver": "only_results",
        "aorta": "only_results",
    }
    assert not chosen.described


def test_own_results_beside_images_change_nothing() -> None:
    """Neither the choice nor the series that are told."""
    manifests = load_manifests(ROOT / "model_repository")
    images = [read_header(part10(ds)) for ds in slices(12)]
    own = an_instance(
        "1.2.840.10008.5.1.4.1.1.7", Manufacturer="OneScan", Modality="CT", PatientID="other"
    )
    alone, beside = (
        choose_for_checks(given, manifests, ["liver"], ScreeningSettings())
        for given in (images, [*images, own])
    )
    assert alone.described == beside.described
    assert alone.choices == beside.choices
    assert [step.reason for step in alone.skipped] == [step.reason for step in beside.skipped]
