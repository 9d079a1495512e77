"""What was passed over or refused, told on stderr in few lines."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.exceptions import NotDicomError, OneScanError

NAMES = 3
"""So many files that are not DICOM are named, the others counted."""


def tell_refused(refused: Sequence[tuple[str, OneScanError]]) -> None:
    """Print a line for each DICOM file that was refused, and one for all others.

    Parameters
    ----------
    refused : sequence of (str, OneScanError)
        Name of each file, and why.
    """
    others = [name for name, error in refused if isinstance(error, NotDicomError)]
    for name, error in refused:
        if not isinstance(error, NotDicomError):
            print(f"onescan: {name}: {error} [{error.code}]", file=sys.stderr)
    if others:
        names = ", ".join(Path(name).name for name in others[:NAMES])
        more = f" and {len(others) - NAMES} more" if len(others) > NAMES else ""
        verb = "is" if len(others) == 1 else "are"
        print(f"onescan: {names}{more} {verb} not DICOM [{NotDicomError.code}]", file=sys.stderr)


def tell_failures(failed: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each reason for which the server refused instances.

    Parameters
    ----------
    failed : sequence of mapping
        As `gateway.client.GatewayClient.store` gives them.
    """
    reasons: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for failure in failed:
        sentence = failure["message"] or f"failure reason {failure['failure_reason']}"
        reasons[sentence, failure["code"]].append(failure["sop_instance_uid"] or "an instance")
    for (sentence, code), names in reasons.items():
        who = names[0] if len(names) == 1 else f"{len(names)} instances, {names[0]} first,"
        verb = "was" if len(names) == 1 else "were"
        print(f"onescan: {who} {verb} refused: {sentence} [{code}]", file=sys.stderr)
