"""The rule ``bone``: what suspected lesions of bone are told as, and what the history changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.screening.manifest import Text
from gateway.screening.rules.rule import RuleInput, RuleOutput

Lesion = Mapping[str, Any]

KNOWN_CANCER = Text(
    "A primary cancer is known: restaging by bone scan, MRI or PET/CT is advised.",
    "已知原发肿瘤：建议行骨显像、MRI或PET/CT重新分期。",
)

NO_KNOWN_CANCER = Text(
    "No primary cancer is known: if a metastasis is confirmed, its origin must be looked for.",
    "未知原发肿瘤：如证实为转移，需查找原发灶。",
)

NEAR_METAL = Text(
    "Bone next to metal was not assessed; marks in its streaks: {count}.",
    "金属旁骨质未评估；位于金属伪影内的提示：{count}处。",
)


def bone(given: RuleInput) -> RuleOutput:
    """Tell the kind of the most suspicious lesion, and what the history adds.

    Returns
    -------
    RuleOutput
        Measures: ``metastases``, the lesions over the flag threshold. The grade is the kind of the
        most suspicious lesion that is marked.
    """
    marked = [lesion for lesion in given.lesions if lesion.get("marked")]
    flagged = [lesion for lesion in given.lesions if lesion.get("flagged")]
    first = max(marked, key=lambda lesion: float(lesion["score"]), default=None)
    texts = []
    cancer = given.clinical.get("primary_cancer")
    if flagged and cancer is not None:
        texts.append(KNOWN_CANCER if cancer else NO_KNOWN_CANCER)
    if count := int(given.measures.get("near_metal") or 0):
        texts.append(Text(NEAR_METAL.en.format(count=count), NEAR_METAL.zh.format(count=count)))
    return RuleOutput(
        measures={"metastases": float(len(flagged))},
        grade=first["kind"] if first else None,
        texts=tuple(texts),
    )
