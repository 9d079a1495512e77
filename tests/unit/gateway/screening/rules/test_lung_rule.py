"""Which lung rule applies follows the context and the patient."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.screening.rules.lung_rule import (
    EXAM_CONTEXTS,
    NO_RULE,
    WHY_NO_RULE,
    assess_nodules,
    lung_rule,
)
from gateway.screening.rules.nodule import Nodule, Size

WELL: dict[str, Any] = {"age_years": 50, "known_cancer": False, "immunosuppressed": False}
NOBODY: dict[str, Any] = dict.fromkeys(WELL)
FOUND = [Nodule(kind="solid", size=Size(long_mm=7, short_mm=7))]


def test_screening_follows_the_site() -> None:
    """Lung-RADS unless the site chose C-Lung-RADS, whoever the patient is."""
    assert lung_rule("screening", **NOBODY).rule == "lung_rads_2022"
    chosen = lung_rule("screening", **NOBODY, screening_rule="c_lung_rads")
    assert chosen.rule == "c_lung_rads"


@pytest.mark.parametrize(
    ("changed", "rule", "basis"),
    [
        ({}, "fleischner_2017", "incidental"),
        ({"age_years": 35}, "fleischner_2017", "incidental"),
        ({"age_years": 34.9}, NO_RULE, "age_under_35"),
        ({"known_cancer": True}, NO_RULE, "known_cancer"),
        ({"immunosuppressed": True}, NO_RULE, "immunosuppressed"),
        ({"known_cancer": True, "age_years": None}, NO_RULE, "known_cancer"),
        ({"age_years": None}, NO_RULE, "patient_unknown"),
        ({"known_cancer": None}, NO_RULE, "patient_unknown"),
        ({"immunosuppressed": None}, NO_RULE, "patient_unknown"),
    ],
)
def test_incidental_is_fleischner_for_whom_it_was_made(
    changed: dict[str, Any], rule: str, basis: str
) -> None:
    """35 years and more, no cancer, no immunosuppression, and all three known."""
    chosen = lung_rule("incidental", **{**WELL, **changed})
    assert (chosen.rule, chosen.basis) == (rule, basis)


def test_what_is_not_known_is_named() -> None:
    """By the names of the clinical inputs."""
    chosen = lung_rule("incidental", **NOBODY)
    assert chosen.missing == ("age_years", "primary_cancer", "immunosuppressed")
    assert lung_rule("unknown", **WELL).missing == ("exam_context",)


@pytest.mark.parametrize("context", ["oncology", "unknown"])
def test_else_no_rule_applies(context: str) -> None:
    """Size and kind only."""
    assert lung_rule(context, **WELL).rule == NO_RULE


def test_mistakes_are_refused() -> None:
    """Another context, another rule."""
    with pytest.raises(ValueError, match="exam_context"):
        lung_rule("screning", **WELL)
    with pytest.raises(ValueError, match="screening_rule"):
        lung_rule("screening", **WELL, screening_rule="fleischner_2017")


@pytest.mark.parametrize(
    ("context", "site", "category"),
    [
        ("screening", "lung_rads_2022", "3"),
        ("screening", "c_lung_rads", "2"),
        ("incidental", "lung_rads_2022", "solid_single_6_to_8"),
        ("unknown", "lung_rads_2022", None),
    ],
)
def test_the_rule_that_applies_answers(context: str, site: str, category: str | None) -> None:
    """One nodule of 7 mm, four answers."""
    applies = lung_rule(context, **WELL, screening_rule=site)
    said = assess_nodules(FOUND, applies, risk="low")
    assert (said.rule, said.category) == (applies.rule, category)
    assert said.advice is not None


def test_every_reason_for_no_rule_has_its_text() -> None:
    """In every combination of what is known."""
    some = (None, True, False)
    for context in EXAM_CONTEXTS:
        for age in (None, 20, 50):
            for cancer in some:
                for immune in some:
                    chosen = lung_rule(
                        context, age_years=age, known_cancer=cancer, immunosuppressed=immune
                    )
                    assert (chosen.rule == NO_RULE) == (chosen.basis in WHY_NO_RULE)
