"""The body of a webhook: identifiers and states, or the whole result where a tenant asked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.results.json import check_result, screening_result


def body(
    delivery: Mapping[str, Any], row: Mapping[str, Any], released: Sequence[Mapping[str, Any]]
) -> bytes:
    """Write the body of a delivery.

    Parameters
    ----------
    delivery : mapping
        Of ``webhook_deliveries``.
    row, released
        The screening and its rows of ``check_results``.

    Returns
    -------
    bytes
        JSON: ``type``, ``timestamp`` and ``data``, as Standard Webhooks have it. No UID and
        nothing of the patient unless the delivery carries the result.
    """
    only = delivery["check_name"]
    shown = [item for item in released if only is None or item["check_name"] == only]
    data: dict[str, Any] = {
        "screening_id": str(row["screening_id"]),
        "version": row["version"],
        "lane": row["lane"],
        "state": row["state"],
        "checks": [
            {"check": one.check, "state": one.state, "reason": one.reason, "urgency": one.urgency}
            for one in map(check_result, shown)
        ],
    }
    if delivery["body"] == "result":
        data["result"] = screening_result(row, shown)
    told = {
        "type": delivery["event"],
        "timestamp": delivery["created_at"].isoformat(),
        "data": data,
    }
    return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
