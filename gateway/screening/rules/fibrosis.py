"""The blood rules of liver fibrosis over kept clinical inputs."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.screening.rules.apri import assess_apri
from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.fib4 import assess_fib4
from gateway.screening.rules.nfs import assess_nfs


def assess_fibrosis(
    clinical: Mapping[str, float], *, age_years: float | None = None
) -> tuple[Assessment, Assessment, Assessment]:
    """Apply FIB-4, APRI and the NAFLD fibrosis score.

    Parameters
    ----------
    clinical : mapping
        As `gateway.screening.clinical.numbers` gives it: default units, what is missing left out.
    age_years : float, optional
        Of the image header; used where `clinical` has no age.

    Returns
    -------
    tuple of Assessment
        In the order above.
    """
    age = clinical.get("age_years", age_years)
    ast, alt = clinical.get("ast"), clinical.get("alt")
    platelets = clinical.get("platelets")
    diabetes = clinical.get("diabetes")
    return (
        assess_fib4(
            age_years=age, ast_u_per_l=ast, alt_u_per_l=alt, platelets_10e9_per_l=platelets
        ),
        assess_apri(
            ast_u_per_l=ast,
            ast_upper_limit_u_per_l=clinical.get("ast_upper_limit"),
            platelets_10e9_per_l=platelets,
        ),
        assess_nfs(
            age_years=age,
            bmi_kg_per_m2=clinical.get("bmi"),
            diabetes=None if diabetes is None else bool(diabetes),
            ast_u_per_l=ast,
            alt_u_per_l=alt,
            platelets_10e9_per_l=platelets,
            albumin_g_per_l=clinical.get("albumin"),
        ),
    )
