"""A database as an earlier schema had it, with rows as that code wrote them.

The statements are those of their time and are not to be brought up to date: what they show is
that rows of then are served now, and that pods of then can go on beside the schema of now.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import psycopg
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from gateway.instance import Instance
from gateway.store.migrate import MIGRATIONS, _migrate_queue

KEY = "key-of-then"
TABLES = ("instances", "frames", "instance_revisions")


def revisions() -> list[str]:
    """List the revisions, oldest first."""
    found = [script.revision for script in ScriptDirectory(str(MIGRATIONS)).walk_revisions()]
    return found[::-1]


def migrate_to(url: str, revision: str) -> None:
    """Bring an empty database to the schema of a revision."""
    engine = sqlalchemy.create_engine(
        "postgresql+psycopg://",
        creator=lambda: psycopg.connect(url),
        poolclass=sqlalchemy.pool.NullPool,
    )
    with engine.begin() as connection:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        command.upgrade(config, revision)
        _migrate_queue(connection.connection.driver_connection)


@dataclass
class Old:
    """What was written, by name."""

    screenings: dict[str, UUID] = field(default_factory=dict)
    """State → screening; ``waiting`` has a job, ``forgotten`` has none."""

    audit_lines: int = 0


def write(url: str, revision: str, instances: list[Instance], study: str = "") -> Old:
    """Write a tenant with a study, and a screening in each state, as `revision`'s code did."""
    old = Old()
    study = study or instances[0].study_instance_uid
    with psycopg.connect(url) as connection:
        _tenant(connection, revision)
        _study(connection, revision, study, instances)
        versions = iter(range(1, 20))
        for name in _states(revision):
            old.screenings[name] = _screening(connection, revision, study, name, next(versions))
        for name, screening_id in old.screenings.items():
            connection.execute(
                "INSERT INTO audit (tenant, actor, action, subject, detail)"
                " VALUES ('default', 'cli:then', 'screening.noted', %s, %s)",
                (str(screening_id), json.dumps({"name": name, "näme": 1.5})),
            )
            old.audit_lines += 1
        _later(connection, revision, study, old)
    return old


def _tenant(connection: psycopg.Connection[Any], revision: str) -> None:
    connection.execute("INSERT INTO tenants (tenant) VALUES ('default') ON CONFLICT DO NOTHING")
    digest = hashlib.sha256(KEY.encode()).digest()
    if revision < "0008":
        connection.execute(
            "INSERT INTO api_keys (tenant, name, key_hash) VALUES ('default', 'partner', %s)",
            (digest,),
        )
    else:
        connection.execute(
            "INSERT INTO api_keys (tenant, name, key_hash, scopes)"
            " VALUES ('default', 'partner', %s, '{send,read,review,operate,admin}')"
            " ON CONFLICT DO NOTHING",
            (digest,),
        )


def _study(
    connection: psycopg.Connection[Any], revision: str, study: str, instances: list[Instance]
) -> None:
    today = datetime.now(UTC).date()
    for table in TABLES:
        if connection.execute(
            "SELECT to_regclass(%s)", (f"{table}_{today:%Y%m%d}",)
        ).fetchone() == (None,):
            connection.execute(f"CREATE TABLE {table}_{today:%Y%m%d} (LIKE {table} INCLUDING ALL)")
            connection.execute(
                f"ALTER TABLE {table} ATTACH PARTITION {table}_{today:%Y%m%d}"
                f" FOR VALUES FROM ('{today}') TO ('{today}'::date + 1)"
            )
    first = instances[0]
    of_study = {
        name: value
        for name, value in first.attributes.items()
        if name in ("PatientName", "PatientID", "PatientSex", "StudyDate")
    }
    connection.execute(
        "INSERT INTO studies (tenant, study_instance_uid, day, attributes)"
        " VALUES ('default', %s, %s, %s)",
        (study, today, json.dumps(of_study)),
    )
    for item in instances:
        connection.execute(
            "INSERT INTO instances (tenant, day, study_instance_uid, series_instance_uid,"
            " sop_instance_uid, sop_class_uid, transfer_syntax_uid, attributes, object_key,"
            " object_offset, object_length)"
            " VALUES ('default', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                today, study, item.series_instance_uid, item.sop_instance_uid, item.sop_class_uid,
                item.transfer_syntax_uid, json.dumps(item.attributes), item.object_key,
                item.object_offset, item.object_length,
            ),
        )  # fmt: skip
        for frame in item.frames:
            connection.execute(
                "INSERT INTO frames (tenant, day, study_instance_uid, series_instance_uid,"
                " sop_instance_uid, frame_number, rows, columns, bits_allocated, bits_stored,"
                " high_bit, pixel_representation, samples_per_pixel, photometric_interpretation,"
                " transfer_syntax_uid, rescale_slope, rescale_intercept, image_position_patient,"
                " image_orientation_patient, pixel_spacing, slice_thickness, object_key,"
                " pixel_offset, pixel_length)"
                " VALUES ('default', %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s,"
                " %s, %s, %s, %s, %s, %s, %s, %s)",
                (
                    today, study, item.series_instance_uid, frame.sop_instance_uid,
                    frame.frame_number, frame.rows, frame.columns, frame.bits_allocated,
                    frame.bits_stored, frame.high_bit, frame.pixel_representation,
                    frame.samples_per_pixel, frame.photometric_interpretation,
                    frame.transfer_syntax_uid, frame.rescale_slope, frame.rescale_intercept,
                    list(frame.image_position_patient or ()),
                    list(frame.image_orientation_patient or ()), list(frame.pixel_spacing or ()),
                    frame.slice_thickness, frame.object_key, frame.pixel_offset,
                    frame.pixel_length,
                ),
            )  # fmt: skip
    if revision >= "0004":
        connection.execute(
            "INSERT INTO series (tenant, study_instance_uid, series_instance_uid, day, attributes,"
            " instance_count) VALUES ('default', %s, %s, %s, %s, %s)",
            (
                study, first.series_instance_uid, today,
                json.dumps({"Modality": first.attributes["Modality"]}), len(instances),
            ),
        )  # fmt: skip
        connection.execute(
            "UPDATE studies SET patient_name = 'doe^jane^q', modalities = '{CT}', series_count = 1,"
            " instance_count = %s WHERE study_instance_uid = %s",
            (len(instances), study),
        )
    if revision >= "0005":
        connection.execute(
            "INSERT INTO arrivals (tenant, study_instance_uid, partner, last_at, waiting, stat,"
            " quiet_seconds, due_at) VALUES ('default', %s, 'p', now(), 0, false, 60, NULL)",
            (study,),
        )


def _states(revision: str) -> list[str]:
    states = ["waiting", "forgotten", "running", "done", "failed"]
    return [*states, "cancelled"] if revision >= "0009" else states


def _screening(
    connection: psycopg.Connection[Any], revision: str, study: str, name: str, version: int
) -> UUID:
    screening_id = uuid4()
    state = {"waiting": "accepted", "forgotten": "accepted"}.get(name, name)
    columns: Mapping[str, Any] = {
        "waiting": {},
        "forgotten": {},
        "running": {"worker": "w/then", "heartbeat_at": "2020-01-01", "started_at": "2020-01-01"},
        "done": {"finished_at": "2020-01-01", "result": json.dumps({"old": True})},
        "failed": {"finished_at": "2020-01-01", "error_code": "crashed", "error_message": "It."},
        "cancelled": {"finished_at": "2020-01-01"},
    }[name]
    names = "".join(f", {column}" for column in columns)
    connection.execute(
        "INSERT INTO screenings (screening_id, tenant, study_instance_uid, version, checks, lane,"
        f" exam_context, clinical, state{names})"
        f" VALUES (%s, 'default', %s, %s, '{{liver}}', 'routine', 'unknown', '{{}}', %s"
        f"{', %s' * len(columns)})",
        (screening_id, study, version, state, *columns.values()),
    )
    if name == "waiting":
        connection.execute(
            "WITH job AS (SELECT unnest(procrastinate_defer_jobs_v1(ARRAY[ROW('routine', 'screen',"
            " 0, NULL, NULL, %s, NULL)::procrastinate_job_to_defer_v1])) AS job_id)"
            " UPDATE screenings SET job_id = job.job_id FROM job WHERE screening_id = %s",
            (json.dumps({"screening_id": str(screening_id), "attempt": 1}), screening_id),
        )
    connection.execute(
        "INSERT INTO screening_events (screening_id, tenant, kind, data)"
        " VALUES (%s, 'default', 'accepted', '{\"lane\": \"routine\"}')",
        (screening_id,),
    )
    if name == "done":
        connection.execute(
            "INSERT INTO check_results (screening_id, check_name, attempt, state, reason, result)"
            " VALUES (%s, 'liver', 1, 'positive', NULL, %s)",
            (screening_id, json.dumps({"check": "liver", "state": "positive", "reason": None})),
        )
    return screening_id


def _later(connection: psycopg.Connection[Any], revision: str, study: str, old: Old) -> None:
    """Write into the tables that came later than the first ones."""
    done = old.screenings["done"]
    if revision >= "0002":
        connection.execute(
            "INSERT INTO workers (worker, version, checks, slots, in_flight, triton_ready,"
            " draining) VALUES ('w/then', '0', '{liver}', 2, 1, true, false)"
            " ON CONFLICT (worker) DO UPDATE SET seen_at = now(), in_flight = excluded.in_flight,"
            " triton_ready = excluded.triton_ready, draining = excluded.draining"
        )
    if revision >= "0003":
        connection.execute(
            "INSERT INTO masks (screening_id, check_name, object_key, object_offset, object_length)"
            " SELECT %s, 'liver', object_key, 0, 4 FROM instances WHERE study_instance_uid = %s"
            " LIMIT 1 ON CONFLICT DO NOTHING",
            (done, study),
        )
    if revision >= "0006":
        connection.execute(
            'INSERT INTO commitments (tenant, transaction_uid, calling, called, "references")'
            " VALUES ('default', %s, 'A', 'B', '{}')",
            (study,),
        )
    if revision >= "0008":
        connection.execute(
            "INSERT INTO usage (tenant, kind, period, used, granted)"
            " VALUES ('default', 'bytes', date_trunc('day', now()), 5, 5)"
            " ON CONFLICT (tenant, kind, period) DO UPDATE SET used = usage.used + excluded.used"
        )
    if revision >= "0010":
        connection.execute(
            "INSERT INTO webhooks (tenant, callback_url, body)"
            " VALUES ('default', 'https://partner.example/x', 'reference')"
            " ON CONFLICT (tenant) DO UPDATE SET callback_url = excluded.callback_url"
        )
        connection.execute(
            "INSERT INTO webhook_secrets (secret_id, tenant, secret_digest)"
            " VALUES (%s, 'default', sha256('secret'))",
            (uuid4(),),
        )
        connection.execute(
            "INSERT INTO webhook_deliveries (tenant, screening_id, event, url, body)"
            " VALUES ('default', %s, 'screening.done', 'https://partner.example/x', 'reference')",
            (done,),
        )
    if revision >= "0011":
        connection.execute(
            "INSERT INTO doomed_objects (object_key, due_at)"
            " VALUES (%s, now() + interval '1 day') ON CONFLICT DO NOTHING",
            (f"2026/01/01/{uuid4()}.seg",),
        )
        connection.execute(
            "INSERT INTO suspensions (tenant, what, actor) VALUES ('default', 'backfill', 'then')"
            " ON CONFLICT DO NOTHING"
        )
