"""Hits, misses and false marks, and what two readers disagree on."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.review.comparison import compare
from gateway.review.disagreement import disagreements
from gateway.review.matching import hits, match


def ball(x: float, diameter: float | None = 6.0, **values: Any) -> dict[str, Any]:
    """A lesion on the x axis."""
    half = (diameter or 0.0) / 2
    box = [[x - half, -half, -half], [x + half, half, half]] if diameter else None
    return {"centre_mm": [x, 0.0, 0.0], "box_mm": box, "mean_diameter_mm": diameter, **values}


def mark(x: float, diameter: float | None = None, check: str = "nodule") -> dict[str, Any]:
    made: dict[str, Any] = {"check": check, "centre_mm": [x, 0.0, 0.0]}
    return made if diameter is None else {**made, "diameter_mm": diameter}


@pytest.mark.parametrize(
    ("at", "diameter", "hit"),
    [
        (0.0, None, True),
        (6.0, None, True),  # radius 3 + 3 mm
        (6.01, None, False),
        (0.0, 3.0, True),
        (0.0, 2.9, False),
        (0.0, 12.0, True),
        (0.0, 12.1, False),
    ],
)
def test_a_hit_is_within_three_millimetres_and_of_like_size(
    at: float, diameter: float | None, hit: bool
) -> None:
    """The rule by which networks are judged."""
    assert hits(mark(at, diameter), ball(0.0)) is hit


def test_a_lesion_without_a_box_is_its_ball() -> None:
    """Or a point."""
    assert hits(mark(6.0), {**ball(0.0), "box_mm": None})
    assert hits(mark(3.0), ball(0.0, None))
    assert not hits(mark(3.1), ball(0.0, None))


def test_as_many_pairs_as_there_can_be() -> None:
    """The nearest does not take the only lesion that another could have hit."""
    lesions = [ball(0.0), ball(8.0)]
    marks = [mark(3.0), mark(-5.0)]  # the first fits both and is nearer to 0, the second only 0
    assert match(marks, lesions) == {0: 1, 1: 0}


def test_one_mark_a_lesion() -> None:
    """The second mark of a lesion is a false one, and it is the one farther away."""
    assert match([mark(2.0), mark(0.5)], [ball(0.0)]) == {1: 0}


def test_a_reading_is_compared_check_by_check() -> None:
    """Lesions that are not shown do not count, and a mark counts for its own check only."""
    checks: list[dict[str, Any]] = [
        {
            "check": "nodule",
            "lesions": [
                ball(0.0, id=1, marked=True),
                ball(50.0, id=2, marked=True),
                ball(90.0, id=3, marked=False),
            ],
        },
        {"check": "bone", "lesions": [ball(0.0, id=1, marked=True)]},
        {"check": "liver", "lesions": []},
    ]
    told = compare([mark(1.0), mark(90.0), mark(0.0, check="aorta")], checks)
    assert (told["lesions"], told["hits"], told["misses"], told["false_marks"]) == (3, 1, 2, 2)
    assert told["sensitivity"] == pytest.approx(1 / 3)
    nodule = told["checks"]["nodule"]
    assert (nodule["hits"], nodule["misses"]) == ([{"lesion": 1, "mark": 0}], [2])
    assert nodule["false_marks"] == [1]
    assert told["checks"]["aorta"]["false_marks"] == [2]
    assert told["checks"]["aorta"]["sensitivity"] is None
    assert "liver" not in told["checks"]


def test_nothing_there_and_nothing_marked() -> None:
    """Sensitivity is not known, which is not the same as zero."""
    told = compare([], [{"check": "nodule", "lesions": []}])
    assert (told["lesions"], told["hits"], told["sensitivity"]) == (0, 0, None)


def reader(state: str, *lesions: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"check": "nodule", "state": state, "lesions": list(lesions)}]


def test_readers_agree_on_states_and_lesions() -> None:
    """What both added at one place is one lesion, whatever its number and size within the rule."""
    ai = reader("positive", ball(0.0, id=1, marked=True), ball(30.0, id=2, marked=False))
    kept = ball(0.0, id=1, marked=True)
    one = reader("positive", kept, ball(60.0, 4.0, id=3, marked=True))
    other = reader("positive", kept, ball(61.0, 7.0, id=3, marked=True))
    assert disagreements(ai, one, other) == []


def test_readers_disagree() -> None:
    """On the state, on a lesion of the check, on one that only one of them added."""
    ai = reader("positive", ball(0.0, id=1, marked=True), ball(30.0, id=2, marked=True))
    one = reader("positive", ball(0.0, id=1, marked=True), ball(60.0, id=3, marked=True))
    other = reader("positive", ball(0.0, id=1, marked=True), ball(30.0, id=2, marked=True))
    [found] = disagreements(ai, one, other)
    assert found["about"] == ["lesions"]
    assert found["only"] == [[3], [2]]
    [found] = disagreements(ai, one, reader("negative"))
    assert found["about"] == ["state", "lesions"]
    assert found["states"] == ["positive", "negative"]
