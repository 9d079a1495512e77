"""docs/clinical.md says what the parser of clinical inputs does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from gateway.exceptions import InvalidClinicalError
from gateway.screening import clinical
from gateway.screening.clinical_quantities import QUANTITIES
from gateway.screening.rules import lung_rule
from gateway.store.screenings import EXAM_CONTEXTS

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "clinical.md").read_text(encoding="utf-8")

EXAMPLES = re.findall(r"^\| `(\".*)` \| (refused|[\d.]+ \S+)", TEXT, flags=re.MULTILINE)


def test_every_number_is_documented() -> None:
    """With its units and its range."""
    for name, quantity in QUANTITIES.items():
        others = ", ".join(f"`{unit}`" for unit in quantity.others) or "–"
        row = f"| `{name}` | `{quantity.unit}` | {others} | {quantity.low}–{quantity.high} | "
        assert row in TEXT


def test_every_name_is_documented_and_no_other() -> None:
    """In the two tables of inputs."""
    tables = TEXT[TEXT.index("## Numbers") : TEXT.index("## What is refused")]
    assert set(re.findall(r"^\| `(\w+)` \|", tables, flags=re.MULTILINE)) == set(clinical.NAMES)


@pytest.mark.parametrize("words", [clinical.SEXES, clinical.SMOKING, clinical.CANCERS])
def test_every_word_is_documented(words: tuple[str, ...]) -> None:
    """In its order."""
    assert ", ".join(f"`{word}`" for word in words) in TEXT


def test_every_code_is_documented() -> None:
    """Of the error and its leaves."""
    for kind in (InvalidClinicalError, *InvalidClinicalError.__subclasses__()):
        assert f"| `{kind.code}` |" in TEXT


def test_the_page_has_examples() -> None:
    """They are held to the parser below."""
    assert len(EXAMPLES) == 10


@pytest.mark.parametrize(("sent", "answer"), EXAMPLES)
def test_the_examples_are_true(sent: str, answer: str) -> None:
    """Each is kept as the page says, or refused."""
    values = json.loads("{" + sent + "}")
    if answer == "refused":
        with pytest.raises(InvalidClinicalError):
            clinical.read_clinical(values)
        return
    number, unit = answer.split()
    ((name, kept),) = clinical.read_clinical(values).items()
    assert unit == QUANTITIES[name].unit
    assert kept == pytest.approx(float(number), abs=5e-4)


def test_the_example_file_is_read() -> None:
    """The first block of the page."""
    block = re.search(r"```json\n(.*?)```", TEXT, flags=re.DOTALL)
    assert block
    values = json.loads(block[1])
    assert set(clinical.read_clinical(values)) == set(values)


def test_the_api_asks_for_the_contexts_that_the_lung_rule_knows() -> None:
    """No context that may be ordered is refused later."""
    assert lung_rule.EXAM_CONTEXTS == EXAM_CONTEXTS
