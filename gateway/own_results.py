"""Objects that OneScan made itself and that come back: kept, never screened.

An archive sends on what it is given, so our own results arrive beside the images that they are
about. Taken for news, each screening would begin the next one.
"""

from __future__ import annotations

from gateway.instance import Instance

MAKER = "onescan"
"""*Manufacturer* or *Manufacturer's Model Name* of what we make begins so, in any case."""

_STORAGE = "1.2.840.10008.5.1.4.1.1."

DERIVED_CLASSES = tuple(
    _STORAGE + family for family in ("7", "11", "30", "66", "88", "104.1", "104.2")
)
"""Families of SOP classes: Secondary Capture, presentation states, Parametric Map, SEG and its
kin, structured reports, encapsulated PDF and CDA. An image of a scanner is of none of them."""


def is_own_result(instance: Instance) -> bool:
    """Tell whether an instance is one of our own results."""
    if not is_derived_class(instance.sop_class_uid):
        return False
    said = (instance.attributes.get(name) for name in ("Manufacturer", "ManufacturerModelName"))
    return any(isinstance(name, str) and name.lower().startswith(MAKER) for name in said)


def is_derived_class(sop_class_uid: str) -> bool:
    """Tell whether a SOP class is one in which results are written."""
    return any(
        sop_class_uid == family or sop_class_uid.startswith(f"{family}.")
        for family in DERIVED_CLASSES
    )
