"""The rule ``liver``: fat by attenuation, fibrosis by blood, beside what a network says."""

from __future__ import annotations

from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.fibrosis import assess_fibrosis
from gateway.screening.rules.rule import RuleInput, RuleOutput
from gateway.screening.steatosis import steatosis

BLOOD = ("ast", "alt", "platelets")
"""Without any of them no blood rule was asked for."""

FIBROSIS_SCORE = "fibrosis_score"
"""Expected stage, 0 to 4, of the network."""

RAISED = ("indeterminate", "high")

NO_NETWORK = Text(
    "Fibrosis was not assessed on the images: no weights are installed for it.",
    "未在图像上评估肝纤维化:未安装相应模型权重。",
)

CUT_OFF = Text(
    "Fibrosis was not assessed on the images: the scan cuts the liver off.",
    "未在图像上评估肝纤维化:扫描范围未完整包含肝脏。",
)


def liver(given: RuleInput) -> RuleOutput:
    """Grade steatosis, apply FIB-4, APRI and the NAFLD score, and keep what the network may say.

    Measures: those of `gateway.screening.steatosis.steatosis`; ``fib4``, ``apri``, ``nfs``;
    ``blood_rules_raised`` and ``blood_rules_high``, how many of them are above their lower and
    their upper cut. The stage of a liver that the scan cuts off is left out: its contour and the
    sizes of its lobes are not known.
    """
    fat = steatosis(given.median_hu("liver"), given.median_hu("spleen"), given.parameters)
    blood = blood_rules(given)
    measures: dict[str, float | None] = {**fat}
    for said in blood:
        measures[said.rule] = said.value
    measures["blood_rules_raised"] = float(sum(said.category in RAISED for said in blood))
    measures["blood_rules_high"] = float(sum(said.category == "high" for said in blood))
    texts: tuple[Text, ...] = ()
    if FIBROSIS_SCORE not in given.measures:
        texts = (NO_NETWORK,)
    elif given.anatomy.organ("liver").truncated:
        measures |= {name: None for name in given.measures if is_stage(name)}
        texts = (CUT_OFF,)
    return RuleOutput(measures=measures, assessments=blood, texts=texts)


def blood_rules(given: RuleInput) -> tuple[Assessment, ...]:
    """Apply the blood rules; none of them where no blood value was sent."""
    if not any(name in given.clinical for name in BLOOD):
        return ()
    return assess_fibrosis(given.clinical, age_years=given.patient.age_years)


def is_stage(name: str) -> bool:
    """Say whether a measure of the network is about fibrosis."""
    return name == FIBROSIS_SCORE or name.removeprefix("p_")[:1] == "F"
