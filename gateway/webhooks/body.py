"""The body of a webhook: identifiers and states, or the whole result where a tenant asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.results.json import check_result, screening_result
from gateway.review.record import unseal
from gateway.screening.findings import CheckResult


def body(
    delivery: Mapping[str, Any],
    row: Mapping[str, Any],
    released: Sequence[Mapping[str, Any]],
    report: Mapping[str, Any] | None = None,
) -> bytes:
    """Write the body of a delivery.

    Parameters
    ----------
    delivery : mapping
        Of ``webhook_deliveries``.
    row, released
        The screening and its rows of ``check_results``.
    report : mapping, optional
        The signed review that is its final report, where that is told: states are the reader's.

    Returns
    -------
    bytes
        JSON: ``type``, ``timestamp`` and ``data``, as Standard Webhooks have it. No UID and
        nothing of the patient unless the delivery carries the result.
    """
    only = delivery["check_name"]
    shown = [item for item in released if only is None or item["check_name"] == only]
    record = None if report is None else unseal(report["record"], bytes(report["digest"]))
    checks = [check_result(item) for item in shown]
    if record is not None:
        checks = [CheckResult.from_json(item) for item in record["result"]["checks"]]
    data: dict[str, Any] = {
        "screening_id": str(row["screening_id"]),
        "version": row["version"],
        "lane": row["lane"],
        "state": row["state"],
        "checks": [
            {"check": one.check, "state": one.state, "reason": one.reason, "urgency": one.urgency}
            for one in checks
        ],
    }
    if record is not None:
        data |= {key: record[key] for key in ("review_id", "signed_at", "predecessor")}
    if delivery["body"] == "result":
        data["result"] = record["result"] if record else screening_result(row, shown)
    told = {
        "type": delivery["event"],
        "timestamp": delivery["created_at"].isoformat(),
        "data": data,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
