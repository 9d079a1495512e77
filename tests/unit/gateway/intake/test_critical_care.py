"""Who is asked about critical results, as the partners file says it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.exceptions import PartnersError
from gateway.intake.partners_reader import read_partners
from gateway.store.critical import Care


def read(folder: Path, text: str) -> dict[str, Care]:
    file = folder / "partners.toml"
    file.write_text(text)
    return dict(read_partners(file).critical)


def test_a_tenant_names_persons_and_minutes(tmp_path: Path) -> None:
    """One after another; a quarter of an hour where nothing is said."""
    clinic = '[critical.clinic]\nask = ["Dr Li", " Dr Wang "]\n'
    text = f'{clinic}[critical.other]\nask = ["x"]\nminutes = 2'
    assert read(tmp_path, text) == {
        "clinic": Care(ask=("Dr Li", "Dr Wang"), minutes=15.0),
        "other": Care(ask=("x",), minutes=2.0),
    }


@pytest.mark.parametrize(
    "line",
    [
        "ask = []",
        'ask = [" "]',
        'ask = ["a\\nb"]',
        f'ask = ["{"x" * 65}"]',
        'ask = ["a"]\nminutes = 0',
        'ask = ["a"]\nminutes = 1441',
        'ask = ["a"]\nminutes = "soon"',
        'ask = ["a"]\nhours = 1',
        "minutes = 5",
    ],
)
def test_anything_else_is_refused(tmp_path: Path, line: str) -> None:
    """Nobody to ask, no time, a key that is not known."""
    with pytest.raises(PartnersError, match=r"\[critical\] \[clinic\]"):
        read(tmp_path, f"[critical.clinic]\n{line}\n")
