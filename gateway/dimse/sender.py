"""Whom an association is with, and what it says of an instance."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.intake.partners import Partner


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who an association is with."""

    partner: Partner
    """Profile; its tenant is whose the instances are."""

    calling: str
    called: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """What the command and its presentation context say of a data set."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
