"""The schemas of the OpenAPI document: what goes in and what comes out, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway import exceptions
from gateway.api.review_schemas import review_schemas
from gateway.api.screening_lists import SCREENING_STATES
from gateway.api.webhooks import MAX_OVERLAP_HOURS, OVERLAP_HOURS
from gateway.intake.header import MAX_UID_CHARACTERS, UID
from gateway.principal import QUOTAS
from gateway.results.json import schema as result_schema
from gateway.screening.manifest import STATES
from gateway.store import deliveries, events, result_jobs
from gateway.store.queue import LANES
from gateway.store.screenings import EXAM_CONTEXTS
from gateway.store.suspensions import MAX_REASON_CHARACTERS, SUSPENDABLE
from gateway.webhooks.address import MAX_URL_CHARACTERS

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
TIME: Schema = {"type": "string", "format": "date-time"}
IDENTIFIER: Schema = {"type": "string", "format": "uuid"}
UID_TEXT: Schema = {
    "type": "string",
    "pattern": f"^({UID.pattern})$",
    "maxLength": MAX_UID_CHARACTERS,
}


def ref(name: str) -> Schema:
    """Point at a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def or_null(schema: Schema) -> Schema:
    """Allow null, too."""
    return {"anyOf": [schema, {"type": "null"}]}


def of(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """Describe an object that has these properties and no others."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": dict(properties),
    }


def listed(schema: Schema) -> Schema:
    """Describe a list."""
    return {"type": "array", "items": schema}


def page_of(name: str, schema: str) -> Schema:
    """Describe one page of a list."""
    return of({name: listed(ref(schema)), "next_cursor": or_null(TEXT)})


def codes() -> list[str]:
    """List every stable error code."""

    def below(kind: type[exceptions.OneScanError]) -> Iterator[str]:
        yield kind.code
        for child in kind.__subclasses__():
            if child.__module__ == exceptions.__name__:
                yield from below(child)

    return sorted(set(below(exceptions.OneScanError)))


def schemas() -> dict[str, Schema]:
    """Give every schema by its name."""
    return {**_results(), **_ours(), **review_schemas()}


def _results() -> dict[str, Schema]:
    """Take over the schema of a result; its parts become schemas of the document."""

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: item.replace("#/$defs/", "#/components/schemas/Result_")
                if key == "$ref"
                else moved(item)
                for key, item in value.items()
            }
        return [moved(item) for item in value] if isinstance(value, list) else value

    whole = moved(result_schema())
    parts = whole.pop("$defs")
    del whole["$schema"], whole["$id"]
    return {"Screening": whole} | {f"Result_{name}": part for name, part in parts.items()}


def _ours() -> dict[str, Schema]:
    summary = {
        "screening_id": IDENTIFIER,
        "study_instance_uid": or_null(TEXT),
        "state": {"enum": list(SCREENING_STATES)},
        "version": {"type": "integer", "minimum": 1},
        "supersedes": or_null(IDENTIFIER),
        "attempt": {"type": "integer", "minimum": 1},
        "lane": {"enum": list(LANES)},
        "exam_context": {"enum": list(EXAM_CONTEXTS)},
        "requested_checks": listed(TEXT),
        "check_states": {"type": "object", "additionalProperties": {"enum": list(STATES)}},
        "error": or_null(of({"code": or_null(TEXT), "message": or_null(TEXT)})),
        "created_at": TIME,
        "started_at": or_null(TIME),
        "finished_at": or_null(TIME),
    }
    study = {
        "study_instance_uid": TEXT,
        "accession_number": TEXT,
        "study_date": {"type": "string", "description": "YYYYMMDD, or empty"},
        "description": or_null(TEXT),
        "modalities": listed(TEXT),
        "series_count": WHOLE,
        "instance_count": WHOLE,
        "created_at": TIME,
        "updated_at": TIME,
    }
    series = {
        "series_instance_uid": TEXT,
        "modality": TEXT,
        "series_number": or_null(WHOLE),
        "description": or_null(TEXT),
        "instance_count": WHOLE,
        "updated_at": TIME,
    }
    secret = {"secret_id": IDENTIFIER, "created_at": TIME, "expires_at": or_null(TIME)}
    server, archive = of({"dicomweb": TEXT}), of({"dimse": TEXT})
    bucket = of({"s3": TEXT, "prefix": {"type": "string", "minLength": 1}})
    url: Schema = {
        "type": "string",
        "maxLength": MAX_URL_CHARACTERS,
        "description": "https, a public address, no user, no fragment",
    }
    order: dict[str, Schema] = {
        "study_instance_uid": {
            **UID_TEXT,
            "description": "may be missing where a bucket's prefix names the study",
        },
        "checks": {**listed(TEXT), "minItems": 1},
        "lane": {"enum": list(LANES)},
        "exam_context": {"enum": list(EXAM_CONTEXTS)},
        "clinical": {"type": "object", "description": "docs/clinical.md"},
        "callback_url": or_null(url),
        "source": {"anyOf": [server, archive, bucket], "description": "docs/partners.md"},
    }
    two = of({"en": TEXT, "zh": TEXT})
    return {
        "Problem": of(
            {
                "type": TEXT,
                "title": TEXT,
                "status": WHOLE,
                "detail": TEXT,
                "code": {"enum": codes()},
            }
        ),
        "Order": of(order, optional=tuple(order)),
        "Summary": of(summary),
        "Screenings": page_of("screenings", "Summary"),
        "StudySummary": of(study),
        "Studies": page_of("studies", "StudySummary"),
        "Series": of(series),
        "Study": of(
            {**study, "series": listed(ref("Series")), "screenings": listed(ref("Summary"))}
        ),
        "Volumes": of({"volumes": listed(ref("Volume"))}),
        "Volume": of(
            {
                "series_instance_uid": TEXT,
                "part": WHOLE,
                "key": TEXT,
                "modality": TEXT,
                "description": TEXT,
                "is_image": {"type": "boolean"},
                "shape": or_null({**listed(WHOLE), "minItems": 3, "maxItems": 3}),
                "affine_lps": or_null(listed(listed({"type": "number"}))),
                "refusal": or_null(of({"code": TEXT, "message": TEXT})),
            }
        ),
        "CriticalResults": of({"critical": listed(ref("CriticalResult"))}),
        "CriticalResult": of(
            {
                "critical_id": IDENTIFIER,
                "screening_id": IDENTIFIER,
                "study_instance_uid": or_null(TEXT),
                "check": TEXT,
                "raised_at": TIME,
                "asked": or_null(TEXT),
                "level": WHOLE,
                "due_at": or_null(TIME),
                "acknowledged_at": or_null(TIME),
                "acknowledged_by": or_null(TEXT),
            }
        ),
        "Check": of(
            {
                "check": TEXT,
                "version": TEXT,
                "title": two,
                "intended_use": two,
                "latency_class": {"enum": ["stat", "routine"]},
                "needs": {"type": "object"},
                "thresholds": ref("Result_thresholds"),
                "weights_origin": or_null(TEXT),
                "weights_installed": {"type": "boolean"},
            }
        ),
        "Checks": of({"checks": listed(ref("Check"))}),
        "FhirBundle": {
            "type": "object",
            "description": "docs/results-forms.md",
            "required": ["resourceType", "id", "type", "timestamp", "entry"],
            "properties": {
                "resourceType": {"const": "Bundle"},
                "id": IDENTIFIER,
                "type": {"const": "collection"},
                "entry": listed({"type": "object", "required": ["fullUrl", "resource"]}),
            },
        },
        "Event": {
            "type": "object",
            "required": ["screening_id", "event", "at"],
            "properties": {
                "screening_id": IDENTIFIER,
                "event": {"enum": list(events.KINDS)},
                "at": TIME,
            },
        },
        "WebhookSettings": of(
            {
                "callback_url": or_null(url),
                "body": {"enum": list(deliveries.BODIES)},
                "signed": {"type": "boolean", "default": False},
            },
            optional=("callback_url", "body", "signed"),
        ),
        "Secret": of(secret),
        "Quota": of(
            {"used": or_null(WHOLE), "limit": or_null(WHOLE), "reset_seconds": or_null(WHOLE)}
        ),
        "Usage": of(
            {"tenant": TEXT, "day": TEXT, "quotas": of(dict.fromkeys(QUOTAS, ref("Quota")))}
        ),
        "Webhook": of(
            {
                "callback_url": or_null(TEXT),
                "body": {"enum": list(deliveries.BODIES)},
                "signed": {"type": "boolean"},
                "secrets": listed(ref("Secret")),
            }
        ),
        "SecretOrder": of(
            {
                "overlap_hours": {
                    "type": "number",
                    "minimum": 0,
                    "maximum": MAX_OVERLAP_HOURS,
                    "default": OVERLAP_HOURS,
                }
            },
            optional=("overlap_hours",),
        ),
        "NewSecret": of({**secret, "secret": {"type": "string", "pattern": "^whsec_"}}),
        "Delivery": of(
            {
                "delivery_id": IDENTIFIER,
                "screening_id": IDENTIFIER,
                "event": {"enum": list(deliveries.EVENTS.values())},
                "check": or_null(TEXT),
                "url": TEXT,
                "body": {"enum": list(deliveries.BODIES)},
                "state": {"enum": list(deliveries.STATES)},
                "attempts": WHOLE,
                "next_attempt_at": or_null(TIME),
                "last_status": or_null(WHOLE),
                "last_error": or_null(TEXT),
                "created_at": TIME,
                "last_attempt_at": or_null(TIME),
                "ended_at": or_null(TIME),
            }
        ),
        "Deliveries": page_of("deliveries", "Delivery"),
        "Results": of({"results": listed(ref("Result"))}),
        "Result": of(
            {
                "job_id": IDENTIFIER,
                "screening_id": IDENTIFIER,
                "review_id": or_null(IDENTIFIER),
                "kinds": listed({"enum": list(result_jobs.KINDS)}),
                "send_to": or_null(TEXT),
                "state": {"enum": list(result_jobs.STATES)},
                "attempts": WHOLE,
                "next_attempt_at": or_null(TIME),
                "last_error": or_null(TEXT),
                "objects": listed(ref("ResultObject")),
                "created_at": TIME,
                "last_attempt_at": or_null(TIME),
                "made_at": or_null(TIME),
                "ended_at": or_null(TIME),
            }
        ),
        "ResultObject": of(
            {
                "kind": {"enum": list(result_jobs.KINDS)},
                "sop_class_uid": UID_TEXT,
                "series_instance_uid": UID_TEXT,
                "sop_instance_uid": UID_TEXT,
            }
        ),
        "Ready": of(
            {
                "state": {"enum": ["ready", "not_ready"]},
                "parts": {"type": "object", "additionalProperties": TEXT},
            }
        ),
        "Queue": of({"screenings": listed(ref("Queued"))}),
        "Queued": of(
            {
                "screening_id": IDENTIFIER,
                "study_instance_uid": or_null(TEXT),
                "lane": {"enum": list(LANES)},
                "state": {"enum": list(SCREENING_STATES)},
                "attempt": WHOLE,
                "worker": or_null(TEXT),
                "age_seconds": {"type": "number"},
                "created_at": TIME,
                "started_at": or_null(TIME),
                "requested_checks": listed(TEXT),
            }
        ),
        "Suspensions": of({"suspensions": listed(ref("Suspension"))}),
        "Suspension": of(
            {
                "what": {"enum": list(SUSPENDABLE)},
                "everybody": {"type": "boolean"},
                "reason": TEXT,
                "actor": or_null(TEXT),
                "at": TIME,
            }
        ),
        "Suspend": of(
            {
                "what": {"enum": list(SUSPENDABLE)},
                "reason": {
                    "type": "string",
                    "maxLength": MAX_REASON_CHARACTERS,
                    "pattern": "^[^\u0000]*$",
                },
            },
            optional=("reason",),
        ),
        "Resume": of({"what": {"enum": list(SUSPENDABLE)}}),
        "History": {
            "type": "object",
            "required": ["screening_id", "state", "order", "events", "audit", "manifest"],
            "properties": {
                "screening_id": IDENTIFIER,
                "state": {"enum": list(SCREENING_STATES)},
                "order": {"type": "object"},
                "events": listed({"type": "object"}),
                "audit": listed({"type": "object"}),
                "manifest": {"type": "object"},
            },
        },
        "Health": of(
            {
                "state": {"enum": ["ok", "warning", "failed"]},
                "parts": {
                    "type": "object",
                    "additionalProperties": of(
                        {
                            "state": {"enum": ["ok", "warning", "failed"]},
                            "says": TEXT,
                            "facts": {"type": "object"},
                        }
                    ),
                },
            }
        ),
        "Live": of({"state": {"const": "live"}}),
    }
