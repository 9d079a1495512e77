"""The report is one file that asks for nothing."""

from __future__ import annotations

import re

from gateway.screening.findings import CheckResult
from gateway.ui.report import report


def test_a_report_is_whole_and_escaped() -> None:
    """Both languages, no script, no address, text as text."""
    checks = [
        CheckResult.without_answer("liver", "not_evaluated", "contrast").to_json(),
        CheckResult(
            check="nodule",
            state="negative",
            text={"en": "<script>alert(1)</script>", "zh": "无"},
            provenance={"version": "<b>"},
        ).to_json(),
    ]
    result = {"state": "done", "checks": checks, "study": {"study_instance_uid": "1.2.3"}}
    page = report(result, {})
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r'(src|href)="', page)
    assert "not evaluated" in page
    assert "未评估" in page
    assert page.count("<article") == 4
