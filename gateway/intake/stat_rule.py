"""Rules that make a study urgent: names of attributes and patterns, nothing that is evaluated."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

REQUEST = "RequestAttributesSequence"
"""Attributes of its items are kept under its keyword, a dot and their own."""

_NAMES = """
RequestedProcedureID RequestedProcedureDescription RequestedProcedurePriority
RequestedProcedureCodeSequence.CodeValue RequestedProcedureCodeSequence.CodeMeaning
ScheduledProcedureStepID ScheduledProcedureStepDescription ProcedureStepPriority
ScheduledProtocolCodeSequence.CodeValue ScheduledProtocolCodeSequence.CodeMeaning
ProcedureCodeSequence.CodeValue ProcedureCodeSequence.CodeMeaning
ReasonForTheRequestedProcedure PerformedProcedureStepDescription
StudyDescription SeriesDescription ProtocolName Modality BodyPartExamined
StationName InstitutionName InstitutionalDepartmentName ReferringPhysicianName
Manufacturer ManufacturerModelName
"""

RULE_ATTRIBUTES = frozenset(_NAMES.split())
"""What a rule may ask about: what the index keeps and what says how urgent a study is."""


@dataclass(frozen=True)
class StatRule:
    """Holds for an instance when all of its attributes match."""

    patterns: tuple[tuple[str, str], ...]
    """Attribute and pattern: ``*`` any characters, ``?`` one; letters of either case."""

    def holds(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether the rule holds for an instance's indexed attributes.

        What has several values, in items of sequences too, matches by any of them.
        """
        return all(
            any(pattern.match(value) for value in _values(attributes, name))
            for name, pattern in self._compiled
        )

    @cached_property
    def _compiled(self) -> tuple[tuple[str, re.Pattern[str]], ...]:
        # fnmatch's own translation takes no time that a text could drive up
        return tuple(
            (name, re.compile(fnmatch.translate(pattern.replace("[", "[[]")), re.IGNORECASE))
            for name, pattern in self.patterns
        )


def _values(attributes: Mapping[str, Any], name: str) -> Iterator[str]:
    for key in (name, f"{REQUEST}.{name}"):
        value = attributes.get(key, [])
        yield from map(str, value if isinstance(value, list) else [value])
