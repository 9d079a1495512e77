"""The reference form of a study's result; every other form is made from it.

``result.schema.json`` beside this file describes it, and a test holds the two together.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.screening.findings import CheckResult, by_urgency
from gateway.store.screenings import FINAL_STATES

DISCLAIMER = (
    "The reference networks are trained on synthetic phantoms. "
    "Not a medical device, not for clinical use."
)

SCHEMA_PATH = Path(__file__).with_name("result.schema.json")


def schema() -> dict[str, Any]:
    """Give the JSON Schema of `screening_result`."""
    loaded: dict[str, Any] = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
    return loaded


def screening_result(
    row: Mapping[str, Any], released: Sequence[Mapping[str, Any]], *, stage: str | None = None
) -> dict[str, Any]:
    """Put a screening together, finished or not.

    Parameters
    ----------
    row : mapping
        Of ``screenings``.
    released : sequence of mapping
        Its rows of ``check_results``.
    stage : str, optional
        How far a running screening has come.

    Returns
    -------
    dict
        Plain values; the checks most urgent first, those without a result not among them.
    """
    study = row["result"] or {}
    final = row["state"] in FINAL_STATES
    return {
        "screening_id": str(row["screening_id"]),
        "study": {"study_instance_uid": row["study_instance_uid"]},
        "state": row["state"],
        "stage": row["state"] if final or row["state"] == "accepted" else stage,
        **order_json(row),
        "checks": [r.to_json() for r in by_urgency([check_result(item) for item in released])],
        "plan": row["plan"],
        "quality": study.get("quality"),
        "series": study.get("series"),
        "anatomy": study.get("anatomy"),
        "timings": study.get("timings"),
        "provenance": study.get("provenance"),
        **ending_json(row),
        "disclaimer": DISCLAIMER,
    }


def order_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show what was asked for, as every view of a screening does."""
    return {
        "version": row["version"],
        "supersedes": str(row["supersedes"]) if row["supersedes"] else None,
        "attempt": row["attempt"],
        "lane": row["lane"],
        "exam_context": row["exam_context"] or "unknown",
        "requested_checks": list(row["checks"]),
    }


def ending_json(row: Mapping[str, Any]) -> dict[str, Any]:
    """Show how and when it ended, as every view of a screening does."""
    return {
        "error": (
            {"code": row["error_code"], "message": row["error_message"]}
            if row["state"] == "failed"
            else None
        ),
        "created_at": _time(row["created_at"]),
        "started_at": _time(row["started_at"]),
        "finished_at": _time(row["finished_at"]),
    }


def check_result(row: Mapping[str, Any]) -> CheckResult:
    """Read a row of ``check_results``; the reaper writes only state and reason."""
    if row["result"]:
        return CheckResult.from_json(row["result"])
    return CheckResult.without_answer(row["check_name"], row["state"], row["reason"])


def _time(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat()
