"""Which checks a screening asks for when nobody names any."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.exceptions import PartnersError
from gateway.intake.partners import Partners
from gateway.screening.manifest import Manifest


def default_checks(manifests: Mapping[str, Manifest], modalities: Iterable[str]) -> tuple[str, ...]:
    """Give the checks whose modality occurs among the study's series.

    Where there is none, all are asked, and each says why it cannot answer: a study is never
    passed over in silence.

    Parameters
    ----------
    manifests : mapping
        All that are installed.
    modalities : iterable of str
        (0008,0060) *Modality* of the study's series.
    """
    there = set(modalities)
    installed = [manifest for manifest in manifests.values() if manifest.is_check]
    fitting = [m.name for m in installed if there & set(m.needs.modality)]
    return tuple(fitting or [manifest.name for manifest in installed])


def refuse_unknown_checks(partners: Partners, manifests: Mapping[str, Manifest]) -> None:
    """Refuse a profile that names a check which is not installed.

    Raises
    ------
    PartnersError
        Naming table and check.
    """
    installed = {name for name, manifest in manifests.items() if manifest.is_check}
    for partner in partners.partners.values():
        if missing := sorted(set(partner.checks or ()) - installed):
            raise PartnersError(
                f"[partners.{partner.name}]: checks holds {missing[0]!r}, which is not installed;"
                f" installed are {', '.join(sorted(installed))}."
            )
