"""The rule ``lung``: what the nodules of a scan ask for, by the guideline that applies to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.screening.manifest import Text
from gateway.screening.rules import c_lung_rads, lung_rads
from gateway.screening.rules.assessment import Assessment
from gateway.screening.rules.fleischner import fleischner_risk
from gateway.screening.rules.lung_rule import NO_RULE, LungRule, assess_nodules, lung_rule
from gateway.screening.rules.nodule import Nodule, Size
from gateway.screening.rules.rule import RuleInput, RuleOutput

Lesion = Mapping[str, Any]

LUNGS = ("lung_right", "lung_left")

KINDS = {
    "solid_nodule": "solid",
    "part_solid_nodule": "part_solid",
    "ground_glass_nodule": "ground_glass",
    "calcified_nodule": "solid",
}
"""Class of the network → kind of the guidelines, which know calcification as a sign."""

CALCIFIED = "calcified_nodule"

BY_NODULE = (lung_rads.RULE, c_lung_rads.RULE)
"""Rules whose categories are those of one nodule; Fleischner's rows depend on all of them."""

ESTIMATED = Text(
    "The size of {count} of these nodules is the network's estimate, as no clear border was found.",
    "其中 {count} 个结节边界不清，大小为网络估计值。",
)

UNGRADED = Text(
    "No category can be given: {missing} is not known.",
    "无法给出分类：{missing}不详。",
)

MISSING = {
    "solid_diameter": Text("the size of the solid part", "实性成分大小"),
    "diameter": Text("the size of a nodule", "结节大小"),
    "kind": Text("the kind of a nodule", "结节类型"),
}
"""Inputs that keep a rule from an answer, in words."""

NO_ROW = Text("the rule's row for this nodule", "该结节对应的分类条目")


def lung(given: RuleInput) -> RuleOutput:
    """Categorise the nodules that a network is sure of.

    Parameters of the manifest: ``calcified_hu``, the mean HU from which a nodule that is said to
    be calcified counts as benign; ``follow_up_mm``, the mean diameter from which a nodule asks for
    action where no guideline gives an answer.

    Returns
    -------
    RuleOutput
        Measures: ``actionable_score``, the highest score such that the nodules with at least this
        score ask for action; ``nodules`` and ``largest_mm`` of those that are sure. Each lesion
        has a ``category`` where the rule categorises single nodules, and stays ``flagged`` only
        where it asks for action. The grade is the exam's category.

    Notes
    -----
    Sure is what reaches the manifest's flag threshold of lesions. A nodule without a border in
    sight has the mean diameter that the network says, and the text says so. Priors are not read:
    every nodule is rated as at baseline.
    """
    applies = lung_rule(
        given.exam_context,
        age_years=_age_years(given),
        known_cancer=_yes(given.clinical.get("primary_cancer")),
        immunosuppressed=_yes(given.clinical.get("immunosuppressed")),
        screening_rule=given.policy.screening_rule,
    )
    exam = _Exam(given, applies)
    sure = [lesion for lesion in given.lesions if lesion.get("flagged")]
    said = exam.assess(sure)
    largest = max((float(lesion["mean_diameter_mm"]) for lesion in sure), default=None)
    shown = bool(sure) or applies.rule != NO_RULE
    return RuleOutput(
        measures={
            "actionable_score": exam.actionable_score(given.lesions),
            "nodules": float(len(sure)),
            "largest_mm": largest,
        },
        lesions=exam.told(given.lesions, sure),
        assessments=(said,) if shown else (),
        grade=said.category,
        texts=_texts(sure, said),
    )


class _Exam:
    """One scan and the rule that applies to it."""

    def __init__(self, given: RuleInput, applies: LungRule) -> None:
        self.applies = applies
        self.calcified_hu = given.parameters["calcified_hu"]
        self.follow_up_mm = given.parameters["follow_up_mm"]
        self.risk = fleischner_risk(
            smoked=_smoked(given.clinical),
            spiculated=None,
            upper_lobe=None,
            emphysema_or_fibrosis=None,
            family_history=None,
        )
        cut = any(given.anatomy.organ(name).truncated for name in LUNGS)
        self.incomplete = "lungs_incomplete" if cut else None

    def assess(self, lesions: Sequence[Lesion], *, alone: bool = False) -> Assessment:
        """Apply the rule to some of the nodules."""
        return assess_nodules(
            [self.nodule(lesion) for lesion in lesions],
            self.applies,
            risk=self.risk,
            incomplete=None if alone else self.incomplete,
        )

    def asks(self, lesions: Sequence[Lesion]) -> bool:
        """Say whether some nodules ask for action; by their size where the rule has no answer."""
        said = self.assess(lesions, alone=True)
        if said.asks_for_action:
            return True
        return said.category is None and any(
            float(lesion["mean_diameter_mm"]) >= self.follow_up_mm
            and not self.nodule(lesion).benign
            for lesion in lesions
        )

    def actionable_score(self, lesions: Sequence[Lesion]) -> float:
        """Give the highest score from which on the nodules ask for action; 0 where none do."""
        ranked = sorted(lesions, key=lambda lesion: -float(lesion["score"]))
        for count, last in enumerate(ranked, start=1):
            if self.asks(ranked[:count]):
                return float(last["score"])
        return 0.0

    def told(self, lesions: Sequence[Lesion], sure: Sequence[Lesion]) -> list[dict[str, Any]]:
        """Give all lesions with their category; the sure ones that ask for action are flagged.

        Where only several together ask for action, all of them are flagged.
        """
        acting = [lesion["id"] for lesion in sure if self.asks([lesion])]
        if not acting and self.asks(sure):
            acting = [lesion["id"] for lesion in sure]
        return [
            {**lesion, **self._category(lesion), "flagged": lesion["id"] in acting}
            for lesion in lesions
        ]

    def _category(self, lesion: Lesion) -> dict[str, str | None]:
        if self.applies.rule not in BY_NODULE:
            return {}
        return {"category": self.assess([lesion], alone=True).category}

    def nodule(self, lesion: Lesion) -> Nodule:
        """Read what a network and its outline say of one nodule."""
        kind, hu = lesion["kind"], lesion["hu"]["mean"]
        measures = lesion.get("measures", {})
        return Nodule(
            kind=KINDS[kind],
            size=_size(lesion),
            solid=Size(
                long_mm=measures.get("solid_long_mm"), short_mm=measures.get("solid_short_mm")
            )
            if kind == "part_solid_nodule"
            else Size(),
            benign_calcification=kind == CALCIFIED and hu >= self.calcified_hu,
        )


def _size(lesion: Lesion) -> Size:
    """Give the measured axes, or the mean diameter for both where there are none."""
    if lesion["long_diameter_mm"] is None:
        mean = lesion["mean_diameter_mm"]
        return Size(long_mm=mean, short_mm=mean)
    return Size(
        long_mm=lesion["long_diameter_mm"],
        short_mm=lesion["short_diameter_mm"],
        volume_mm3=lesion["volume_mm3"],
    )


def _texts(sure: Sequence[Lesion], said: Assessment) -> tuple[Text, ...]:
    texts = []
    if said.category is None and said.rule != NO_RULE:
        lacking = next((MISSING[name] for name in said.missing if name in MISSING), NO_ROW)
        texts.append(
            Text(UNGRADED.en.format(missing=lacking.en), UNGRADED.zh.format(missing=lacking.zh))
        )
    estimated = sum(lesion["long_diameter_mm"] is None for lesion in sure)
    if estimated:
        texts.append(
            Text(ESTIMATED.en.format(count=estimated), ESTIMATED.zh.format(count=estimated))
        )
    return tuple(texts)


def _age_years(given: RuleInput) -> float | None:
    age = given.patient.age_years
    return given.clinical.get("age_years") if age is None else age


def _smoked(clinical: Mapping[str, float]) -> bool | None:
    """Say whether the patient smokes or smoked; None where nobody said."""
    if clinical.get("pack_years"):
        return True
    return _yes(clinical.get("smoking"))


def _yes(value: float | None) -> bool | None:
    return None if value is None else value > 0
