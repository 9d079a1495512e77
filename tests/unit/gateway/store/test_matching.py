"""Attribute matching of PS3.4 as conditions: what is a value, a list, a range, a wild card."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exceptions import InvalidQueryError, UnknownQueryKeyError
from gateway.store.folding import fold, name_groups
from gateway.store.matching import KEYS, Condition, condition_of


@pytest.mark.parametrize("keyword", sorted(KEYS))
@pytest.mark.parametrize("value", ["", "*", "  ", "\0"])
def test_universal_matching_is_no_condition(keyword: str, value: str) -> None:
    assert condition_of(keyword, value) is None


@pytest.mark.parametrize(
    ("keyword", "value", "condition"),
    [
        ("PatientID", "4711", Condition("s.patient_id = %s", ("4711",))),
        ("PatientID", "47*", Condition("s.patient_id LIKE %s", ("47%",))),
        ("PatientID", "4?1_1%", Condition("s.patient_id LIKE %s", (r"4_1\_1\%",))),
        ("StudyInstanceUID", "1.2.3", Condition("s.study_instance_uid = %s", ("1.2.3",))),
        (
            "SOPInstanceUID",
            "1.2.3\\1.2.4",
            Condition("i.sop_instance_uid = ANY(%s)", (["1.2.3", "1.2.4"],)),
        ),
        ("StudyDate", "20260101", Condition("s.study_date = %s", ("20260101",))),
        (
            "StudyDate",
            "20260101-20260131",
            Condition("s.study_date BETWEEN %s AND %s", ("20260101", "20260131")),
        ),
        ("StudyDate", "20260101-", Condition("s.study_date >= %s", ("20260101",))),
        ("StudyDate", "-20260131", Condition("s.study_date BETWEEN %s AND %s", ("0", "20260131"))),
        (
            "StudyTime",
            "1015",
            Condition("s.study_time BETWEEN %s AND %s", ("101500000000", "101559999999")),
        ),
        (
            "StudyTime",
            "10-101559.5",
            Condition("s.study_time BETWEEN %s AND %s", ("100000000000", "101559599999")),
        ),
        ("Modality", "CT\\MR", Condition("e.modality LIKE ANY(%s)", (["CT", "MR"],))),
        ("ModalitiesInStudy", "CT", Condition("s.modalities && %s::text[]", (["CT"],))),
        ("SeriesNumber", "2", Condition("e.series_number = %s", (2,))),
    ],
)
def test_a_value_becomes_its_condition(keyword: str, value: str, condition: Condition) -> None:
    assert condition_of(keyword, value) == condition


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("StudyDate", "2026"),
        ("StudyDate", "20260231"),
        ("StudyDate", "20260101-2026013"),
        ("StudyDate", "202601*"),
        ("StudyDate", "-"),
        ("StudyTime", "25"),
        ("StudyTime", "10:15"),
        ("StudyInstanceUID", "1.2.*"),
        ("StudyInstanceUID", "1.2.3\\"),
        ("StudyInstanceUID", "1." * 40 + "1"),
        ("SeriesNumber", "two"),
        ("PatientID", "a\\b"),
        ("PatientName", "a\x07b"),
        ("PatientName", "x" * 100_000),
    ],
)
def test_a_value_that_is_none_is_refused(keyword: str, value: str) -> None:
    with pytest.raises(InvalidQueryError):
        condition_of(keyword, value)


def test_an_attribute_that_is_not_matched_is_refused() -> None:
    with pytest.raises(UnknownQueryKeyError):
        condition_of("PixelData", "1")


def test_a_name_is_looked_for_in_each_group() -> None:
    """Case and accents aside; the value is no part of the statement."""
    condition = condition_of("PatientName", "MÜLLER*")
    assert condition is not None
    assert condition.values == ("muller%",) * 3
    assert condition.sql.count(" OR ") == 2


def test_groups_of_a_name_are_matched_each() -> None:
    condition = condition_of("PatientName", "yamada*=山田*")
    assert condition is not None
    assert condition.values == ("yamada%", "山田%")
    assert " OR " not in condition.sql


def test_names_fold_alike() -> None:
    assert name_groups("DOE^Jane^^^") == name_groups("doe^JANE") == ("doe^jane", "", "")
    assert name_groups("Yamada^Tarou=山田^太郎=やまだ^たろう")[1:] == ("山田^太郎", "やまだ^たろう")
    assert fold("Straße Ångström") == "strasse angstrom"
    assert fold("が") != fold("か")
    assert name_groups(None) == ("", "", "")
    assert name_groups(["A^B", "C"])[0] == "a^b"


@given(st.text(max_size=40))
def test_a_fold_is_folded_already(text: str) -> None:
    """What is stored and what is asked meet, however often either is folded."""
    assert fold(fold(text)) == fold(text)


@given(st.sampled_from(sorted(KEYS)), st.text(max_size=60))
def test_no_value_reaches_the_statement(keyword: str, value: str) -> None:
    """Whatever is asked, it is a parameter."""
    mark = "zq9'"
    try:
        condition = condition_of(keyword, value + mark)
    except InvalidQueryError:
        return
    assert condition is not None
    assert mark not in condition.sql
    assert condition.values
