"""DIMSE: what comes by C-STORE, and what we ask of archives.

The acceptor is our own on asyncio, so that every wait has an end and a fragment is written as it
comes; pynetdicom gives the forms of association PDUs, the tables of SOP classes and the requestor.
"""

from __future__ import annotations

import logging

logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # it would log what is in data sets

IMPLEMENTATION_CLASS_UID = "2.25.285288675901580157644269368158091103102"
"""(0002,0012) and of every association; a UUID of our own (PS3.5, B.2)."""

IMPLEMENTATION_VERSION_NAME = "ONESCAN_010"
"""(0002,0013), 16 characters at most."""
