"""Schemas of reviews, reports, agreement and reader studies, for the OpenAPI document."""

from __future__ import annotations

from typing import Any

from gateway.review.content import (
    DECISIONS,
    LESION_DECISIONS,
    MAX_COMMENT_CHARACTERS,
    MAX_LESIONS,
    MAX_NUMBER,
    NAME,
    SETTLED,
    URGENCIES,
)
from gateway.review.purposes import MODES, PURPOSES

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_WHOLE: Schema = {"type": "integer"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_ID: Schema = {"type": "string", "format": "uuid"}
_NUMBER: Schema = {"type": "number", "minimum": -MAX_NUMBER, "maximum": MAX_NUMBER}
_LENGTH: Schema = {"type": "number", "minimum": 0, "maximum": MAX_NUMBER}
_NAME: Schema = {"type": "string", "pattern": f"^{NAME.pattern}$"}
_COMMENT: Schema = {
    "type": "string",
    "maxLength": MAX_COMMENT_CHARACTERS,
    "pattern": "^[^\u0000]*$",
}
_POINT: Schema = {"type": "array", "items": _NUMBER, "minItems": 3, "maxItems": 3}
_DIGEST: Schema = {"type": "string", "pattern": "^[0-9a-f]{64}$"}
_OBJECT: Schema = {"type": "object"}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _of(properties: dict[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": properties,
    }


def _list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def review_schemas() -> dict[str, Schema]:
    """Give them by name."""
    return {**_content(), **_reviews(), **_agreement(), **_reader_studies()}


def _content() -> dict[str, Schema]:
    lesion: dict[str, Schema] = {
        "decision": {"enum": list(LESION_DECISIONS)},
        "id": {"type": "integer", "minimum": 0},
        "comment": _COMMENT,
        "kind": _NAME,
        "site": _NAME,
        "side": {"enum": ["left", "right", "midline"]},
        "centre_mm": _POINT,
        "long_diameter_mm": _LENGTH,
        "short_diameter_mm": _LENGTH,
        "volume_mm3": _LENGTH,
        "series_instance_uid": {"type": "string", "pattern": "^[0-9.]{1,64}$"},
        "slice_index": {"type": "integer", "minimum": 0},
        "sop_instance_uid": {"type": "string", "pattern": "^[0-9.]{1,64}$"},
        "frame_number": {"type": "integer", "minimum": 0},
    }
    finding: dict[str, Schema] = {
        "decision": {"enum": list(DECISIONS)},
        "state": {"enum": list(SETTLED)},
        "urgency": {"enum": list(URGENCIES)},
        "comment": _COMMENT,
        "lesions": {**_list(_ref("ReviewLesion")), "maxItems": MAX_LESIONS},
        "measures": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _or_null(_NUMBER),
        },
    }
    mark = {"check": _NAME, "centre_mm": _POINT, "diameter_mm": _LENGTH, "comment": _COMMENT}
    content: dict[str, Schema] = {
        "comment": _COMMENT,
        "findings": {
            "type": "object",
            "propertyNames": _NAME,
            "additionalProperties": _ref("ReviewFinding"),
        },
        "marks": {**_list(_ref("ReviewMark")), "maxItems": MAX_LESIONS},
    }
    revision = {"type": "integer", "minimum": 1}
    return {
        "ReviewLesion": _of(lesion, optional=tuple(lesion)[1:]),
        "ReviewFinding": _of(finding, optional=tuple(finding)[1:]),
        "ReviewMark": _of(mark, optional=("diameter_mm", "comment")),
        "ReviewContent": _of(content, optional=tuple(content)),
        "BeginReview": _of(
            {"amends": _or_null(_ID), "carries": _or_null(_ID)}, optional=("amends", "carries")
        ),
        "SaveReview": _of({"revision": revision, "content": _ref("ReviewContent")}),
        "SignReview": _of({"revision": revision}),
    }


def _reviews() -> dict[str, Schema]:
    review: dict[str, Schema] = {
        "review_id": _ID,
        "screening_id": _ID,
        "version": _WHOLE,
        "study_instance_uid": _or_null(_TEXT),
        "reader": _TEXT,
        "purpose": {"enum": list(PURPOSES)},
        "state": {"enum": ["draft", "signed"]},
        "final": {"type": "boolean"},
        "revision": _WHOLE,
        "predecessor": _or_null(_ID),
        "amended_by": _or_null(_ID),
        "content": _or_null(_ref("ReviewContent")),
        "digest": _or_null(_DIGEST),
        "comparison": _or_null(_OBJECT),
        "created_at": _TIME,
        "updated_at": _TIME,
        "signed_at": _or_null(_TIME),
    }
    disagreement: dict[str, Schema] = {
        "check": _TEXT,
        "about": _list({"enum": ["state", "lesions"]}),
        "states": _list(_TEXT),
        "only": _list(_list(_WHOLE)),
    }
    finding: dict[str, Schema] = {
        "decision": {"enum": list(DECISIONS)},
        "implied": {"type": "boolean"},
        "ai_state": _TEXT,
        "state": _TEXT,
        "comment": _TEXT,
        "lesions": _list(_ref("ReviewLesion")),
    }
    report: dict[str, Schema] = {
        "review_id": _ID,
        "screening_id": _ID,
        "version": _WHOLE,
        "study_instance_uid": _or_null(_TEXT),
        "reader": _TEXT,
        "readers": _list(_TEXT),
        "purpose": {"enum": list(PURPOSES)},
        "final": {"const": True},
        "predecessor": _or_null(_ID),
        "signed_at": _TIME,
        "digest": _DIGEST,
        "comment": _TEXT,
        "content": _ref("ReviewContent"),
        "findings": {"type": "object", "additionalProperties": _of(finding)},
        "result": _ref("Screening"),
    }
    return {
        "Review": _of(review),
        "BegunReview": _of({**review, "left_behind": _list(_TEXT)}),
        "Reviews": _of(
            {
                "mode": {"enum": list(MODES)},
                "final_review_id": _or_null(_ID),
                "reviews": _list(_ref("Review")),
                "disagreements": _list(_of(disagreement)),
            }
        ),
        "Report": _of(report),
    }


def _agreement() -> dict[str, Schema]:
    figures: dict[str, Schema] = {
        "n": _WHOLE,
        "agreed": _WHOLE,
        "kappa": _or_null({"type": "number"}),
        "low": _or_null({"type": "number"}),
        "high": _or_null({"type": "number"}),
    }
    counts: Schema = {"type": "object", "additionalProperties": _WHOLE}
    check = {
        "check": _TEXT,
        **figures,
        "unanswered": _WHOLE,
        "table": {"type": "object", "additionalProperties": counts},
        "readers": _of(dict(figures)),
    }
    return {"Agreement": _of({"checks": _list(_of(check))})}


def _reader_studies() -> dict[str, Schema]:
    new: dict[str, Schema] = {
        "name": {"type": "string", "maxLength": 200, "pattern": "^[^\u0000]*$"},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1},
        "washout_days": {"type": "number", "minimum": 0, "maximum": 3650},
        "readers": {
            "type": "array",
            "minItems": 1,
            "maxItems": 100,
            "uniqueItems": True,
            "items": {"type": "string", "pattern": "^((key|oidc):[!-~]{1,250}|link)$"},
        },
        "screenings": {
            "type": "array",
            "minItems": 1,
            "maxItems": 2000,
            "uniqueItems": True,
            "items": _ID,
        },
    }
    summary = {
        "reader_study_id": _ID,
        "name": _TEXT,
        "readers": _list(_TEXT),
        "washout_days": {"type": "number"},
        "created_by": _TEXT,
        "created_at": _TIME,
    }
    figures = {
        "with_findings": {"type": "boolean"},
        "readings": _WHOLE,
        "median_seconds": {"type": "number"},
        "lesions": _WHOLE,
        "hits": _WHOLE,
        "sensitivity": _or_null({"type": "number"}),
        "false_marks": _WHOLE,
    }
    progress = {
        "reader": _TEXT,
        "read": _WHOLE,
        "of": _WHOLE,
        "figures": _or_null(_list(_of(figures))),
    }
    following: dict[str, Schema] = {
        "state": {"enum": ["reading", "washing_out", "done"]},
        "review": _ref("Review"),
        "with_findings": {"type": "boolean"},
        "session": _WHOLE,
        "position": _WHOLE,
        "of": _WHOLE,
        "resumes_at": _TIME,
    }
    return {
        "NewReaderStudy": _of(new),
        "ReaderStudySummary": _of(summary),
        "ReaderStudies": _of({"reader_studies": _list(_ref("ReaderStudySummary"))}),
        "ReaderStudy": _of(
            {
                **summary,
                "seed": _or_null(_WHOLE),
                "cases": _WHOLE,
                "progress": _list(_of(progress)),
            }
        ),
        "NextReading": _of(following, optional=tuple(following)[1:]),
    }
