"""What follows from each category of Lung-RADS v2022, in our words.

Source: ACR Lung-RADS v2022, column of management.
"""

from __future__ import annotations

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice

ADVICE = {
    "1": Advice(
        urgency="note",
        first_ct_months=(12, 12),
        text=Text(
            "Lung-RADS 1, negative: annual low-dose CT in 12 months.",
            "Lung-RADS 1类(阴性):12个月后年度低剂量CT筛查。",
        ),
    ),
    "2": Advice(
        urgency="note",
        first_ct_months=(12, 12),
        text=Text(
            "Lung-RADS 2, benign: annual low-dose CT in 12 months.",
            "Lung-RADS 2类(良性):12个月后年度低剂量CT筛查。",
        ),
    ),
    "3": Advice(
        urgency="follow_up",
        asks_for_action=True,
        first_ct_months=(6, 6),
        text=Text(
            "Lung-RADS 3, probably benign: low-dose CT in 6 months.",
            "Lung-RADS 3类(良性可能大):6个月后复查低剂量CT。",
        ),
    ),
    "4A": Advice(
        urgency="follow_up",
        asks_for_action=True,
        first_ct_months=(3, 3),
        text=Text(
            "Lung-RADS 4A, suspicious: low-dose CT in 3 months; "
            "PET/CT may be considered for a solid nodule or solid part of 8 mm or more.",
            "Lung-RADS 4A类(可疑):3个月后复查低剂量CT;实性结节或实性成分≥ 8 mm时可考虑PET/CT。",
        ),
    ),
    "4B": Advice(
        urgency="urgent",
        asks_for_action=True,
        text=Text(
            "Lung-RADS 4B, very suspicious: clinical evaluation; diagnostic chest CT, "
            "PET/CT for a solid nodule or solid part of 8 mm or more, tissue sampling.",
            "Lung-RADS 4B类(高度可疑):建议临床评估,行诊断性胸部CT,"
            "实性结节或实性成分≥ 8 mm时行PET/CT,或组织活检。",
        ),
    ),
    "4X": Advice(
        urgency="urgent",
        asks_for_action=True,
        text=Text(
            "Lung-RADS 4X, suspicious signs: clinical evaluation; diagnostic chest CT, PET/CT, "
            "tissue sampling.",
            "Lung-RADS 4X类(伴恶性征象):建议临床评估,行诊断性胸部CT、PET/CT或组织活检。",
        ),
    ),
}
"""Category → what follows."""

INCOMPLETE = {
    "prior_awaited": Advice(
        urgency="note",
        text=Text(
            "Lung-RADS 0, incomplete: to be compared with the prior CT once it is there.",
            "Lung-RADS 0类(不完整):待取得既往CT后对比评估。",
        ),
    ),
    "lungs_incomplete": Advice(
        urgency="follow_up",
        text=Text(
            "Lung-RADS 0, incomplete: part of the lungs was not seen; further CT is needed.",
            "Lung-RADS 0类(不完整):部分肺组织未能评估,需补充CT检查。",
        ),
    ),
    "inflammatory": Advice(
        urgency="follow_up",
        first_ct_months=(1, 3),
        text=Text(
            "Lung-RADS 0: infection or inflammation is likely; low-dose CT in 1 to 3 months.",
            "Lung-RADS 0类:感染或炎症可能,1–3个月后复查低剂量CT。",
        ),
    ),
}
"""Why an exam is category 0 → what follows."""
