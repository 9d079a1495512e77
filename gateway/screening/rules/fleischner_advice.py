"""What follows from each row of Fleischner 2017, for low and high risk, in our words.

Source: MacMahon 2017, Radiology 284:228, table 1.
"""

from __future__ import annotations

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice

_NONE = Advice(urgency="note", text=Text("No routine follow-up.", "无需常规随访。"))

_OPTIONAL = Advice(
    urgency="note",
    first_ct_months=(12, 12),
    text=Text("CT at 12 months is optional.", "可选择12个月后复查CT。"),
)

_OVER_8 = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 3),
    text=Text(
        "Consider CT at 3 months, PET/CT or tissue sampling.",
        "建议考虑3个月后复查CT、PET/CT或组织活检。",
    ),
)

_GROUND_GLASS = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(6, 12),
    text=Text(
        "CT at 6 to 12 months to confirm persistence, then every 2 years until 5 years.",
        "6–12个月后复查CT确认是否持续存在,此后每2年复查至5年。",
    ),
)

_PART_SOLID = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 6),
    text=Text(
        "CT at 3 to 6 months to confirm persistence; "
        "then annually for 5 years if the solid part stays below 6 mm, "
        "and highly suspicious if it is 6 mm or more.",
        "3–6个月后复查CT确认是否持续存在;实性成分< 6 mm者每年复查至5年,≥ 6 mm者高度可疑。",
    ),
)

_PART_SOLID_SMALL = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 6),
    text=Text(
        "CT at 3 to 6 months to confirm persistence; "
        "if unchanged and the solid part stays below 6 mm, CT annually for 5 years.",
        "3–6个月后复查CT确认是否持续存在;如无变化且实性成分< 6 mm,每年复查CT至5年。",
    ),
)

_PART_SOLID_LARGE = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 6),
    text=Text(
        "CT at 3 to 6 months; a solid part of 6 mm or more that persists is highly suspicious: "
        "PET/CT, tissue sampling or resection.",
        "3–6个月后复查CT;持续存在且实性成分≥ 6 mm者高度可疑,建议PET/CT、活检或手术切除。",
    ),
)

_SUBSOLID_SMALL = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 6),
    text=Text(
        "CT at 3 to 6 months; if stable, consider CT at 2 and 4 years.",
        "3–6个月后复查CT;如稳定,考虑第2年和第4年复查CT。",
    ),
)

_SUBSOLID = Advice(
    urgency="follow_up",
    asks_for_action=True,
    first_ct_months=(3, 6),
    text=Text(
        "CT at 3 to 6 months, then by the most suspicious nodule.",
        "3–6个月后复查CT,此后依据最可疑结节处理。",
    ),
)


def _solid(first: tuple[float, float], en: str, zh: str) -> Advice:
    return Advice(
        urgency="follow_up", asks_for_action=True, first_ct_months=first, text=Text(en, zh)
    )


ADVICE = {
    "no_nodule": {"low": _NONE, "high": _NONE},
    "solid_single_under_6": {"low": _NONE, "high": _OPTIONAL},
    "solid_single_6_to_8": {
        "low": _solid(
            (6, 12),
            "CT at 6 to 12 months, then consider CT at 18 to 24 months.",
            "6–12个月后复查CT,此后考虑18–24个月复查。",
        ),
        "high": _solid(
            (6, 12),
            "CT at 6 to 12 months, then CT at 18 to 24 months.",
            "6–12个月后复查CT,此后18–24个月再次复查。",
        ),
    },
    "solid_single_over_8": {"low": _OVER_8, "high": _OVER_8},
    "solid_multiple_under_6": {"low": _NONE, "high": _OPTIONAL},
    "solid_multiple_from_6": {
        "low": _solid(
            (3, 6),
            "CT at 3 to 6 months, then consider CT at 18 to 24 months.",
            "3–6个月后复查CT,此后考虑18–24个月复查。",
        ),
        "high": _solid(
            (3, 6),
            "CT at 3 to 6 months, then CT at 18 to 24 months.",
            "3–6个月后复查CT,此后18–24个月再次复查。",
        ),
    },
    "ground_glass_single_under_6": {"low": _NONE, "high": _NONE},
    "ground_glass_single_from_6": {"low": _GROUND_GLASS, "high": _GROUND_GLASS},
    "part_solid_single_under_6": {"low": _NONE, "high": _NONE},
    "part_solid_single_from_6": {"low": _PART_SOLID, "high": _PART_SOLID},
    "part_solid_single_solid_under_6": {"low": _PART_SOLID_SMALL, "high": _PART_SOLID_SMALL},
    "part_solid_single_solid_from_6": {"low": _PART_SOLID_LARGE, "high": _PART_SOLID_LARGE},
    "subsolid_multiple_under_6": {"low": _SUBSOLID_SMALL, "high": _SUBSOLID_SMALL},
    "subsolid_multiple_from_6": {"low": _SUBSOLID, "high": _SUBSOLID},
}
"""Row → risk → what follows."""
