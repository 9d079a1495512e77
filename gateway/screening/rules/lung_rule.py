"""Which lung rule applies to an exam, and its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.screening.manifest import Text
from gateway.screening.rules import c_lung_rads, fleischner, lung_rads
from gateway.screening.rules.assessment import Advice, Assessment
from gateway.screening.rules.nodule import Nodule

EXAM_CONTEXTS = ("screening", "incidental", "oncology", "unknown")

SCREENING_RULES = (lung_rads.RULE, c_lung_rads.RULE)
"""Site policy chooses one for screening."""

NO_RULE = "no_rule_applies"

MINIMUM_AGE_YEARS = 35.0
"""Fleischner 2017 is for 35 years and more. Source: MacMahon 2017, Radiology 284:228."""

WHY_NO_RULE = {
    "context_unknown": Text(
        "No lung rule applies: the order does not say whether this is screening.",
        "未应用肺结节管理规则:检查目的不明(是否筛查未知)。",
    ),
    "oncology": Text(
        "No lung rule applies in oncology: the nodules are read with the known disease.",
        "肿瘤随访检查不适用肺结节管理规则,请结合已知疾病判断。",
    ),
    "known_cancer": Text(
        "No lung rule applies to patients with known cancer.",
        "有肿瘤病史者不适用肺结节管理规则。",
    ),
    "immunosuppressed": Text(
        "No lung rule applies to immunosuppressed patients.",
        "免疫抑制患者不适用肺结节管理规则。",
    ),
    "age_under_35": Text(
        "No lung rule applies below 35 years.",
        "35岁以下患者不适用肺结节管理规则。",
    ),
    "patient_unknown": Text(
        "No lung rule applies: age, cancer history or immune status is not known.",
        "未应用肺结节管理规则:年龄、肿瘤病史或免疫状态不详。",
    ),
}
"""Basis → what the reader is told; size and kind are reported all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LungRule:
    """Which rule applies, and why none does."""

    rule: str
    basis: str
    """The context, or a key of `WHY_NO_RULE`."""

    missing: tuple[str, ...] = ()


def lung_rule(
    exam_context: str,
    *,
    age_years: float | None,
    known_cancer: bool | None,
    immunosuppressed: bool | None,
    screening_rule: str = lung_rads.RULE,
) -> LungRule:
    """Say which rule applies.

    Parameters
    ----------
    exam_context : str
        One of `EXAM_CONTEXTS`, by order or partner.
    age_years : float or None
        Years.
    known_cancer, immunosuppressed : bool or None
        Of the patient; what is not known is not taken for absent.
    screening_rule : str
        Site policy for screening, of `SCREENING_RULES`.

    Returns
    -------
    LungRule
        ``lung_rads_2022``, ``c_lung_rads``, ``fleischner_2017`` or ``no_rule_applies``.

    Raises
    ------
    ValueError
        For another context or rule.
    """
    if exam_context not in EXAM_CONTEXTS:
        raise ValueError(f"exam_context must be one of {', '.join(EXAM_CONTEXTS)}.")
    if screening_rule not in SCREENING_RULES:
        raise ValueError(f"screening_rule must be one of {', '.join(SCREENING_RULES)}.")
    if exam_context == "screening":
        return LungRule(rule=screening_rule, basis="screening")
    if exam_context != "incidental":
        basis = "oncology" if exam_context == "oncology" else "context_unknown"
        missing = () if exam_context == "oncology" else ("exam_context",)
        return LungRule(rule=NO_RULE, basis=basis, missing=missing)
    if known_cancer:
        return LungRule(rule=NO_RULE, basis="known_cancer")
    if immunosuppressed:
        return LungRule(rule=NO_RULE, basis="immunosuppressed")
    if age_years is not None and age_years < MINIMUM_AGE_YEARS:
        return LungRule(rule=NO_RULE, basis="age_under_35")
    known = {
        "age_years": age_years,
        "primary_cancer": known_cancer,
        "immunosuppressed": immunosuppressed,
    }
    if unknown := tuple(name for name, value in known.items() if value is None):
        return LungRule(rule=NO_RULE, basis="patient_unknown", missing=unknown)
    return LungRule(rule=fleischner.RULE, basis="incidental")


def assess_nodules(
    nodules: Sequence[Nodule],
    applies: LungRule,
    *,
    risk: str | None = None,
    incomplete: str | None = None,
) -> Assessment:
    """Apply the rule that applies to the nodules of an exam.

    Parameters
    ----------
    nodules : sequence of Nodule
        All of the exam.
    applies : LungRule
        Of `lung_rule`.
    risk : str, optional
        Of `gateway.screening.rules.fleischner.fleischner_risk`.
    incomplete : str, optional
        Why a Lung-RADS exam is category 0.

    Returns
    -------
    Assessment
        Without a category where no rule applies.
    """
    if applies.rule == lung_rads.RULE:
        return lung_rads.lung_rads(nodules, incomplete=incomplete)
    if applies.rule == c_lung_rads.RULE:
        return c_lung_rads.c_lung_rads(nodules)
    if applies.rule == fleischner.RULE:
        return fleischner.fleischner(nodules, risk=risk)
    return Assessment(
        rule=NO_RULE,
        category=None,
        basis=applies.basis,
        missing=applies.missing,
        advice=Advice(urgency="note", text=WHY_NO_RULE[applies.basis]),
    )
