"""A signature: what is checked, what becomes the record, and whether it is the final report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gateway.exceptions import ConflictError, SignedMeanwhileError
from gateway.review.comparison import compare
from gateway.review.content import read_content
from gateway.review.disagreement import disagreements
from gateway.review.purposes import MARKING, final_of, purpose_for, signed_independents
from gateway.review.record import seal, unseal
from gateway.review.verdicts import reviewed
from gateway.screening.findings import CheckResult, by_urgency
from gateway.store import reader_studies, reviews
from gateway.store.database import Connection
from gateway.store.reviews import Review


@dataclass(frozen=True, slots=True)
class Signing:
    """What a signature is put under."""

    draft: Review
    """Which the caller holds, together with the lock of its study."""

    known: list[Review]
    """All reviews of the screening, the draft among them."""

    result: dict[str, Any]
    """The screening's, in the reference form."""

    @property
    def others(self) -> list[Review]:
        """All but the draft."""
        return [row for row in self.known if row["review_id"] != self.draft["review_id"]]


async def sign(connection: Connection, signing: Signing) -> Review:
    """Sign a draft, in the caller's transaction.

    Raises
    ------
    SignedMeanwhileError, SupersededError, UndecidedError, InvalidReviewError
        When it cannot be signed as it stands; the draft stays as it is.
    """
    if signing.draft["purpose"] in MARKING:
        return await _sign_marks(connection, signing)
    draft = signing.draft
    await reviews.refuse_superseded(connection, draft["tenant"], draft["screening_id"])
    _refuse_second(signing)
    content = read_content(draft["content"], marks=False)
    checks = signing.result["checks"]
    results, findings = reviewed(content, checks)
    first = _first_reader(signing)
    agree = first is not None and not disagreements(checks, first["result"]["checks"], results)
    final = draft["purpose"] != "independent" or agree
    ordered = by_urgency([CheckResult.from_json(one) for one in results])
    said = {one["check"]: {k: v for k, v in one.items() if k != "check"} for one in findings}
    record = {
        **await _header(connection, signing),
        "readers": _readers(signing),
        "final": final,
        "comment": content["comment"],
        "content": content,
        "findings": said,
        "result": {**signing.result, "checks": [one.to_json() for one in ordered]},
    }
    return await _write(connection, signing, record, said, final=final)


async def _sign_marks(connection: Connection, signing: Signing) -> Review:
    """Compare a reader's marks with the final report, or with what the checks marked."""
    draft = signing.draft
    content = read_content(draft["content"], marks=True)
    report = final_of(signing.known)
    against, truth = "checks", signing.result
    if report is not None:
        against, truth = "report", unseal(report["record"], bytes(report["digest"]))["result"]
    elif draft["purpose"] == "study":
        raise ConflictError("The case has no final report to compare with.")
    record = {
        **await _header(connection, signing),
        "content": content,
        "comparison": {"against": against, **compare(content["marks"], truth["checks"])},
    }
    signed = await _write(connection, signing, record, {}, final=False)
    await reader_studies.close(connection, draft["review_id"])
    return signed


async def _header(connection: Connection, signing: Signing) -> dict[str, Any]:
    draft = signing.draft
    return {
        "review_id": str(draft["review_id"]),
        "screening_id": str(draft["screening_id"]),
        "version": draft["version"],
        "study_instance_uid": draft["study_instance_uid"],
        "reader": draft["reader"],
        "purpose": draft["purpose"],
        "predecessor": draft["predecessor"] and str(draft["predecessor"]),
        "signed_at": (await reviews.clock(connection)).isoformat(),
    }


async def _write(
    connection: Connection,
    signing: Signing,
    record: dict[str, Any],
    findings: dict[str, Any],
    *,
    final: bool,
) -> Review:
    text, digest = seal(record)
    return await reviews.sign(
        connection,
        signing.draft,
        final=final,
        signed_at=await reviews.clock(connection),
        record=text,
        digest=digest,
        findings=findings,
    )


def _refuse_second(signing: Signing) -> None:
    """Refuse a signature after another's: the final report, an amendment, or two readers'.

    Raises
    ------
    SignedMeanwhileError
        Saying who has signed, when, and what to do.
    """
    draft, others = signing.draft, signing.others
    final = final_of(others)
    if draft["predecessor"] is not None:
        if final is None or final["review_id"] != draft["predecessor"]:
            purpose_for("single", others, draft["reader"])  # says who has amended it
        return
    mode = "single" if draft["purpose"] == "report" else "double"
    purpose = purpose_for(
        mode, [row for row in others if row["state"] == "signed"], draft["reader"]
    )
    if purpose != draft["purpose"]:
        raise SignedMeanwhileError(
            f"Others have signed, so this review would be the {purpose} now;"
            " begin it again, which keeps the draft."
        )


def _first_reader(signing: Signing) -> dict[str, Any] | None:
    """Give the record of the reader whose independent review this one is the second to."""
    if signing.draft["purpose"] != "independent":
        return None
    signed = signed_independents(signing.others)
    return unseal(signed[0]["record"], bytes(signed[0]["digest"])) if signed else None


def _readers(signing: Signing) -> list[str]:
    """List all whose signed reviews are in this one, himself at the end."""
    draft, before = signing.draft, []
    if draft["predecessor"] is not None:
        amended = next(r for r in signing.known if r["review_id"] == draft["predecessor"])
        before = unseal(amended["record"], bytes(amended["digest"]))["readers"]
    elif draft["purpose"] != "report":
        before = [row["reader"] for row in signed_independents(signing.others)]
    return [*(name for name in before if name != draft["reader"]), draft["reader"]]
