"""CAC-DRS: the category of coronary calcium, and under which name its number may be told."""

from __future__ import annotations

import math

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice, Assessment, missing_names

RULE = "cac_drs"

CUTS = (1.0, 100.0, 300.0)
"""Agatston score at which categories 1, 2 and 3 begin: 0, 1–99, 100–299, ≥ 300.
Source: Hecht 2018, J Cardiovasc Comput Tomogr 12:185."""

AGATSTON_KVP = 120.0
"""kV; the score is defined by 130 HU, which is calcium at this voltage only."""

AGATSTON_INCREMENT_MM = 3.0
"""mm between slices for which the score is defined."""

INCREMENT_TOLERANCE_MM = 0.05
"""mm; headers round."""

MAXIMUM_NOISE_HU = 25.0
"""SD of the aorta, HU. Above it noise alone passes 130 HU, and a number says nothing."""

VESSELS = 4
"""Left main, left anterior descending, circumflex, right."""

GATED_TEXTS = (
    Text(
        "No coronary calcium: very low risk; lipids by the general guideline.",
        "未见冠状动脉钙化:风险极低;血脂管理遵循常规指南。",
    ),
    Text(
        "Mild coronary calcium: review risk factors, consider a statin.",
        "冠状动脉轻度钙化:建议评估危险因素并考虑他汀治疗。",
    ),
    Text(
        "Moderate coronary calcium: a statin of moderate to high intensity, prevention.",
        "冠状动脉中度钙化:建议中至高强度他汀治疗及心血管预防管理。",
    ),
    Text(
        "Severe coronary calcium: a statin of high intensity, cardiology.",
        "冠状动脉重度钙化:建议高强度他汀治疗并转心内科评估。",
    ),
)
"""Of A0 to A3. Source: Hecht 2018, table of management, in our words and without its aspirin,
which primary prevention has since left to the single case (ACC/AHA 2019)."""

NOT_GATED_TEXTS = (
    Text(
        "No coronary calcium was seen on this scan without ECG gating; little may be missed.",
        "本次非门控扫描未见冠状动脉钙化;微小钙化可能漏检。",
    ),
    Text(
        "Mild coronary calcium by a scan without ECG gating: review risk factors.",
        "非门控扫描提示冠状动脉轻度钙化:建议评估心血管危险因素。",
    ),
    Text(
        "Moderate coronary calcium by a scan without ECG gating: "
        "review risk factors and lipid treatment.",
        "非门控扫描提示冠状动脉中度钙化:建议评估心血管危险因素及调脂治疗。",
    ),
    Text(
        "Severe coronary calcium by a scan without ECG gating: lipid treatment, cardiology.",
        "非门控扫描提示冠状动脉重度钙化:建议调脂治疗并转心内科评估。",
    ),
)
"""Of V0 to V3."""

URGENCIES = ("note", "note", "follow_up", "follow_up")
"""By level. Calcium is a measurement: none of them is a flag."""

ADVICE = {
    f"{letter}{level}": Advice(urgency=URGENCIES[level], text=text)
    for letter, texts in (("A", GATED_TEXTS), ("V", NOT_GATED_TEXTS))
    for level, text in enumerate(texts)
}
"""Category → what follows."""


def cac_drs_level(agatston: float) -> int:
    """Give the level of a score, 0 to 3.

    A score is rounded to a whole number as it is reported, but only a score of zero is level 0:
    calcium that was counted is never told away.

    Raises
    ------
    ValueError
        When the score is negative or not finite.
    """
    if not (math.isfinite(agatston) and agatston >= 0):
        raise ValueError("agatston must be finite and not negative.")
    level = sum(round(agatston) >= cut for cut in CUTS)
    return max(level, 1) if agatston > 0 else level


def cac_drs_label(category: str, vessels: int | None) -> str:
    """Write category and number of vessels as reports do: ``A2/N3``; ``A0`` has no vessels."""
    if vessels is None or category.endswith("0"):
        return category
    return f"{category}/N{vessels}"


def cac_drs(
    agatston: float | None,
    *,
    gated: bool | None,
    kvp: float | None,
    increment_mm: float | None,
    noise_sd_hu: float | None,
    vessels: int | None = None,
) -> Assessment:
    """Give the CAC-DRS category of a score and say what its number may be called.

    Parameters
    ----------
    agatston : float or None
        Agatston score of the whole heart by `postprocess.agatston`.
    gated : bool or None
        Whether the scan was ECG-gated.
    kvp : float or None
        Tube voltage, kV.
    increment_mm : float or None
        Between the slices that were scored, mm.
    noise_sd_hu : float or None
        SD of the aorta, HU.
    vessels : int, optional
        Of the four, those with calcium.

    Returns
    -------
    Assessment
        Basis ``agatston`` and category A only where the scan is known to be gated, at 120 kVp,
        in 3 mm; else category V with basis ``agatston_estimate``, or with basis ``ordinal``
        and no value, where the voltage is another or not known, or the noise is above
        `MAXIMUM_NOISE_HU` or not known.

    Raises
    ------
    ValueError
        For a score that cannot be, or a number of vessels that contradicts it.

    References
    ----------
    * Hecht 2018; for scans without gating also Hecht 2017, J Thorac Imaging 32:W54.
    """
    if agatston is None:
        return Assessment(rule=RULE, category=None, missing=("agatston",))
    level = cac_drs_level(agatston)
    if vessels is not None and not (level > 0) <= vessels <= (VESSELS if level else 0):
        raise ValueError(
            "vessels must be 1 to 4 where there is calcium, and 0 where there is none."
        )
    missing = missing_names({"gated": gated, "kvp": kvp, "increment_mm": increment_mm})
    at_120 = kvp == AGATSTON_KVP
    contiguous = (
        increment_mm is not None
        and abs(increment_mm - AGATSTON_INCREMENT_MM) <= INCREMENT_TOLERANCE_MM
    )
    if gated and at_120 and contiguous:
        basis = "agatston"
    elif at_120 and noise_sd_hu is not None and noise_sd_hu <= MAXIMUM_NOISE_HU:
        basis = "agatston_estimate"
    else:
        basis = "ordinal"
        missing += ("noise_sd_hu",) if noise_sd_hu is None else ()
    category = f"{'A' if basis == 'agatston' else 'V'}{level}"
    return Assessment(
        rule=RULE,
        category=category,
        value=None if basis == "ordinal" else agatston,
        basis=basis,
        missing=missing,
        advice=ADVICE[category],
    )
