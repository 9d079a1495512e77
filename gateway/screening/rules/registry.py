"""The rules that manifests name: each turns what was measured into a check's measures.

Plan, fan-out and verdict know no check by name; a rule is found here by the manifest's
``[rule] name``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass

from gateway.exceptions import ManifestError
from gateway.screening.anatomy import Anatomy
from gateway.screening.liver import steatosis
from gateway.screening.manifest import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleInput:
    """What a rule may look at."""

    anatomy: Anatomy
    without: Set[str]
    """Organs that the plan left out: their measures must not be used."""

    parameters: Mapping[str, float]
    clinical: Mapping[str, float]

    def median_hu(self, organ: str) -> float | None:
        """Give the eroded median of an organ, None when absent or left out."""
        return None if organ in self.without else self.anatomy.organ(organ).median_hu


def _steatosis(given: RuleInput) -> dict[str, float | None]:
    return steatosis(given.median_hu("liver"), given.median_hu("spleen"), given.parameters)


RULES: Mapping[str, Callable[[RuleInput], dict[str, float | None]]] = {"steatosis": _steatosis}
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
