"""Every operation of the HTTP interface, once: document, page and tests are made from it.

``/dicomweb`` is described by PS3.18 and stands in docs/api.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.api.query import DEFAULT_LIMIT, NAME
from gateway.api.schemas import IDENTIFIER, TEXT, TIME, UID_TEXT, Schema
from gateway.api.screening_lists import SCREENING_STATES
from gateway.api.screenings import MAXIMUM_IDEMPOTENCY_KEY_LENGTH
from gateway.exceptions import (
    ConflictError,
    HiddenError,
    InvalidCallbackError,
    InvalidClinicalError,
    InvalidJsonError,
    InvalidQueryError,
    InvalidReviewError,
    NotAcceptableError,
    NotFoundError,
    OneScanError,
    OverloadedError,
    PayloadTooLargeError,
    ResultMakingError,
    SeriesError,
    SignedError,
    SignedMeanwhileError,
    SourceUnsupportedError,
    StaleDraftError,
    SupersededError,
    UndecidedError,
    UnknownCheckError,
    UnknownQueryKeyError,
    UnknownSourceError,
    UnsupportedMediaTypeError,
)
from gateway.results.fhir import MEDIA_TYPE as FHIR
from gateway.screening.manifest import STATES
from gateway.store import deliveries
from gateway.store.listing import MAX_LIMIT
from gateway.store.queue import LANES
from gateway.study.viewed import PLANES


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter, in ``query``, ``path`` or ``header``."""

    name: str
    where: str
    schema: Schema
    says: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer that is no error."""

    says: str
    schema: str = ""
    """Name of a schema; empty for what is no JSON."""

    media: str = "application/json"
    """Empty for an answer without a body."""

    also: Mapping[str, str] = field(default_factory=dict)
    """Further media types in which it is given → name of the schema of each."""

    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path."""

    method: str
    path: str
    name: str
    says: str
    group: str
    parameters: tuple[Parameter, ...] = ()
    body: str = ""
    """Name of the schema of a JSON body; empty where none is taken."""

    body_required: bool = True
    answers: Mapping[int, Answer]
    errors: tuple[type[OneScanError], ...] = ()
    open: bool = False
    """Asked without a key."""


def some_of(words: tuple[str, ...]) -> Schema:
    """Describe a list of words with commas between."""
    return {"type": "array", "minItems": 1, "items": {"enum": list(words)}}


SCREENING = Parameter("screening_id", "path", IDENTIFIER)
STUDY = Parameter("study_instance_uid", "path", UID_TEXT)
REVIEW = Parameter("review_id", "path", IDENTIFIER)
READER_STUDY = Parameter("reader_study_id", "path", IDENTIFIER)
SLICE = (
    Parameter("plane", "path", {"enum": list(PLANES)}),
    Parameter("index", "path", {"type": "integer", "minimum": 0}, "from feet, front or right"),
)
FROM = Parameter("created_from", "query", TIME, "made at this time or later")
TO = Parameter("created_to", "query", TIME, "made before this time")
PAGE = (
    Parameter(
        "limit",
        "query",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
    ),
    Parameter("cursor", "query", TEXT, "`next_cursor` of the page before, with the same filters"),
)
IDEMPOTENCY = Parameter(
    "Idempotency-Key",
    "header",
    {
        "type": "string",
        "minLength": 1,
        "maxLength": MAXIMUM_IDEMPOTENCY_KEY_LENGTH,
        "pattern": "^[!-~]+$",
    },
    "a repeated request with it gives the first answer",
)
LAST_EVENT = (
    Parameter(
        "Last-Event-ID",
        "header",
        {"type": "string", "pattern": "^[0-9]{1,19}$"},
        "where to go on; 0 is the oldest event that is kept",
    ),
    Parameter(
        "last_event_id",
        "query",
        {"type": "string", "pattern": "^[0-9]{1,19}$"},
        "the same, for readers that can set no header",
    ),
)

BAD_QUERY = (InvalidQueryError, UnknownQueryKeyError)
BAD_JSON = (InvalidJsonError, PayloadTooLargeError, UnsupportedMediaTypeError)
REVIEW_ERRORS = (NotFoundError, ConflictError, HiddenError)

ACCEPTED = Answer(
    "The screening as it was accepted.", "Screening", headers={"Location": "where it is shown"}
)

OPERATIONS = (
    Operation(
        method="GET",
        path="/v1/screenings",
        name="list_screenings",
        says="List screenings, newest first.",
        group="screenings",
        parameters=(
            Parameter("state", "query", some_of(SCREENING_STATES)),
            Parameter("lane", "query", some_of(tuple(LANES))),
            Parameter(
                "check",
                "query",
                {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "string", "pattern": f"^{NAME.pattern}$"},
                },
                "one of these checks was asked for, or with `check_state` has such a result",
            ),
            Parameter("check_state", "query", some_of(STATES), "state of a released result"),
            Parameter("study_instance_uid", "query", UID_TEXT),
            FROM,
            TO,
            *PAGE,
        ),
        answers={200: Answer("One page.", "Screenings")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="POST",
        path="/v1/screenings",
        name="create_screening",
        says="Ask for a study to be screened.",
        group="screenings",
        parameters=(IDEMPOTENCY,),
        body="Order",
        answers={202: ACCEPTED},
        errors=(
            *BAD_JSON,
            InvalidCallbackError,
            UnknownCheckError,
            UnknownSourceError,
            SourceUnsupportedError,
            InvalidClinicalError,
            NotFoundError,
            ConflictError,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}",
        name="get_screening",
        says="Show a screening: state, stage, plan, and the results released so far.",
        group="screenings",
        parameters=(SCREENING,),
        answers={
            200: Answer("The screening.", "Screening", also={FHIR: "FhirBundle"}),
        },
        errors=(NotFoundError, NotAcceptableError),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/fhir",
        name="get_screening_fhir",
        says="Give a screening as a FHIR R4 Bundle, preliminary until it is signed.",
        group="screenings",
        parameters=(SCREENING,),
        answers={200: Answer("The bundle.", "FhirBundle", media=FHIR)},
        errors=(NotFoundError, NotAcceptableError),
    ),
    Operation(
        method="POST",
        path="/v1/screenings/{screening_id}/cancel",
        name="cancel_screening",
        says="End a screening that is not wanted any more.",
        group="screenings",
        parameters=(SCREENING,),
        answers={200: Answer("The screening, cancelled.", "Screening")},
        errors=(InvalidJsonError, PayloadTooLargeError, NotFoundError, ConflictError),
    ),
    Operation(
        method="POST",
        path="/v1/screenings/{screening_id}/rerun",
        name="rerun_screening",
        says="Screen the same study for the same checks again, as a new version.",
        group="screenings",
        parameters=(SCREENING, IDEMPOTENCY),
        answers={202: ACCEPTED},
        errors=(
            InvalidJsonError,
            PayloadTooLargeError,
            UnknownCheckError,
            NotFoundError,
            ConflictError,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/masks/{check}",
        name="get_mask",
        says="Fetch the mask of a check's lesions.",
        group="screenings",
        parameters=(SCREENING, Parameter("check", "path", TEXT)),
        answers={200: Answer("Gzipped NIfTI-1.", media="application/gzip")},
        errors=(NotFoundError,),
    ),
    *(
        Operation(
            method="GET",
            path=f"/v1/screenings/{{screening_id}}/{kind}",
            name=f"get_{kind}",
            says=f"Fetch {what} of a screening; several objects come as multipart/related.",
            group="screenings",
            parameters=(SCREENING,),
            answers={200: Answer("A Part 10 file.", media="application/dicom")},
            errors=(NotFoundError, ConflictError, OverloadedError, ResultMakingError),
        )
        for kind, what in (
            ("sr", "the structured report"),
            ("seg", "the Segmentations"),
            ("sc", "the Secondary Capture summary"),
        )
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/results",
        name="list_results",
        says="List the DICOM objects that are owed, made and sent of a screening.",
        group="screenings",
        parameters=(SCREENING,),
        answers={200: Answer("The results.", "Results")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="POST",
        path="/v1/screenings/{screening_id}/results/{job_id}/replay",
        name="replay_result",
        says="Make or send a result again, whatever became of it.",
        group="screenings",
        parameters=(SCREENING, Parameter("job_id", "path", IDENTIFIER)),
        answers={202: Answer("The result.", "Result")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/events",
        name="stream_screening_events",
        says="Stream what happened and happens to a screening, until it ends.",
        group="events",
        parameters=(SCREENING, *LAST_EVENT),
        answers={
            200: Answer("Server-sent events.", "Event", media="text/event-stream"),
            204: Answer("It has ended, and all of it has been told.", media=""),
        },
        errors=(*BAD_QUERY, NotFoundError),
    ),
    Operation(
        method="GET",
        path="/v1/events",
        name="stream_events",
        says="Stream what happens to all screenings, from now on or from an event.",
        group="events",
        parameters=LAST_EVENT,
        answers={200: Answer("Server-sent events.", "Event", media="text/event-stream")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="GET",
        path="/v1/checks",
        name="list_checks",
        says="List the checks that are installed.",
        group="screenings",
        answers={200: Answer("The checks.", "Checks")},
    ),
    Operation(
        method="GET",
        path="/v1/studies",
        name="list_studies",
        says="List studies, those that came last first.",
        group="studies",
        parameters=(
            Parameter(
                "accession_number", "query", {"type": "string", "minLength": 1, "maxLength": 64}
            ),
            Parameter("modality", "query", {"type": "string", "minLength": 1, "maxLength": 64}),
            FROM,
            TO,
            *PAGE,
        ),
        answers={200: Answer("One page.", "Studies")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="GET",
        path="/v1/studies/{study_instance_uid}",
        name="get_study",
        says="Show a study with its series and its screenings.",
        group="studies",
        parameters=(Parameter("study_instance_uid", "path", UID_TEXT),),
        answers={200: Answer("The study.", "Study")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="GET",
        path="/v1/studies/{study_instance_uid}/volumes",
        name="list_volumes",
        says="List the series of a study as volumes to look at, and why some are none.",
        group="pictures",
        parameters=(STUDY,),
        answers={200: Answer("The volumes.", "Volumes")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="GET",
        path="/v1/studies/{study_instance_uid}/volumes/{series}/{part}/{plane}/{index}",
        name="get_slice",
        says="Give one slice of a volume: int16 HU, little endian, rows from the first on.",
        group="pictures",
        parameters=(
            STUDY,
            Parameter("series", "path", UID_TEXT),
            Parameter("part", "path", {"type": "integer", "minimum": 1}),
            *SLICE,
        ),
        answers={200: Answer("The values.", media="application/octet-stream")},
        errors=(NotFoundError, SeriesError),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/masks/{check}/{plane}/{index}",
        name="get_mask_slice",
        says="Give the mask of a check's lesions on one slice of its volume: uint8 labels.",
        group="pictures",
        parameters=(SCREENING, Parameter("check", "path", TEXT), *SLICE),
        answers={
            200: Answer("The labels.", media="application/octet-stream"),
            204: Answer("Nothing is outlined on that slice.", media=""),
        },
        errors=(NotFoundError, SeriesError),
    ),
    Operation(
        method="GET",
        path="/v1/critical",
        name="list_critical",
        says="List critical results that nobody has acknowledged, oldest first.",
        group="critical results",
        answers={200: Answer("At most 200 of them.", "CriticalResults")},
    ),
    Operation(
        method="POST",
        path="/v1/critical/{critical_id}/acknowledge",
        name="acknowledge_critical",
        says="Say that a critical result has been seen; the first one to say so stands.",
        group="critical results",
        parameters=(Parameter("critical_id", "path", IDENTIFIER),),
        answers={200: Answer("The critical result.", "CriticalResult")},
        errors=(InvalidJsonError, PayloadTooLargeError, NotFoundError),
    ),
    Operation(
        method="GET",
        path="/v1/webhooks",
        name="get_webhook",
        says="Show where the tenant is called, and since when its secrets exist.",
        group="webhooks",
        answers={200: Answer("The webhook.", "Webhook")},
    ),
    Operation(
        method="PUT",
        path="/v1/webhooks",
        name="set_webhook",
        says="Set where the tenant is called when an order names no address.",
        group="webhooks",
        body="WebhookSettings",
        answers={200: Answer("The webhook.", "Webhook")},
        errors=(*BAD_JSON, InvalidCallbackError),
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/secret",
        name="make_webhook_secret",
        says="Make the secret that signs from now on; it is shown this once.",
        group="webhooks",
        body="SecretOrder",
        body_required=False,
        answers={201: Answer("The secret.", "NewSecret")},
        errors=BAD_JSON,
    ),
    Operation(
        method="GET",
        path="/v1/webhooks/deliveries",
        name="list_deliveries",
        says="List webhook deliveries, newest first.",
        group="webhooks",
        parameters=(
            Parameter("state", "query", some_of(deliveries.STATES)),
            Parameter("screening_id", "query", IDENTIFIER),
            *PAGE,
        ),
        answers={200: Answer("One page.", "Deliveries")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="POST",
        path="/v1/webhooks/deliveries/{delivery_id}/replay",
        name="replay_delivery",
        says="Send a delivery again, whatever became of it.",
        group="webhooks",
        parameters=(Parameter("delivery_id", "path", IDENTIFIER),),
        answers={202: Answer("The delivery.", "Delivery")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="GET",
        path="/v1/usage",
        name="show_usage",
        says="Show what the tenant uses today, and its limits.",
        group="server",
        answers={200: Answer("Used and limit of each quota.", "Usage")},
    ),
    Operation(
        method="DELETE",
        path="/v1/studies/{study_instance_uid}",
        name="delete_study",
        says="Delete a study's images, and its screenings where that is asked for.",
        group="studies",
        parameters=(
            STUDY,
            Parameter("results", "query", {"enum": ["keep", "delete"], "default": "keep"}),
        ),
        answers={204: Answer("It is deleted.", media="")},
        errors=(*BAD_QUERY, InvalidJsonError, NotFoundError, ConflictError, PayloadTooLargeError),
    ),
    Operation(
        method="POST",
        path="/v1/screenings/{screening_id}/reviews",
        name="begin_review",
        says="Begin a review, or find one's own draft again.",
        group="reviews",
        parameters=(SCREENING,),
        body="BeginReview",
        body_required=False,
        answers={
            200: Answer("One's own draft.", "BegunReview"),
            201: Answer("The review.", "BegunReview", headers={"Location": "where it is shown"}),
        },
        errors=(*BAD_JSON, *REVIEW_ERRORS, SupersededError, SignedMeanwhileError),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/reviews",
        name="list_reviews",
        says="List a screening's reviews, and what two readers disagree on.",
        group="reviews",
        parameters=(SCREENING,),
        answers={200: Answer("The reviews.", "Reviews")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="GET",
        path="/v1/screenings/{screening_id}/report",
        name="get_report",
        says="Give the final report of a screening.",
        group="reviews",
        parameters=(SCREENING,),
        answers={200: Answer("What was signed.", "Report")},
        errors=(NotFoundError, HiddenError),
    ),
    Operation(
        method="GET",
        path="/v1/reviews/{review_id}",
        name="get_review",
        says="Show a review; what another says stays out until it may be seen.",
        group="reviews",
        parameters=(REVIEW,),
        answers={200: Answer("The review.", "Review")},
        errors=(NotFoundError, HiddenError),
    ),
    Operation(
        method="PUT",
        path="/v1/reviews/{review_id}",
        name="save_review",
        says="Save one's draft over the revision that was read.",
        group="reviews",
        parameters=(REVIEW,),
        body="SaveReview",
        answers={200: Answer("The draft.", "Review")},
        errors=(*BAD_JSON, *REVIEW_ERRORS, InvalidReviewError, StaleDraftError, SignedError),
    ),
    Operation(
        method="POST",
        path="/v1/reviews/{review_id}/sign",
        name="sign_review",
        says="Sign one's draft; with it the final report is there, or the findings are shown.",
        group="reviews",
        parameters=(REVIEW,),
        body="SignReview",
        answers={200: Answer("The review, signed.", "Review")},
        errors=(
            *BAD_JSON,
            *REVIEW_ERRORS,
            InvalidReviewError,
            StaleDraftError,
            SignedError,
            SignedMeanwhileError,
            SupersededError,
            UndecidedError,
        ),
    ),
    Operation(
        method="DELETE",
        path="/v1/reviews/{review_id}",
        name="discard_review",
        says="Discard one's draft.",
        group="reviews",
        parameters=(REVIEW,),
        answers={204: Answer("It is gone.", media="")},
        errors=(InvalidJsonError, PayloadTooLargeError, NotFoundError, SignedError),
    ),
    Operation(
        method="GET",
        path="/v1/agreement",
        name="show_agreement",
        says="Show how far readers agree with the checks, and with each other.",
        group="reviews",
        parameters=(
            Parameter("created_from", "query", TIME, "signed at this time or later"),
            Parameter("created_to", "query", TIME, "signed before this time"),
        ),
        answers={200: Answer("Check by check.", "Agreement")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="POST",
        path="/v1/reader-studies",
        name="begin_reader_study",
        says="Begin a reader study; from now on its readers see no findings of its cases.",
        group="reviews",
        body="NewReaderStudy",
        answers={
            201: Answer("The study.", "ReaderStudy", headers={"Location": "where it is shown"})
        },
        errors=(*BAD_JSON, NotFoundError, ConflictError),
    ),
    Operation(
        method="GET",
        path="/v1/reader-studies",
        name="list_reader_studies",
        says="List reader studies, newest first.",
        group="reviews",
        answers={200: Answer("At most 200 of them.", "ReaderStudies")},
    ),
    Operation(
        method="GET",
        path="/v1/reader-studies/{reader_study_id}",
        name="get_reader_study",
        says="Show how far each reader has come, and the figures when all is read.",
        group="reviews",
        parameters=(READER_STUDY,),
        answers={200: Answer("The study.", "ReaderStudy")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="POST",
        path="/v1/reader-studies/{reader_study_id}/next",
        name="next_reading",
        says="Give the next case of whoever asks and start its clock.",
        group="reviews",
        parameters=(READER_STUDY,),
        answers={200: Answer("The reading in hand, or why there is none.", "NextReading")},
        errors=(InvalidJsonError, PayloadTooLargeError, NotFoundError),
    ),
    Operation(
        method="GET",
        path="/v1/reader-studies/{reader_study_id}/export",
        name="export_reader_study",
        says="Give the signed readings as CSV, a row each.",
        group="reviews",
        parameters=(READER_STUDY,),
        answers={200: Answer("CSV with a header.", media="text/csv")},
        errors=(NotFoundError, HiddenError),
    ),
    Operation(
        method="GET",
        path="/v1/ops/queue",
        name="show_queue",
        says="List the tenant's open screenings in the order in which they are taken.",
        group="operation",
        parameters=(Parameter("lane", "query", {"enum": list(LANES)}),),
        answers={200: Answer("At most 200 of them.", "Queue")},
        errors=BAD_QUERY,
    ),
    Operation(
        method="GET",
        path="/v1/ops/suspensions",
        name="show_suspensions",
        says="List what is suspended for the tenant, by itself or for everybody.",
        group="operation",
        answers={200: Answer("What is suspended.", "Suspensions")},
    ),
    Operation(
        method="GET",
        path="/v1/ops/screenings/{screening_id}",
        name="show_history",
        says="Show how a screening came about: order, events, audit lines, run manifest.",
        group="operation",
        parameters=(SCREENING,),
        answers={200: Answer("All that is known.", "History")},
        errors=(NotFoundError,),
    ),
    Operation(
        method="POST",
        path="/v1/ops/screenings/{screening_id}/restart",
        name="restart_screening",
        says="Screen again what failed, with the inputs that it had, as its next version.",
        group="operation",
        parameters=(SCREENING,),
        answers={202: ACCEPTED},
        errors=(InvalidJsonError, NotFoundError, ConflictError, PayloadTooLargeError),
    ),
    Operation(
        method="POST",
        path="/v1/ops/studies/{study_instance_uid}/complete",
        name="complete_study",
        says="Take a study for complete, so that it is screened now.",
        group="operation",
        parameters=(STUDY,),
        answers={202: Answer("It will be screened.", media="")},
        errors=(InvalidJsonError, NotFoundError, ConflictError, PayloadTooLargeError),
    ),
    Operation(
        method="POST",
        path="/v1/ops/suspend",
        name="suspend",
        says="Suspend the tenant's intake or one of its lanes.",
        group="operation",
        body="Suspend",
        answers={204: Answer("It is suspended.", media="")},
        errors=BAD_JSON,
    ),
    Operation(
        method="POST",
        path="/v1/ops/resume",
        name="resume",
        says="Resume what the tenant has suspended.",
        group="operation",
        body="Resume",
        answers={204: Answer("It is resumed.", media="")},
        errors=(*BAD_JSON, NotFoundError),
    ),
    Operation(
        method="GET",
        path="/health",
        name="health",
        says="Name each dependency and what is wrong with it.",
        group="server",
        answers={200: Answer("What was found.", "Health")},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="get_openapi",
        says="This document.",
        group="server",
        answers={200: Answer("OpenAPI 3.1.", media="application/json")},
        open=True,
    ),
    Operation(
        method="GET",
        path="/docs",
        name="get_docs",
        says="This document as a page.",
        group="server",
        answers={200: Answer("A page.", media="text/html")},
        open=True,
    ),
    Operation(
        method="GET",
        path="/livez",
        name="livez",
        says="Say that the process answers.",
        group="server",
        answers={200: Answer("It does.", "Live")},
        open=True,
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="readyz",
        says="Say whether a study sent now would be screened, and if not, what is wrong.",
        group="server",
        answers={
            200: Answer("It would.", "Ready"),
            503: Answer("It would not; what is not ok says why.", "Ready"),
        },
        open=True,
    ),
    Operation(
        method="GET",
        path="/readyz/intake",
        name="readyz_intake",
        says="Say whether studies are taken, whoever screens them later.",
        group="server",
        answers={
            200: Answer("They are.", "Ready"),
            503: Answer("They are not; what is not ok says why.", "Ready"),
        },
        open=True,
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="metrics",
        says="Give the metrics in Prometheus' text form; to this machine without a key.",
        group="server",
        answers={200: Answer("The metrics.", media="text/plain")},
    ),
)


def example(operation: Operation) -> dict[str, Any]:
    """Give a body that an operation takes, for the page."""
    bodies: dict[str, dict[str, Any]] = {
        "Order": {
            "study_instance_uid": "1.2.3",
            "checks": ["liver"],
            "lane": "routine",
            "callback_url": "https://partner.example/onescan",
        },
        "WebhookSettings": {"callback_url": "https://partner.example/onescan", "body": "reference"},
        "SecretOrder": {"overlap_hours": 24},
        "Suspend": {"what": "routine", "reason": "maintenance"},
        "Resume": {"what": "routine"},
        "BeginReview": {},
        "SaveReview": {
            "revision": 1,
            "content": {"findings": {"liver": {"decision": "accepted"}}},
        },
        "SignReview": {"revision": 2},
        "NewReaderStudy": {
            "name": "nodules",
            "seed": 7,
            "washout_days": 28,
            "readers": ["key:anna", "key:ben"],
            "screenings": ["00000000-0000-4000-8000-000000000000"],
        },
    }
    return bodies[operation.body]
