"""The documentation's tables say what the code says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import gateway.client
import gateway.exceptions as exceptions
from gateway import __version__
from gateway.commands import COMMANDS
from gateway.screening.reasons import REASONS
from gateway.settings import CHOICES, Settings, environment_names

ROOT = Path(__file__).resolve().parents[2]


def leaves(kind: type[exceptions.OneScanError]) -> Iterator[type[exceptions.OneScanError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from leaves(child)


def all_errors() -> list[type[exceptions.OneScanError]]:
    assert gateway.client.GatewayError.code
    return sorted(set(leaves(exceptions.OneScanError)), key=lambda kind: kind.__name__)


def test_every_error_has_its_own_code() -> None:
    """No two errors share a code."""
    codes = [kind.code for kind in all_errors()]
    assert sorted(set(codes)) == sorted(codes)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_sentence_and_a_row(kind: type[exceptions.OneScanError]) -> None:
    """The docstring is one sentence, and docs/errors.md has the code with its status."""
    sentence = (kind.__doc__ or "").strip().splitlines()[0]
    assert sentence.endswith(".")
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    row = next((line for line in text.splitlines() if line.startswith(f"| `{kind.code}` ")), "")
    assert f"| {kind.status} |" in row
    assert sentence in row


def test_every_reason_is_documented() -> None:
    """docs/reasons.md has each code with its sentences, and no other."""
    text = (ROOT / "docs" / "reasons.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{r.code}` | {r.en} | {r.zh} |" for r in REASONS.values()]


def test_every_setting_is_documented() -> None:
    """docs/settings.md has a row for each environment variable, with its default."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    missing = [
        name for name in ["ONESCAN_HOME", *environment_names()] if f"| `{name}` " not in text
    ]
    assert not missing


def test_no_setting_is_documented_that_is_not_there() -> None:
    """docs/settings.md names no variable that is not read."""
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^\| `([A-Z0-9_]+)` ", text, flags=re.MULTILINE))
    assert named == {"ONESCAN_HOME", *environment_names()}


def test_settings_survive_the_environment() -> None:
    """What to_environ writes, from_environ reads back, so children get their parent's settings."""
    environ = {"ONESCAN_HOME": "/tmp/x", "DATABASE_URL": "postgresql://h/db"}
    for name in environment_names():
        group, _, item = name.removeprefix("ONESCAN_").lower().partition("__")
        if not item:
            continue
        default = getattr(getattr(Settings(home=Path("/tmp/x")), group), item)
        words = CHOICES.get((group, item), (f"{default}x",))
        environ[name] = words[-1] if isinstance(default, str) else str(default + 1)
    settings = Settings.from_environ(environ)
    assert settings.to_environ() == environ
    assert {f.name for f in fields(Settings)} > {"home", "api", "store"}


def test_secrets_are_masked() -> None:
    """Printing settings shows no key and no database password."""
    settings = Settings.from_environ(
        {"ONESCAN_API__KEY": "s3cret-key", "DATABASE_URL": "postgresql://u:s3cret-pw@h/db"}
    )
    assert "s3cret" not in repr(settings)


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    """A typing error in a variable's name is found at start-up."""
    with pytest.raises(exceptions.UsageError, match="did you mean ONESCAN_API__PORT"):
        Settings.from_environ({"ONESCAN_API__PROT": "1"})


def test_the_readme_names_every_command() -> None:
    """Each `onescan` command has a line in the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    missing = [command.NAME for command in COMMANDS if f"`onescan {command.NAME}" not in text]
    assert not missing


def test_the_changelog_has_this_version() -> None:
    """A release without a changelog entry does not pass."""
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_line_shows_help() -> None:
    """`onescan --help` lists every command without importing what is slow."""
    shown = subprocess.run(
        [sys.executable, "-m", "gateway.cli", "--help"], capture_output=True, text=True, check=True
    ).stdout
    assert all(command.NAME in shown for command in COMMANDS)


def test_docs_name_no_machine() -> None:
    """Nothing in the project names a path of somebody's machine."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    home_like = re.compile(r"/(?:home|Users)/\w+/")
    found = [
        name
        for name in listed.stdout.split("\0")
        if name.endswith((".md", ".toml", ".py", ".yaml", ".txt"))
        and home_like.search((ROOT / name).read_text(encoding="utf-8"))
    ]
    assert not [name for name in found if name != "tests/contract/test_docs.py"]
