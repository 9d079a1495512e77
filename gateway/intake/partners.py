"""Partners: who sends studies, and what is done with them unless a request says otherwise."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.intake.remotes import Archive, RemoteSource
from gateway.intake.stat_rule import StatRule
from gateway.store.critical import Care

DEFAULT_PARTNER = "default"
"""Name of the built-in profile of an API key that no profile names."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """One table ``[partners.NAME]``."""

    name: str
    tenant: str
    ae_titles: tuple[str, ...] = ()
    """Calling AE titles."""

    called: tuple[str, ...] = ()
    """Called AE titles; empty means whatever they call."""

    addresses: tuple[Network, ...] = ()
    """Associations are taken from there only; empty means from anywhere."""

    keys: tuple[str, ...] | None = None
    """Names of API keys; empty means all of the tenant without a profile, None means none."""

    checks: tuple[str, ...] | None = None
    """Default checks; None means every check for a modality of the study."""

    lane: str = "routine"
    exam_context: str = "unknown"
    quiet_seconds: float = 0.0
    """A study is screened when nothing has come for so long; 0 means on request only."""

    retain_days: int | None = None
    """Days that images are kept after the last result; 0 is for ever, None as the settings say."""

    review: str = "single"
    """How whoever has these keys reviews: one reader, two (``double``), or ``teaching``."""

    results: tuple[str, ...] = ()
    """DICOM objects that are made of a screening's results: ``sr``, ``seg``, ``sc``."""

    send_results_to: str | None = None
    """Archive or DICOMweb source that they are sent to; None keeps them here only."""

    stat: tuple[StatRule, ...] = ()

    def is_stat(self, attributes: Mapping[str, Any]) -> bool:
        """Tell whether an instance with these attributes makes its study urgent."""
        return any(rule.holds(attributes) for rule in self.stat)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partners:
    """What the partners file says; without a file there is nobody but the built-in profile."""

    partners: Mapping[str, Partner] = field(default_factory=dict)
    archives: Mapping[str, Archive] = field(default_factory=dict)
    sources: Mapping[str, RemoteSource] = field(default_factory=dict)
    critical: Mapping[str, Care] = field(default_factory=dict)
    """Tenant → who is asked about its critical results."""

    def for_ae(self, called: str, calling: str, address: str) -> Partner | None:
        """Find the partner of a DIMSE association; None where nobody is meant.

        Parameters
        ----------
        called, calling : str
            AE titles of the association.
        address : str
            Where it comes from.
        """
        for partner in self.partners.values():
            if calling.strip() not in partner.ae_titles:
                continue
            if partner.called and called.strip() not in partner.called:
                continue
            return partner if _is_from(address, partner.addresses) else None
        return None

    def for_key(self, tenant: str, key_name: str) -> Partner:
        """Find the profile of an API key by its tenant and name."""
        general: Partner | None = None
        for partner in self.partners.values():
            if partner.tenant != tenant or partner.keys is None:
                continue
            if key_name in partner.keys:
                return partner
            if not partner.keys:
                general = partner
        return general or Partner(name=DEFAULT_PARTNER, tenant=tenant)

    def named(self, tenant: str, name: str) -> Partner:
        """Find a tenant's partner by name; the built-in profile where it is no longer there."""
        partner = self.partners.get(name)
        if partner is not None and partner.tenant == tenant:
            return partner
        return Partner(name=DEFAULT_PARTNER, tenant=tenant)


def _is_from(address: str, networks: tuple[Network, ...]) -> bool:
    if not networks:
        return True
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return any(ip in network for network in networks)
