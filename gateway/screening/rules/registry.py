"""The rules that manifests name: each turns what was measured into a check's measures.

Plan, fan-out and verdict know no check by name; a rule is found here by the manifest's
``[rule] name``.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.exceptions import ManifestError
from gateway.screening.manifest import Manifest
from gateway.screening.rules.bone import bone
from gateway.screening.rules.calcium import calcium
from gateway.screening.rules.chest import chest
from gateway.screening.rules.liver import liver
from gateway.screening.rules.lung import lung
from gateway.screening.rules.rule import Rule

RULES: Mapping[str, Rule] = {
    "bone": bone,
    "cac_drs": calcium,
    "chest": chest,
    "liver": liver,
    "lung": lung,
}
"""Name in the manifest → function."""


def check_rules(manifests: Mapping[str, Manifest]) -> None:
    """Refuse manifests that name a rule which this release does not have.

    Raises
    ------
    ManifestError
        Naming the manifest and the rule.
    """
    for manifest in manifests.values():
        if manifest.rule and manifest.rule.name not in RULES:
            raise ManifestError(
                f"{manifest.name}/pipeline.toml [rule]: this release has no rule "
                f"{manifest.rule.name!r}; it has {', '.join(RULES)}."
            )
