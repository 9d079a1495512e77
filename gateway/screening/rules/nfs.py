"""NAFLD fibrosis score: advanced fibrosis of a fatty liver from seven clinical values."""

from __future__ import annotations

from gateway.screening.manifest import Text
from gateway.screening.rules.age_cuts import MINIMUM_AGE_YEARS, AgeCuts, too_young
from gateway.screening.rules.assessment import Advice, Assessment, missing_names

RULE = "nfs"

LOW_BELOW = -1.455
"""Dimensionless. Source: Angulo 2007, Hepatology 45:846."""

LOW_BELOW_OLDER = 0.12
"""The same from 65 years on. Source: McPherson 2017."""

HIGH_ABOVE = 0.676
"""Dimensionless, for every age. Source: Angulo 2007."""

CUTS = AgeCuts(low_below=LOW_BELOW, low_below_older=LOW_BELOW_OLDER, high_above=HIGH_ABOVE)

ADVICE = {
    "low": Advice(
        urgency="note",
        text=Text(
            "The NAFLD fibrosis score is low: advanced fibrosis is unlikely.",
            "NAFLD纤维化评分低:进展期肝纤维化可能性小。",
        ),
    ),
    "indeterminate": Advice(
        urgency="follow_up",
        asks_for_action=True,
        text=Text(
            "The NAFLD fibrosis score is indeterminate: elastography.",
            "NAFLD纤维化评分不确定:建议行肝弹性成像。",
        ),
    ),
    "high": Advice(
        urgency="follow_up",
        asks_for_action=True,
        text=Text(
            "The NAFLD fibrosis score is high: advanced fibrosis is possible; "
            "elastography, hepatology.",
            "NAFLD纤维化评分高:可能存在进展期肝纤维化;建议行肝弹性成像并转肝病专科。",
        ),
    ),
}
"""Category → what follows."""


def nfs(
    *,
    age_years: float,
    bmi_kg_per_m2: float,
    diabetes: bool,
    ast_u_per_l: float,
    alt_u_per_l: float,
    platelets_10e9_per_l: float,
    albumin_g_per_l: float,
) -> float:
    """Compute the score; not below `MINIMUM_AGE_YEARS`, nor for livers without fat.

    Parameters
    ----------
    age_years : float
        Years.
    bmi_kg_per_m2 : float
        Body mass index, kg/m².
    diabetes : bool
        Diabetes or impaired fasting glucose.
    ast_u_per_l, alt_u_per_l : float
        Aminotransferases, U/L.
    platelets_10e9_per_l : float
        Platelets, 10⁹/L.
    albumin_g_per_l : float
        Albumin, g/L. The published formula takes g/dL; the factor 10 is applied here.

    Returns
    -------
    float
        −1.675 + 0.037·age + 0.094·BMI + 1.13·diabetes + 0.99·AST/ALT − 0.013·platelets
        − 0.66·albumin [g/dL].

    Raises
    ------
    ValueError
        When ALT is not positive.

    References
    ----------
    * Angulo 2007, Hepatology 45:846. Some copies print the constant without its sign.
    """
    if alt_u_per_l <= 0:
        raise ValueError("alt_u_per_l must be positive.")
    return (
        -1.675
        + 0.037 * age_years
        + 0.094 * bmi_kg_per_m2
        + 1.13 * diabetes
        + 0.99 * ast_u_per_l / alt_u_per_l
        - 0.013 * platelets_10e9_per_l
        - 0.66 * albumin_g_per_l / 10.0
    )


def assess_nfs(
    *,
    age_years: float | None,
    bmi_kg_per_m2: float | None,
    diabetes: bool | None,
    ast_u_per_l: float | None,
    alt_u_per_l: float | None,
    platelets_10e9_per_l: float | None,
    albumin_g_per_l: float | None,
) -> Assessment:
    """Compute the score and compare it with the cuts of the age.

    A glucose value does not stand for `diabetes`: whether it was fasting is not known.

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
        or bmi_kg_per_m2 is None
        or diabetes is None
        or ast_u_per_l is None
        or alt_u_per_l is None
        or platelets_10e9_per_l is None
        or albumin_g_per_l is None
    ):
        missing = missing_names(
            {
                "age_years": age_years,
                "bmi": bmi_kg_per_m2,
                "diabetes": diabetes,
                "ast": ast_u_per_l,
                "alt": alt_u_per_l,
                "platelets": platelets_10e9_per_l,
                "albumin": albumin_g_per_l,
            }
        )
        return Assessment(rule=RULE, category=None, missing=missing)
    value = nfs(
        age_years=age_years,
        bmi_kg_per_m2=bmi_kg_per_m2,
        diabetes=diabetes,
        ast_u_per_l=ast_u_per_l,
        alt_u_per_l=alt_u_per_l,
        platelets_10e9_per_l=platelets_10e9_per_l,
        albumin_g_per_l=albumin_g_per_l,
    )
    return CUTS.assess(RULE, value, age_years, ADVICE)
