"""One list of reasons."""

from __future__ import annotations

import pytest

from gateway import exceptions
from gateway.exceptions import OneScanError, SeriesError
from gateway.screening.reasons import (
    REASONS,
    reason_of_error,
    reason_of_refusals,
    reason_of_series_code,
)


def leaves(kind: type[OneScanError]) -> list[type[OneScanError]]:
    below = kind.__subclasses__()
    return [kind, *(leaf for one in below for leaf in leaves(one))]


@pytest.mark.parametrize("error", leaves(SeriesError), ids=lambda kind: kind.__name__)
def test_every_series_error_has_a_reason(error: type[SeriesError]) -> None:
    """A refusal that nobody could name would be no_suitable_series by accident."""
    general = {"series.invalid", "series.none_suitable"}
    reason = reason_of_series_code(error.code)
    assert reason in REASONS
    assert (reason == "no_suitable_series") == (error.code in general)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "timeout"),
        (exceptions.ModelTimeoutError(), "timeout"),
        (exceptions.ModelUnavailableError(), "model_unavailable"),
        (exceptions.ModelOutputError(), "model_failed"),
        (exceptions.MissingSlicesError(), "missing_slices"),
        (exceptions.PatientTooYoungError(), "age_under_18"),
        (ValueError("x"), "internal"),
    ],
)
def test_errors_have_reasons(error: Exception, reason: str) -> None:
    """What a check raised becomes the reason that it failed."""
    assert reason_of_error(error) == reason


@pytest.mark.parametrize(
    ("codes", "reason"),
    [
        (["series.localizer"], "localizer"),
        (["series.localizer", "series.missing_slices"], "missing_slices"),
        (["series.localizer", "series.secondary_capture"], "no_suitable_series"),
        (["series.kernel", "series.missing_slices"], "no_suitable_series"),
        (["series.kernel", "series.kernel"], "kernel"),
        ([], "no_suitable_series"),
    ],
)
def test_the_reason_of_several_refusals(codes: list[str], reason: str) -> None:
    """Localizers count only where there is nothing else."""
    assert reason_of_refusals(codes) == reason


def test_every_reason_is_said_in_both_languages() -> None:
    """English and Chinese."""
    for reason in REASONS.values():
        assert reason.en.endswith(".")
        assert reason.zh.endswith("。")
