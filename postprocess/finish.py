"""What a pipeline answers, made of what its network gave, as its recipe says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from postprocess.answer import Finished, Given
from postprocess.calcium import finish_calcium
from postprocess.chest import finish_chest
from postprocess.detected import finish_detections
from postprocess.grades import finish_grades
from postprocess.lesions import finish_lesions
from postprocess.organs import finish_labelmap
from postprocess.values import finish_values

__all__ = ["FINISHERS", "Finished", "Given", "finish"]

FINISHERS: Mapping[str, Callable[[Given], Finished]] = {
    "labelmap": finish_labelmap,
    "lesions": finish_lesions,
    "calcium": finish_calcium,
    "detections": finish_detections,
    "grades": finish_grades,
    "values": finish_values,
    "chest": finish_chest,
}
"""By ``post.kind`` of the recipe; the kinds are those of `preprocess.posts.POSTS`."""


def finish(given: Given) -> Finished:
    """Finish as the recipe's ``post.kind`` says; see the function of that kind."""
    return FINISHERS[given.post.kind](given)
