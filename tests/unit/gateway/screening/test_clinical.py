"""Clinical inputs: one refusal a test, and nothing is ever guessed."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.exceptions import AmbiguousClinicalError, ClinicalRangeError, InvalidClinicalError
from gateway.screening.clinical import CANCERS, NAMES, numbers, read_clinical
from gateway.screening.clinical_quantities import QUANTITIES, spelled

RANGE = "request.clinical_out_of_range"
AMBIGUOUS = "request.clinical_ambiguous"
INVALID = "request.invalid_clinical"


def refused(**values: Any) -> InvalidClinicalError:
    with pytest.raises(InvalidClinicalError) as caught:
        read_clinical(values)
    return caught.value


@pytest.mark.parametrize("name", QUANTITIES)
def test_ranges_on_both_sides(name: str) -> None:
    """The limits belong to the range; beyond them a value is refused by name."""
    quantity = QUANTITIES[name]
    for limit, beyond in ((quantity.low, -1), (quantity.high, 1)):
        sent = {"value": limit, "unit": quantity.unit}
        assert read_clinical({name: sent}) == {name: limit}
        error = refused(**{name: {**sent, "value": math.nextafter(limit, beyond * math.inf)}})
        assert error.code == RANGE
        assert str(error).startswith(f"clinical.{name} ")


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ({"ast": 40}, {"ast": 40.0}),
        ({"albumin": 40}, {"albumin": 40.0}),
        ({"albumin": 8.1}, {"albumin": 8.1}),
        ({"glucose": 5.5}, {"glucose": 5.5}),
        ({"glucose": 18}, {"glucose": 18.0}),
        ({"platelets": 200}, {"platelets": 200.0}),
        ({"platelets": 999}, {"platelets": 999.0}),
        ({"age_years": 0}, {"age_years": 0.0}),
    ],
)
def test_plain_numbers_are_in_the_default_unit(
    sent: dict[str, Any], kept: dict[str, float]
) -> None:
    """Where no other unit would fit."""
    assert read_clinical(sent) == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("albumin", 4),
        ("albumin", 7),
        ("albumin", 8),
        ("albumin", 0.5),
        ("glucose", 18.1),
        ("glucose", 25),
        ("glucose", 99),
        ("platelets", 1000),
        ("platelets", 150_000),
    ],
)
def test_a_plain_number_that_fits_another_unit_is_refused(name: str, value: float) -> None:
    """Whether or not it fits the default one too."""
    error = refused(**{name: value})
    assert error.code == AMBIGUOUS
    assert "unit" in str(error)


@pytest.mark.parametrize(
    ("name", "value", "unit", "kept"),
    [
        ("albumin", 4.1, "g/dL", 41.0),
        ("albumin", 41, "g/L", 41.0),
        ("albumin", 7, "g/l", 7.0),
        ("glucose", 99, "mg/dL", 99 / 18.0156),
        ("glucose", 25, "mmol/L", 25.0),
        ("platelets", 150_000, "/uL", 150.0),
        ("platelets", 150, "K/µL", 150.0),
        ("platelets", 150, "10*3/uL", 150.0),
        ("platelets", 150, "×10⁹/L", 150.0),
        ("platelets", 150, "x10^9/L", 150.0),
        ("ast", 40, "IU/L", 40.0),
        ("bmi", 25, "kg/m²", 25.0),
        ("bmi", 25, "kg/m^2", 25.0),
        ("age_years", 50, "years", 50.0),
        ("pack_years", 20, "pack-years", 20.0),
    ],
)
def test_units_are_converted_where_they_are_sent(
    name: str, value: float, unit: str, kept: float
) -> None:
    """Into the default unit."""
    assert read_clinical({name: {"value": value, "unit": unit}})[name] == pytest.approx(kept)


def test_no_unit_is_spelled_like_another() -> None:
    """Within one quantity."""
    for quantity in QUANTITIES.values():
        assert len({spelled(unit) for unit in quantity.units}) == len(quantity.units)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("ast", "ukat/L"),
        ("albumin", "mg/dL"),
        ("albumin", "umol/L"),
        ("glucose", "g/L"),
        ("platelets", "g/L"),  # "G/L" is no UCUM, and lower case grams
        ("age_years", "mo"),
        ("bmi", ""),
        ("bmi", 7),
        ("bmi", None),
        ("bmi", []),
    ],
)
def test_other_units_are_refused(name: str, unit: Any) -> None:
    """And the sentence says which are taken."""
    error = refused(**{name: {"value": 30, "unit": unit}})
    assert error.code == "request.clinical_unit"
    assert QUANTITIES[name].unit in str(error)


def test_the_range_is_told_in_the_unit_that_was_sent() -> None:
    """Half a gram to eight grams a decilitre."""
    error = refused(albumin={"value": 41, "unit": "g/dl"})
    assert str(error) == "clinical.albumin must lie between 0.5 and 8 g/dL."


@pytest.mark.parametrize(
    "value",
    [
        "40",
        True,
        [40],
        {"value": 40},
        {"unit": "U/L"},
        {"value": "40", "unit": "U/L"},
        {"value": 40, "unit": "U/L", "date": "today"},
        {},
    ],
)
def test_what_is_no_number_is_refused(value: Any) -> None:
    """Text is not read as a number, nor truth as one."""
    assert refused(ast=value).code == INVALID


@pytest.mark.parametrize("value", [0, -1, math.nan, math.inf, -math.inf, 10**400])
def test_what_no_patient_has_is_refused(value: float) -> None:
    """Zero, for an enzyme, is a missing value in disguise."""
    assert refused(ast=value).code == RANGE


def test_missing_is_missing() -> None:
    """Never zero: null and an empty report are left out."""
    assert read_clinical({}) == {}
    sent = {"ast": None, "glucose": {"value": None, "unit": "mg/dL"}, "sex": None, "report": " \n"}
    assert read_clinical(sent) == {}
    assert numbers({}) == {}


@pytest.mark.parametrize("name", ["asat", "AST", "", "\ud800", "x" * 500])
def test_unknown_names_are_refused(name: str) -> None:
    """Even with nothing in them; the known ones are listed."""
    error = refused(**{name: None})
    assert error.code == "request.unknown_clinical"
    assert "platelets" in str(error)
    assert str(error).encode()


@pytest.mark.parametrize("values", [[], "ast", 7, None])
def test_inputs_are_an_object(values: Any) -> None:
    """Of names."""
    with pytest.raises(InvalidClinicalError) as caught:
        read_clinical(values)
    assert caught.value.code == INVALID


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sex", "female"),
        ("sex", ["F"]),
        ("smoking", "yes"),
        ("smoking", True),
        ("diabetes", "no"),
        ("diabetes", 0),
        ("immunosuppressed", 1),
        ("primary_cancer", True),
        ("primary_cancer", []),
        ("primary_cancer", "lungs"),
        ("primary_cancer", ["none", "lung"]),
        ("primary_cancer", [["lung"]]),
        ("report", 7),
        ("report", "a\0"),
        ("report", "\ud800"),
        ("report", "x" * 100_001),
    ],
)
def test_other_words_are_refused(name: str, value: Any) -> None:
    """Each by its name."""
    error = refused(**{name: value})
    assert error.code == INVALID
    assert f"clinical.{name} " in str(error)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("none", []),
        (["none"], []),
        ("lung", ["lung"]),
        (["lung", "breast", "lung"], ["breast", "lung"]),
    ],
)
def test_primary_cancer(sent: Any, kept: list[str]) -> None:
    """None is known to be none; several are kept in one order."""
    assert read_clinical({"primary_cancer": sent}) == {"primary_cancer": kept}
    assert numbers({"primary_cancer": kept}) == {"primary_cancer": float(bool(kept))}


def test_never_smoked_contradicts_pack_years() -> None:
    """Which of the two is wrong is not for us to say."""
    assert refused(smoking="never", pack_years=20).code == INVALID
    assert read_clinical({"smoking": "never", "pack_years": 0})["pack_years"] == 0
    assert read_clinical({"smoking": "former", "pack_years": 20})["pack_years"] == 20


def test_numbers_for_rules_and_networks() -> None:
    """Words become numbers, the report does not."""
    kept = read_clinical(
        {
            "sex": "M",
            "smoking": "former",
            "diabetes": False,
            "immunosuppressed": True,
            "primary_cancer": CANCERS[0],
            "ast": 40,
            "report": "fatty",
        }
    )
    assert numbers(kept) == {
        "sex": 1,
        "smoking": 1,
        "diabetes": 0,
        "immunosuppressed": 1,
        "primary_cancer": 1,
        "ast": 40,
    }


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["value", "unit", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)


@settings(max_examples=50)  # nested JSON is slow to draw
@given(values=st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), JSON, max_size=3))
def test_anything_is_read_or_refused(values: dict[str, Any]) -> None:
    """By one error and its leaves; what is kept survives JSON and is read as it stands."""
    try:
        kept = read_clinical(values)
    except InvalidClinicalError:
        pass
    else:
        assert json.loads(json.dumps(kept)) == kept
        assert all(math.isfinite(value) for value in numbers(kept).values())


@given(name=st.sampled_from(sorted(QUANTITIES)), value=st.floats(0.001, 1e7))
def test_a_plain_number_is_never_converted(name: str, value: float) -> None:
    """It is kept as it is or refused."""
    try:
        kept = read_clinical({name: value})
    except (ClinicalRangeError, AmbiguousClinicalError):
        pass
    else:
        assert kept == {name: value}


def test_no_message_repeats_a_value() -> None:
    """Values are the patient's; messages go to logs of others."""
    for name in QUANTITIES:
        for sent in (987_654_321, {"value": 987_654_321, "unit": QUANTITIES[name].unit}):
            assert "98765" not in str(refused(**{name: sent}))
