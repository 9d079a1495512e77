"""The partners file: who is meant, what is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway.exceptions import PartnersError
from gateway.intake.partners import Partner, Partners
from gateway.intake.partners_reader import load_partners, read_partners
from gateway.intake.remotes import DicomwebSource, S3Source
from gateway.intake.stat_rule import RULE_ATTRIBUTES, StatRule
from gateway.settings import IntakeSettings, Settings

ROOT = Path(__file__).resolve().parents[4]

WHOLE = """
[partners.radiology]
tenant = "default"
ae_titles = ["CT1", "PACS "]
addresses = ["10.0.0.0/8", "2001:db8::/32"]
keys = ["main"]
checks = ["liver", "nodule"]
lane = "backfill"
exam_context = "screening"
quiet_seconds = 60
[[partners.radiology.stat]]
RequestedProcedureDescription = "*aort*"
Modality = "CT"
[[partners.radiology.stat]]
RequestedProcedureCodeSequence.CodeValue = "CTA[1]?"

[partners.rest]
keys = []

[partners.clinic]
tenant = "other"
ae_titles = ["CT9"]

[archives.main]
tenants = ["default"]
host = "pacs.example.org"
port = 104
[archives.main.limits]
hours = "20:00-06:00"

[sources.central]
tenants = ["default", "other"]
url = "https://pacs.example.org/dicom-web/"
[sources.lake]
tenants = ["other"]
bucket = "studies"
"""


def read(tmp_path: Path, text: str) -> Partners:
    file = tmp_path / "partners.toml"
    file.write_text(text, encoding="utf-8")
    return read_partners(file)


def test_every_key_is_read(tmp_path: Path) -> None:
    """What the file says is what the profile holds."""
    made = read(tmp_path, WHOLE)
    radiology = made.partners["radiology"]
    assert radiology.ae_titles == ("CT1", "PACS")
    assert (radiology.lane, radiology.exam_context) == ("backfill", "screening")
    assert (radiology.checks, radiology.quiet_seconds) == (("liver", "nodule"), 60.0)
    assert made.partners["clinic"].checks is None
    assert made.archives["main"].raw == {
        "host": "pacs.example.org",
        "port": 104,
        "limits": {"hours": "20:00-06:00"},
    }
    central, lake = made.sources["central"], made.sources["lake"]
    assert isinstance(central, DicomwebSource)
    assert central.url == "https://pacs.example.org/dicom-web"
    assert isinstance(lake, S3Source)


@pytest.mark.parametrize(
    ("calling", "address", "name"),
    [
        ("CT1", "10.2.3.4", "radiology"),
        ("PACS", "::ffff:10.2.3.4", "radiology"),
        ("PACS", "2001:db8::7", "radiology"),
        ("CT1", "192.168.0.1", None),
        ("CT1", "not an address", None),
        ("ct1", "10.2.3.4", None),
        ("CT9", "192.168.0.1", "clinic"),
        ("CT2", "10.2.3.4", None),
    ],
)
def test_an_association_is_known_by_title_and_address(
    tmp_path: Path, calling: str, address: str, name: str | None
) -> None:
    """Both have to fit; nobody else is taken for a partner."""
    partner = read(tmp_path, WHOLE).for_ae("ONESCAN", calling, address)
    assert (partner.name if partner else None) == name


def test_one_title_may_call_two_of_ours(tmp_path: Path) -> None:
    """Tenants are told apart by the AE title that is called."""
    made = read(
        tmp_path,
        '[partners.a]\nae_titles = ["CT1"]\ncalled = ["ONE"]\n'
        '[partners.b]\ntenant = "other"\nae_titles = ["CT1"]\ncalled = ["TWO"]\n',
    )
    found = [made.for_ae(called, "CT1", "10.0.0.1") for called in ("ONE", "TWO", "THREE")]
    assert [partner and partner.tenant for partner in found] == ["default", "other", None]


@pytest.mark.parametrize(
    ("tenant", "key", "name"),
    [
        ("default", "main", "radiology"),
        ("default", "lab", "rest"),
        ("other", "main", "default"),
        ("nobody", "main", "default"),
    ],
)
def test_a_key_is_known_within_its_tenant(tmp_path: Path, tenant: str, key: str, name: str) -> None:
    """A key of the same name of another tenant gets nothing of this profile."""
    partner = read(tmp_path, WHOLE).for_key(tenant, key)
    assert (partner.name, partner.tenant) == (name, tenant)


def test_a_partner_of_another_tenant_is_not_found_by_name(tmp_path: Path) -> None:
    """Nor one that has gone from the file: the built-in profile takes its place."""
    made = read(tmp_path, WHOLE)
    assert made.named("other", "clinic").name == "clinic"
    assert made.named("default", "clinic") == Partner(name="default", tenant="default")
    assert made.named("default", "gone") == Partner(name="default", tenant="default")


@pytest.mark.parametrize("mode", ["single", "double", "teaching"])
def test_a_profile_says_how_its_readers_review(tmp_path: Path, mode: str) -> None:
    """People who sign in are named as their tokens name them."""
    made = read(tmp_path, f'[partners.p]\nkeys = ["oidc:anna"]\nreview = "{mode}"\n')
    assert made.for_key("default", "oidc:anna").review == mode
    assert made.for_key("default", "oidc:ben").review == "single"


@pytest.mark.parametrize(
    "text", ['keys = []\nreview = "triple"', 'ae_titles = ["CT1"]\nreview = "double"']
)
def test_a_review_that_nobody_could_write_is_refused(tmp_path: Path, text: str) -> None:
    """Another word, or a profile without keys."""
    with pytest.raises(PartnersError, match="review"):
        read(tmp_path, f"[partners.p]\n{text}\n")


def test_without_a_file_there_is_the_built_in_profile(tmp_path: Path) -> None:
    """And no partner by DIMSE."""
    made = load_partners(Settings(home=tmp_path))
    assert made.for_ae("ONESCAN", "CT1", "127.0.0.1") is None
    assert made.for_key("default", "default") == Partner(name="default", tenant="default")


def test_the_home_s_file_is_found_and_a_named_one_must_be_there(tmp_path: Path) -> None:
    """A path in the settings that leads nowhere is no empty file."""
    (tmp_path / "partners.toml").write_text(WHOLE, encoding="utf-8")
    assert "radiology" in load_partners(Settings(home=tmp_path)).partners
    lost = Settings(home=tmp_path, intake=IntakeSettings(partners=str(tmp_path / "lost.toml")))
    with pytest.raises(PartnersError, match=r"lost\.toml cannot be read"):
        load_partners(lost)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[partners.a]\nkeys = [", "is not TOML"),
        ("[partner.a]\nkeys = []", "unknown key partner"),
        ('[partners.a]\nkeys = []\nlanes = "stat"', r"\[partners\] \[a\]: unknown key lanes"),
        ('[partners.a]\nkeys = []\nlane = "now"', "lane is 'now', not one of stat"),
        ('[partners.a]\nkeys = "main"', "keys is 'main', which is of the wrong type"),
        ("[partners.a]\nkeys = []\nquiet_seconds = true", "quiet_seconds is True"),
        ("[partners.a]\nkeys = []\nquiet_seconds = -1", "quiet_seconds is not between"),
        ("[partners.a]\nkeys = []\nquiet_seconds = nan", "quiet_seconds is not between"),
        ("[partners.a]\nkeys = []\nchecks = []", "checks is empty"),
        ('[partners.a]\nkeys = []\nresults = ["pdf"]', "results holds 'pdf'; known are sr, seg"),
        ('[partners.a]\nkeys = []\nsend_results_to = "b"', "says nothing without results"),
        (
            '[partners.a]\nkeys = []\nresults = ["sr"]\nsend_results_to = "b"',
            "names b, which is no",
        ),
        (
            '[partners.a]\nkeys = []\nresults = ["sr"]\nsend_results_to = "b"\n'
            '[archives.b]\ntenants = ["other"]',
            "names b, which the tenant default may not use",
        ),
        (
            '[partners.a]\nkeys = []\nresults = ["sr"]\nsend_results_to = "b"\n'
            '[archives.b]\ntenants = ["default"]\n'
            '[sources.b]\ntenants = ["default"]\nurl = "https://pacs.example/dicom-web"',
            "names b, which is an archive and a source",
        ),
        (
            '[partners.a]\nkeys = []\nresults = ["sr"]\nsend_results_to = "b"\n'
            '[sources.b]\ntenants = ["default"]\nbucket = "b"',
            "names b, which is no archive and no source with a url",
        ),
        ('[partners.a]\nlane = "stat"', "nobody would ever be meant"),
        ('[partners.a]\nkeys = []\naddresses = ["10.0.0.0/8"]', "without ae_titles"),
        ('[partners.a]\nae_titles = ["A TITLE TOO LONG X"]', "no AE title"),
        ('[partners.a]\nae_titles = ["A"]\naddresses = ["10.0.0.1/8"]', "has host bits set"),
        ("[partners.default]\nkeys = []", "built-in profile"),
        ('[partners.a]\nkeys = []\n[[partners.a.stat]]\nPatientName = "*x*"', "PatientName"),
        ('[partners.a]\nkeys = []\n[[partners.a.stat]]\nModality = "*"', "matches everything"),
        ("[partners.a]\nkeys = []\n[[partners.a.stat]]\nModality = 1", "wrong type"),
        ("[partners.a]\nkeys = []\n[[partners.a.stat]]\n", "would hold for every study"),
        (
            '[partners.a]\nae_titles = ["X"]\n[partners.b]\nae_titles = ["X"]\ncalled = ["Y"]',
            r"\[partners.b\] and \[partners.a\] both have X in ae_titles",
        ),
        (
            '[partners.a]\nkeys = ["k"]\n[partners.b]\nkeys = ["k"]',
            "both have k in keys",
        ),
        ("[partners.a]\nkeys = []\n[partners.b]\nkeys = []", "every key of the tenant"),
        ('[sources.a]\nurl = "https://x"', "tenants is missing"),
        ('[sources.a]\ntenants = ["t"]', r"url \(DICOMweb\) or bucket \(S3\) is missing"),
        ('[sources.a]\ntenants = ["t"]\nurl = "file:///etc"', "no http or https address"),
        ('[sources.a]\ntenants = ["t"]\nurl = "http://u:p@h"', "no http or https address"),
        ('[sources.a]\ntenants = ["t"]\nurl = "http://h:0"', "no http or https address"),
        ('[sources.a]\ntenants = ["t"]\nbucket = "b"\nurl = "http://h"', "unknown key bucket"),
        ('[sources.a]\ntenants = ["t"]\nbucket = "b"\naccess_key_id = "k"', "go together"),
        ('[archives.a]\nhost = "h"', "tenants is missing"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    """One error with file, table and key."""
    with pytest.raises(PartnersError, match=said) as caught:
        read(tmp_path, text)
    assert "partners.toml" in str(caught.value)


@pytest.mark.parametrize(
    ("attributes", "holds"),
    [
        ({"StudyDescription": "CT Aorta thoracic"}, True),
        ({"StudyDescription": ["Skull", "AORTA"]}, True),
        ({"RequestAttributesSequence.StudyDescription": ["CTA AORTA"]}, True),
        ({"StudyDescription": "liver"}, False),
        ({}, False),
    ],
)
def test_a_pattern_matches_any_value_of_either_case(
    attributes: dict[str, object], holds: bool
) -> None:
    """At the top level and in the request's items."""
    assert StatRule((("StudyDescription", "*aort*"),)).holds(attributes) is holds


def test_a_rule_holds_when_all_its_attributes_match() -> None:
    """And a bracket is a bracket, not a set of characters."""
    rule = StatRule((("Modality", "CT"), ("StationName", "R[1]?")))
    assert rule.holds({"Modality": "CT", "StationName": "r[1]b"})
    assert not rule.holds({"Modality": "CT", "StationName": "R1b"})
    assert not rule.holds({"Modality": "MR", "StationName": "R[1]b"})
    assert not rule.holds({"Modality": "CTX", "StationName": "R[1]b"})


@pytest.mark.timeout(5)
def test_no_text_can_make_a_rule_slow() -> None:
    """Twenty wildcards and a long text of a sender that nearly matches."""
    rule = StatRule((("StudyDescription", "*a" * 20 + "*b"),))
    assert not rule.holds({"StudyDescription": "a" * 1024})


def test_the_docs_name_every_attribute_of_a_rule() -> None:
    """docs/partners.md lists what a rule may ask about."""
    text = (ROOT / "docs" / "partners.md").read_text(encoding="utf-8")
    words = {part for name in RULE_ATTRIBUTES for part in name.split(".")}
    assert not {word for word in words if not re.search(rf"`{word}`", text)}
