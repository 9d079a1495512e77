"""What of a home a restore needs: keys, partners and thresholds; passwords and logs stay."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from gateway.backup.manifest import HOME, FileDigest
from gateway.backup.place import write_durably
from gateway.exceptions import TargetNotEmptyError
from gateway.screening.site_thresholds import FOLDER as THRESHOLDS
from gateway.settings import Settings

FILES = ("key", "webhook-key", "log-key")
"""API key of the default tenant, what webhook secrets are derived from, what UIDs in logs are."""

PARTNERS = "partners.toml"
FOLDERS = (THRESHOLDS, "banks")
"""With everything in them."""


def collect(settings: Settings, folder: Path) -> list[str]:
    """Copy the files into a backup, 0600; give their names below `folder`."""
    found = {name: settings.home / name for name in FILES}
    if settings.partners is not None:
        found[PARTNERS] = settings.partners
    for name in FOLDERS:
        for path in sorted((settings.home / name).rglob("*")):
            found[path.relative_to(settings.home).as_posix()] = path
    names = []
    for name, path in found.items():
        if path.is_file():
            target = folder / HOME / name
            _make_private(target.parent)
            write_durably(target, path.read_bytes())
            names.append(f"{HOME}/{name}")
    return names


def refuse_others(home: Path, folder: Path, files: Sequence[FileDigest]) -> None:
    """Refuse a home that has other keys or settings than the backup.

    Raises
    ------
    TargetNotEmptyError
        When one of the files is there with other bytes.
    """
    for one in files:
        there = _place(home, one)
        if there.is_file() and there.read_bytes() != (folder / one.name).read_bytes():
            raise TargetNotEmptyError(f"{there} is there already, and is another.")


def put(home: Path, folder: Path, files: Sequence[FileDigest]) -> list[Path]:
    """Copy the files into a home; give those that were not there."""
    made = []
    for one in files:
        target = _place(home, one)
        if not target.exists():
            _make_private(target.parent)
            write_durably(target, (folder / one.name).read_bytes())
            made.append(target)
    return made


def of_home(files: Sequence[FileDigest]) -> list[FileDigest]:
    """Choose the files that came from the home."""
    return [one for one in files if one.name.startswith(f"{HOME}/")]


def settings_of(settings: Settings) -> dict[str, str | None]:
    """Name the settings that are not their default; a secret has no value."""
    secret = {
        item.name
        for group in fields(Settings)
        if group.name != "home"
        for item in fields(getattr(settings, group.name))
        if not item.repr
    }
    named: dict[str, str | None] = {}
    for name, value in sorted(settings.to_environ().items()):
        if name == "ONESCAN_HOME":  # may lie anywhere
            continue
        item = name.partition("__")[2].lower() or name.lower()
        named[name] = None if item in secret else value
    return named


def _place(home: Path, one: FileDigest) -> Path:
    return home.joinpath(*Path(one.name).parts[1:])


def _make_private(folder: Path) -> None:
    """Make a folder and those above it, for its owner only; what is there keeps its mode."""
    for level in reversed([folder, *folder.parents]):
        if not level.exists():
            level.mkdir(mode=0o700)
