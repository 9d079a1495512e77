"""Counters begin at zero, and what is measured when it is asked for."""

from __future__ import annotations

import math
from pathlib import Path

from prometheus_client import generate_latest

from gateway import __version__
from gateway.metrics import (
    BEGINNING,
    CHECKS,
    DISK_BYTES,
    DISK_FREE,
    REGISTRY,
    STATES,
    begin_checks,
    watch_disk,
)


def test_what_has_a_closed_list_of_words_begins_at_zero() -> None:
    """A counter that appears with its first event would hide that event from increase()."""
    told = generate_latest(REGISTRY).decode()
    for counter, words in BEGINNING.items():
        [label] = counter._labelnames
        assert len(set(words)) == len(words)
        for word in words:
            assert f'{counter._name}_total{{{label}="{word}"}} ' in told


def test_a_worker_counts_every_state_of_its_checks_from_zero() -> None:
    """Also those that it has not released yet."""
    begin_checks(["a_check"])
    told = generate_latest(REGISTRY).decode()
    for state in STATES:
        assert f'onescan_checks_total{{check="a_check",state="{state}"}} 0.0' in told
        CHECKS.remove("a_check", state)


def test_a_disk_is_measured_when_asked(tmp_path: Path) -> None:
    """Size and free space are those of the file system, and no number where it is gone."""
    folder = tmp_path / "objects"
    folder.mkdir()
    watch_disk("test", folder)
    size = REGISTRY.get_sample_value("onescan_disk_bytes", {"kind": "test"})
    free = REGISTRY.get_sample_value("onescan_disk_free_bytes", {"kind": "test"})
    assert size is not None
    assert free is not None
    assert 0 < free < size
    folder.rmdir()
    gone = REGISTRY.get_sample_value("onescan_disk_free_bytes", {"kind": "test"})
    assert gone is not None
    assert math.isnan(gone)
    DISK_BYTES.remove("test")
    DISK_FREE.remove("test")


def test_the_release_is_told() -> None:
    """Two releases side by side can be seen."""
    labels = {"version": __version__}
    assert REGISTRY.get_sample_value("onescan_build_info", labels) == 1.0
