"""FIB-4: advanced fibrosis of the liver from age and three blood values."""

from __future__ import annotations

import math

from gateway.screening.manifest import Text
from gateway.screening.rules.age_cuts import MINIMUM_AGE_YEARS, AgeCuts, too_young
from gateway.screening.rules.assessment import Advice, Assessment, missing_names

RULE = "fib4"

LOW_BELOW = 1.3
"""Dimensionless. Source: Shah 2009, Clin Gastroenterol Hepatol 7:1104."""

LOW_BELOW_OLDER = 2.0
"""The same from 65 years on. Source: McPherson 2017."""

HIGH_ABOVE = 2.67
"""Dimensionless, for every age. Source: Shah 2009."""

CUTS = AgeCuts(low_below=LOW_BELOW, low_below_older=LOW_BELOW_OLDER, high_above=HIGH_ABOVE)

ADVICE = {
    "low": Advice(
        urgency="note",
        text=Text(
            "FIB-4 is low: advanced fibrosis is unlikely; repeat in 2 to 3 years, "
            "or in 1 to 2 years with diabetes or several metabolic risk factors.",
            "FIB-4低:进展期肝纤维化可能性小;建议2–3年复查,"
            "合并糖尿病或多种代谢危险因素者1–2年复查。",
        ),
    ),
    "indeterminate": Advice(
        urgency="follow_up",
        asks_for_action=True,
        text=Text(
            "FIB-4 is indeterminate: elastography (VCTE or MRE); hepatology from 8 kPa on.",
            "FIB-4不确定:建议行肝弹性成像(VCTE或MRE);≥ 8 kPa转肝病专科。",
        ),
    ),
    "high": Advice(
        urgency="follow_up",
        asks_for_action=True,
        text=Text(
            "FIB-4 is high: advanced fibrosis is possible; refer to hepatology with elastography.",
            "FIB-4高:可能存在进展期肝纤维化;建议行肝弹性成像并转肝病专科。",
        ),
    ),
}
"""Category → what follows (AASLD 2023 and EASL 2021 pathways, in our words)."""


def fib4(
    *, age_years: float, ast_u_per_l: float, alt_u_per_l: float, platelets_10e9_per_l: float
) -> float:
    """Compute the index; not for acute hepatitis, nor below `MINIMUM_AGE_YEARS`.

    Parameters
    ----------
    age_years : float
        Years.
    ast_u_per_l, alt_u_per_l : float
        Aminotransferases, U/L.
    platelets_10e9_per_l : float
        Platelets, 10⁹/L.

    Returns
    -------
    float
        age · AST / (platelets · √ALT).

    Raises
    ------
    ValueError
        When ALT or the platelets are not positive.

    References
    ----------
    * Sterling 2006, Hepatology 43:1317.
    """
    if alt_u_per_l <= 0 or platelets_10e9_per_l <= 0:
        raise ValueError("alt_u_per_l and platelets_10e9_per_l must be positive.")
    return age_years * ast_u_per_l / (platelets_10e9_per_l * math.sqrt(alt_u_per_l))


def assess_fib4(
    *,
    age_years: float | None,
    ast_u_per_l: float | None,
    alt_u_per_l: float | None,
    platelets_10e9_per_l: float | None,
) -> Assessment:
    """Compute the index and compare it with the cuts of the age.

    Returns
    -------
    Assessment
        ``low``, ``indeterminate`` or ``high``; None below 35 years (basis ``age_under_35``)
        and where an input is not known. A value on a cut is indeterminate.
    """
    if age_years is not None and age_years < MINIMUM_AGE_YEARS:
        return too_young(RULE)
    if (
        age_years is None
        or ast_u_per_l is None
        or alt_u_per_l is None
        or platelets_10e9_per_l is None
    ):
        missing = missing_names(
            {
                "age_years": age_years,
                "ast": ast_u_per_l,
                "alt": alt_u_per_l,
                "platelets": platelets_10e9_per_l,
            }
        )
        return Assessment(rule=RULE, category=None, missing=missing)
    value = fib4(
        age_years=age_years,
        ast_u_per_l=ast_u_per_l,
        alt_u_per_l=alt_u_per_l,
        platelets_10e9_per_l=platelets_10e9_per_l,
    )
    return CUTS.assess(RULE, value, age_years, ADVICE)
