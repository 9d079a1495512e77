"""The rule ``chest``: the labels of the chest, of its own tiles and of what other checks found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.screening.anatomy import Anatomy
from gateway.screening.manifest import Text
from gateway.screening.rules.assessment import Advice, Assessment
from gateway.screening.rules.chest_taken import TAKEN, taken_label
from gateway.screening.rules.rule import RuleInput, RuleOutput
from gateway.screening.thresholds import LabelThresholds

LUNGS = ("lung_right", "lung_left")

KIDNEYS = ("kidney_right", "kidney_left")

IN_VIEW: Mapping[str, tuple[str, ...]] = {
    "liver_cyst": ("liver",),
    "gallstone": ("gallbladder",),
    "renal_stone_or_cyst": KIDNEYS,
    "adrenal_nodule": KIDNEYS,
}
"""Labels of the upper abdomen → organs without which they are not evaluated; the lungs are what
all others need."""

MAY_END: Mapping[str, frozenset[str]] = {"adrenal_nodule": frozenset({"inferior"})}
"""Sides on which an organ of a label may be cut off without a doubt: adrenals lie on top."""

TILES = "tiles"
"""Basis of a label that this check's own network says."""

URGENT: Mapping[str, Advice] = {
    name: Advice(
        urgency="urgent",
        asks_for_action=True,
        text=Text(f"{en} is suspected: to be seen at once.", f"可疑{zh}：请立即阅片。"),
    )
    for name, en, zh in (
        ("pneumothorax", "Pneumothorax", "气胸"),
        ("hydropneumothorax", "Hydropneumothorax", "液气胸"),
        ("tracheal_stenosis", "Tracheal stenosis", "气管狭窄"),
    )
}
"""Labels that make the check urgent when they are positive, whatever else is."""

ALSO = Text("Also shown: {names}.", "另见：{names}。")

ELSEWHERE = Text("Found by other checks: {names}.", "其他专项检出：{names}。")

NOT_EVALUATED = Text(
    "Not evaluated ({count} of {total}), which does not mean absent: {names}.",
    "未评估（{count}/{total} 项），不代表阴性：{names}。",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What is said of one label.

    Attributes
    ----------
    name : str
    state : str
        ``positive``, ``marked``, ``negative``, ``indeterminate``, ``not_evaluated`` or ``failed``.
    basis : str
        `TILES`, or the checks that answer it.
    probability, excess : float or None
        By the tiles; and its log odds less those of the label's flag.
    missing : tuple of str
        Organs outside the scan, checks that were not asked for.
    """

    name: str
    state: str
    basis: str
    probability: float | None = None
    excess: float | None = None
    missing: tuple[str, ...] = field(default=())

    @property
    def shown(self) -> bool:
        """Whether a reader is shown it."""
        return self.state in ("positive", "marked")

    def assessment(self) -> Assessment:
        """Give it as a result lists it."""
        return Assessment(
            rule=self.name,
            category=self.state,
            value=self.probability,
            basis=self.basis,
            missing=self.missing,
            advice=URGENT.get(self.name) if self.state == "positive" else None,
        )


def chest(given: RuleInput) -> RuleOutput:
    """Join the labels of the tiles with those that other checks answer.

    A label of another check is what that check says, whatever its state, and never what the tiles
    say; it neither marks nor flags this check. A label that the network does not tell, has no
    thresholds, or whose organ is outside the scan is not evaluated, never negative.

    Returns
    -------
    RuleOutput
        Measures: the probability of each label that the tiles answer, null for all others;
        ``flag_excess``, the highest log odds of a label less those of its flag; ``labels_marked``,
        ``labels_flagged``, ``labels_not_evaluated``. The lesions are the tiles of what is shown.
        An assessment for each label: its name, its state, and who says so. The grade is the
        label of the highest excess among those shown.
    """
    labels = [
        taken_label_of(name, given) if name in TAKEN else _own(name, given) for name in given.names
    ]
    own = sorted(
        (label for label in labels if label.basis == TILES and label.excess is not None),
        key=lambda label: -(label.excess or 0.0),
    )
    shown = [label for label in own if label.shown]
    evaluated = [label for label in labels if label.state not in ("not_evaluated", "failed")]
    measures: dict[str, float | None] = {label.name: label.probability for label in labels}
    measures |= {
        "highest_probability": max((label.probability or 0.0 for label in own), default=None),
        "flag_excess": own[0].excess if own else None,
        "labels_marked": float(len(shown)),
        "labels_flagged": float(sum(label.state == "positive" for label in shown)),
        "labels_not_evaluated": float(len(labels) - len(evaluated)),
    }
    return RuleOutput(
        measures=measures,
        lesions=_tiles(given, shown),
        assessments=tuple(label.assessment() for label in labels),
        grade=shown[0].name if shown else None,
        texts=_texts(given, labels, shown),
    )


def taken_label_of(name: str, given: RuleInput) -> Label:
    """Give a label that other checks answer."""
    state, missing = taken_label(name, given.results)
    return Label(name=name, state=state, basis=", ".join(TAKEN[name].checks), missing=missing)


def log_odds(probability: float) -> float:
    """Give the log odds of a probability, finite."""
    held = min(max(probability, 1e-9), 1 - 1e-9)
    return math.log(held / (1 - held))


def _own(name: str, given: RuleInput) -> Label:
    thresholds = given.thresholds
    cut: LabelThresholds | None = thresholds.labels.get(name) if thresholds else None
    probability = given.measures.get(name)
    if thresholds is None or cut is None or probability is None:
        return Label(name=name, state="not_evaluated", basis=TILES)
    organs = IN_VIEW.get(name, LUNGS)
    absent = tuple(organ for organ in organs if not given.anatomy.organ(organ).present)
    if name in IN_VIEW and len(absent) == len(organs):
        return Label(name=name, state="not_evaluated", basis=TILES, missing=absent)
    excess = log_odds(probability) - log_odds(cut.flag)
    if excess >= thresholds.flag.value:
        state = "positive"
    elif probability >= cut.mark:
        state = "marked"
    elif absent or _cut_off(given.anatomy, organs, MAY_END.get(name, frozenset())):
        state = "indeterminate"
    else:
        state = "negative"
    return Label(
        name=name,
        state=state,
        basis=TILES,
        probability=probability,
        excess=excess,
        missing=absent,
    )


def _cut_off(anatomy: Anatomy, organs: Sequence[str], may_end: frozenset[str]) -> bool:
    """Say whether the scan ends in an organ, but for some sides."""
    for name in organs:
        organ = anatomy.organ(name)
        sides = frozenset(organ.truncated_sides)
        if organ.truncated and not (sides and sides <= may_end):
            return True
    return False


def _tiles(given: RuleInput, shown: Sequence[Label]) -> list[dict[str, Any]]:
    """Give the tiles of the labels that are shown, in that order."""
    assert given.thresholds is not None or not shown
    tiles = {lesion["kind"]: lesion for lesion in given.lesions}
    out: list[dict[str, Any]] = []
    for label in shown:
        if label.name not in tiles:
            continue
        assert given.thresholds is not None
        cut = given.thresholds.labels[label.name]
        out.append(
            {
                **tiles[label.name],
                "id": len(out) + 1,
                "measures": {
                    "mark_probability": cut.mark,
                    "flag_probability": cut.flag,
                    "flag_excess": round(label.excess or 0.0, 4),
                },
                "marked": True,
                "flagged": label.state == "positive",
            }
        )
    return out


def _texts(given: RuleInput, labels: Sequence[Label], shown: Sequence[Label]) -> tuple[Text, ...]:
    """Name what else is shown, what other checks found, and what nobody looked for."""
    elsewhere = [label for label in labels if label.basis != TILES and label.shown]
    lacking = [label for label in labels if label.state in ("not_evaluated", "failed")]
    parts = ((ALSO, shown[1:]), (ELSEWHERE, elsewhere), (NOT_EVALUATED, lacking))
    texts = []
    for text, named in parts:
        if not named:
            continue
        told = [given.names[one.name] for one in named]
        count = {"count": len(named), "total": len(labels)}
        texts.append(
            Text(
                text.en.format(names=", ".join(one.en for one in told), **count),
                text.zh.format(names="、".join(one.zh for one in told), **count),
            )
        )
    return tuple(texts)
