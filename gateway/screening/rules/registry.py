"""The rules that manifests name: each turns what was measured into a check's measures.

Plan, fan-out and verdict know no check by name; a rule is found here by the manifest's
``[rule] name``.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.exceptions import ManifestError
from gateway.screening.liver import steatosis
from gateway.screening.manifest import Manifest
from gateway.screening.rules.rule import Rule, RuleInput, RuleOutput


def _steatosis(given: RuleInput) -> RuleOutput:
    return RuleOutput(
        measures=steatosis(given.median_hu("liver"), given.median_hu("spleen"), given.parameters)
    )


RULES: Mapping[str, Rule] = {"steatosis": _steatosis}
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
