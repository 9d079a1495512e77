"""A site's own flag thresholds: a file with its evidence, versioned, and applied to manifests."""

from __future__ import annotations

import hashlib
import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway.exceptions import ThresholdSetError
from gateway.log import get_logger
from gateway.screening.calibration import Calibration, CheckFlags, Flag
from gateway.screening.manifest import Manifest
from gateway.screening.thresholds import Thresholds

SCHEMA = 1
DEFAULT_SITE = "default"
"""Without a file of its own: the manifests' thresholds."""

FOLDER = "thresholds"
"""Under the home."""

_SITE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

log = get_logger("onescan.thresholds")


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteThresholds:
    """The flag thresholds of one site; none for a site without a file."""

    site: str = DEFAULT_SITE
    version: int = 0
    digest: str | None = None
    """sha256 of the file."""

    checks: Mapping[str, CheckFlags] = field(default_factory=dict)
    models: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """Check → digests of the weights that the scores came from."""

    @property
    def id(self) -> str:
        """Name of the set, shown with every result."""
        return f"{self.site}-{self.version}"

    def fits(self, manifest: Manifest) -> bool:
        """Say whether a check's thresholds were set on its weights and thresholds of today."""
        flags = self.checks.get(manifest.name)
        return (
            flags is not None
            and manifest.thresholds is not None
            and flags.base == manifest.thresholds.id
            and dict(self.models.get(manifest.name, {})) == dict(manifest.models)
        )

    def tuned(self, manifest: Manifest, scanner_model: str) -> Manifest:
        """Give a manifest with the site's flag threshold on a scanner model."""
        thresholds = manifest.thresholds
        if thresholds is None or not self.fits(manifest):
            return manifest
        value = self.checks[manifest.name].value_for(scanner_model)
        return replace(manifest, thresholds=_moved(thresholds, value, self.id))

    def provenance(self, manifest: Manifest) -> dict[str, Any] | None:
        """Give what a result says of the site's set; None where it is not applied."""
        if not self.fits(manifest):
            return None
        return {"set": self.id, "digest": self.digest}


def _moved(thresholds: Thresholds, value: float, name: str) -> Thresholds:
    """Move the flag; lesions that were flagged with it move along."""
    lesion = thresholds.lesion
    if lesion is not None and lesion.flag == thresholds.flag.value:
        lesion = replace(lesion, flag=value)
    return replace(
        thresholds,
        id=f"{thresholds.id}+{name}",
        flag=replace(thresholds.flag, value=value),
        lesion=lesion,
    )


def path_of(home: Path, site: str) -> Path:
    """Give the file of a site's set in use.

    Raises
    ------
    ThresholdSetError
        When the name is no name of a file.
    """
    if not _SITE.fullmatch(site):
        raise ThresholdSetError(f"{site!r} is no name of a site: letters, digits, - _ and . only.")
    return home / FOLDER / f"{site}.toml"


def load_site(home: Path, site: str) -> SiteThresholds:
    """Read the set of a site; the default site, and only it, may be without a file.

    Raises
    ------
    ThresholdSetError
        When the file is missing or broken.
    """
    path = path_of(home, site)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        if site == DEFAULT_SITE:
            return SiteThresholds()
        raise ThresholdSetError(f"{path} does not exist; `onescan calibrate` makes it.") from None
    try:
        values = tomllib.loads(data.decode())
        if values["schema"] != SCHEMA or values["site"] != site:
            raise ValueError("schema or site is another")
        return SiteThresholds(
            site=site,
            version=int(values["version"]),
            digest=hashlib.sha256(data).hexdigest(),
            checks={name: _read(name, table) for name, table in values["checks"].items()},
            models={
                name: {model: digest or None for model, digest in table["models"].items()}
                for name, table in values["checks"].items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ThresholdSetError(f"{path} is broken: {error!r}.") from error


def warn_of_stale(site: SiteThresholds, manifests: Mapping[str, Manifest]) -> list[str]:
    """Name the checks whose site thresholds were set on other weights or manifests; log them."""
    stale = [
        name for name in sorted(site.checks) if name in manifests and not site.fits(manifests[name])
    ]
    for name in stale:
        log.warning("onescan.thresholds.stale", check=name, set=site.id)
    return stale


def save_site(
    home: Path,
    site: str,
    calibration: Calibration,
    manifests: Mapping[str, Manifest],
    *,
    created_at: str,
    evidence: str,
) -> SiteThresholds:
    """Write the next version of a site's set, and put it in use.

    Parameters
    ----------
    created_at : str
        ISO 8601.
    evidence : str
        What the set rests on; kept beside it, its digest in it.

    Returns
    -------
    SiteThresholds
        As `load_site` reads it.
    """
    path = path_of(home, site)
    version = load_site(home, site).version + 1 if path.exists() else 1
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept = path.with_name(f"{site}-{version}.evidence.json")
    _write(kept, evidence)
    head = {
        "schema": SCHEMA,
        "site": site,
        "version": version,
        "created_at": created_at,
        "false_flag_budget": calibration.budget,
        "studies": calibration.studies,
        "flagged_before": calibration.flagged_before,
        "flagged": calibration.flagged,
        "upper_bound": round(calibration.upper_bound, 6),
        "evidence": kept.name,
        "evidence_digest": hashlib.sha256(evidence.encode()).hexdigest(),
    }
    text = _toml(head, calibration, manifests)
    _write(path.with_name(f"{site}-{version}.toml"), text)
    _write(path, text)
    return load_site(home, site)


def _read(name: str, table: Mapping[str, Any]) -> CheckFlags:
    flags = tuple(Flag(**{"before": 0.0, **item}) for item in table["flags"])
    found = CheckFlags(
        check=name, base=str(table["base"]), budget=float(table["budget"]), flags=flags
    )
    found.value_for("")  # there must be one for all others
    return found


def _toml(
    head: Mapping[str, Any], calibration: Calibration, manifests: Mapping[str, Manifest]
) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in head.items()]
    for check in calibration.checks:
        models = {model: digest or "" for model, digest in manifests[check.check].models.items()}
        lines += ["", f"[checks.{json.dumps(check.check)}]"]
        lines += [f"base = {json.dumps(check.base)}", f"budget = {check.budget:.6g}"]
        inside = ", ".join(f"{json.dumps(m)} = {json.dumps(d)}" for m, d in models.items())
        lines.append(f"models = {{{inside}}}")
        for flag in check.flags:
            lines += ["", f"[[checks.{json.dumps(check.check)}.flags]]"]
            for key, value in asdict(flag).items():
                shown = round(value, 6) if isinstance(value, float) else value
                lines.append(f"{key} = {json.dumps(shown, ensure_ascii=False)}")
    return "\n".join(lines) + "\n"


def _write(path: Path, text: str) -> None:
    """Write a file that is there whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
