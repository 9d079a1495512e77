"""SOP classes and transfer syntaxes that are negotiated; docs/conformance.md has them too."""

from __future__ import annotations

from typing import Final

from pynetdicom import sop_class
from pynetdicom.service_class import ServiceClass, StorageServiceClass

from gateway.intake.header import is_uid

VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
"""Storage Commitment Push Model."""

COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""Its well-known SOP Instance."""

STORAGE_CLASSES: dict[str, str] = dict(sop_class._STORAGE_CLASSES)
"""Keyword → UID of every storage SOP class that pynetdicom knows."""

STORAGE_ROOT = "1.2.840.10008.5.1.4.1.1."
"""Where the standard has its storage SOP classes; newer and retired ones are taken too."""

STANDARD_ROOT = "1.2.840.10008."

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"

TRANSFER_SYNTAXES: dict[str, str] = {
    EXPLICIT: "Explicit VR Little Endian",
    IMPLICIT: "Implicit VR Little Endian",
    "1.2.840.10008.1.2.2": "Explicit VR Big Endian (retired)",
    "1.2.840.10008.1.2.1.99": "Deflated Explicit VR Little Endian",
    "1.2.840.10008.1.2.1.98": "Encapsulated Uncompressed Explicit VR Little Endian",
    "1.2.840.10008.1.2.4.50": "JPEG Baseline (Process 1)",
    "1.2.840.10008.1.2.4.51": "JPEG Extended (Process 2 and 4)",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless, Non-Hierarchical (Process 14)",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless, Non-Hierarchical, First-Order Prediction",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Lossy (Near-Lossless)",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 (Lossless Only)",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
    "1.2.840.10008.1.2.4.92": "JPEG 2000 Part 2 Multi-component (Lossless Only)",
    "1.2.840.10008.1.2.4.93": "JPEG 2000 Part 2 Multi-component",
    "1.2.840.10008.1.2.4.100": "MPEG2 Main Profile / Main Level",
    "1.2.840.10008.1.2.4.101": "MPEG2 Main Profile / High Level",
    "1.2.840.10008.1.2.4.102": "MPEG-4 AVC/H.264 High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.103": "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1",
    "1.2.840.10008.1.2.4.104": "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 2D Video",
    "1.2.840.10008.1.2.4.105": "MPEG-4 AVC/H.264 High Profile / Level 4.2 for 3D Video",
    "1.2.840.10008.1.2.4.106": "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2",
    "1.2.840.10008.1.2.4.107": "HEVC/H.265 Main Profile / Level 5.1",
    "1.2.840.10008.1.2.4.108": "HEVC/H.265 Main 10 Profile / Level 5.1",
    "1.2.840.10008.1.2.4.201": "High-Throughput JPEG 2000 (Lossless Only)",
    "1.2.840.10008.1.2.4.202": "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)",
    "1.2.840.10008.1.2.4.203": "High-Throughput JPEG 2000",
    "1.2.840.10008.1.2.5": "RLE Lossless",
}
"""UID → name of what C-STORE takes. What it takes is kept as it came, readable here or not."""

PLAIN_SYNTAXES = (EXPLICIT, IMPLICIT, "1.2.840.10008.1.2.2")
"""In our order, for services other than storage and where no compressed one comes before."""


def is_storage(abstract_syntax: str) -> bool:
    """Tell whether C-STORE is taken under an abstract syntax.

    Those of the standard by its tables or their root, and everything under another root: nobody
    but its owner knows what a private SOP class is, and refusing it would lose objects.
    """
    if abstract_syntax in STORAGE_CLASSES.values() or abstract_syntax.startswith(STORAGE_ROOT):
        return sop_class.uid_to_service_class(abstract_syntax) in (
            StorageServiceClass,
            ServiceClass,
        )
    return is_uid(abstract_syntax) and not abstract_syntax.startswith(STANDARD_ROOT)


def choose_syntax(abstract_syntax: str, proposed: list[str]) -> str | None:
    """Choose one of the proposed transfer syntaxes; None when none is taken.

    The first one that is taken is what the sender likes best, and mostly what its files are in;
    among uncompressed ones little endian with explicit VR is chosen.
    """
    taken = TRANSFER_SYNTAXES if is_storage(abstract_syntax) else PLAIN_SYNTAXES
    fitting = [syntax for syntax in proposed if syntax in taken]
    if not fitting:
        return None
    if fitting[0] in PLAIN_SYNTAXES:
        return next(syntax for syntax in PLAIN_SYNTAXES if syntax in fitting)
    return fitting[0]
