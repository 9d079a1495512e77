"""APRI: fibrosis of the liver from AST, its upper limit of normal, and platelets."""

from __future__ import annotations

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice, Assessment, missing_names

RULE = "apri"

LOW_UP_TO = 0.5
"""Significant fibrosis is unlikely up to here. Source: Wai 2003, Hepatology 38:518."""

HIGH_ABOVE = 1.5
"""Significant fibrosis is likely above. Source: ibid."""

ADVICE = {
    "low": Advice(
        urgency="note",
        text=Text(
            "APRI is low: significant fibrosis is unlikely.", "APRI低:显著肝纤维化可能性小。"
        ),
    ),
    "indeterminate": Advice(
        urgency="note",
        text=Text(
            "APRI is indeterminate: to be read with FIB-4 or elastography.",
            "APRI不确定:请结合FIB-4或肝弹性成像判断。",
        ),
    ),
    "high": Advice(
        urgency="follow_up",
        asks_for_action=True,
        text=Text(
            "APRI is high: significant fibrosis is likely; elastography, hepatology.",
            "APRI高:显著肝纤维化可能;建议行肝弹性成像并转肝病专科。",
        ),
    ),
}
"""Category → what follows."""


def apri(
    *, ast_u_per_l: float, ast_upper_limit_u_per_l: float, platelets_10e9_per_l: float
) -> float:
    """Compute the index; not for acute hepatitis.

    Parameters
    ----------
    ast_u_per_l : float
        AST, U/L.
    ast_upper_limit_u_per_l : float
        Upper limit of normal of the laboratory that measured it, U/L.
    platelets_10e9_per_l : float
        Platelets, 10⁹/L.

    Returns
    -------
    float
        100 · (AST / upper limit) / platelets.

    Raises
    ------
    ValueError
        When the upper limit or the platelets are not positive.

    References
    ----------
    * Wai 2003, Hepatology 38:518.
    """
    if ast_upper_limit_u_per_l <= 0 or platelets_10e9_per_l <= 0:
        raise ValueError("ast_upper_limit_u_per_l and platelets_10e9_per_l must be positive.")
    return 100.0 * (ast_u_per_l / ast_upper_limit_u_per_l) / platelets_10e9_per_l


def assess_apri(
    *,
    ast_u_per_l: float | None,
    ast_upper_limit_u_per_l: float | None,
    platelets_10e9_per_l: float | None,
) -> Assessment:
    """Compute the index and compare it with its cuts.

    The upper limit of normal differs between laboratories, so none is assumed.

    Returns
    -------
    Assessment
        ``low``, ``indeterminate`` or ``high``; None where an input is not known.
    """
    if ast_u_per_l is None or ast_upper_limit_u_per_l is None or platelets_10e9_per_l is None:
        missing = missing_names(
            {
                "ast": ast_u_per_l,
                "ast_upper_limit": ast_upper_limit_u_per_l,
                "platelets": platelets_10e9_per_l,
            }
        )
        return Assessment(rule=RULE, category=None, missing=missing)
    value = apri(
        ast_u_per_l=ast_u_per_l,
        ast_upper_limit_u_per_l=ast_upper_limit_u_per_l,
        platelets_10e9_per_l=platelets_10e9_per_l,
    )
    category = "high" if value > HIGH_ABOVE else "indeterminate"
    if value <= LOW_UP_TO:
        category = "low"
    return Assessment(rule=RULE, category=category, value=value, advice=ADVICE[category])
