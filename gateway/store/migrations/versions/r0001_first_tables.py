"""All tables of the first release.

``day`` is the UTC day on which a study first arrived. It is the partition key of instances,
frames and revisions, so that all rows of a study share a partition and old days are dropped whole.
The partitions themselves are made on demand by `gateway.store.index.ensure_partition`.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TENANTS = """
CREATE TABLE tenants (
    tenant      text PRIMARY KEY CHECK (tenant <> ''),
    created_at  timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE api_keys (
    key_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name        text NOT NULL,
    key_hash    bytea NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),  -- SHA-256
    scopes      text[] NOT NULL DEFAULT '{}',
    created_at  timestamptz NOT NULL DEFAULT now(),
    expires_at  timestamptz,
    revoked_at  timestamptz
);
"""

INDEX = """
CREATE TABLE studies (
    tenant              text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    study_instance_uid  text NOT NULL,
    day                 date NOT NULL,
    attributes          jsonb NOT NULL DEFAULT '{}',  -- DICOM keyword -> value
    created_at          timestamptz NOT NULL DEFAULT now(),
    updated_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, study_instance_uid)
);
CREATE INDEX studies_day ON studies (day);

CREATE TABLE instances (
    tenant               text NOT NULL,
    day                  date NOT NULL,
    study_instance_uid   text NOT NULL,
    series_instance_uid  text NOT NULL,
    sop_instance_uid     text NOT NULL,
    sop_class_uid        text NOT NULL,
    transfer_syntax_uid  text NOT NULL,
    attributes           jsonb NOT NULL DEFAULT '{}',
    object_key           text NOT NULL,
    object_offset        bigint NOT NULL,
    object_length        bigint NOT NULL,
    revision             integer NOT NULL DEFAULT 1,
    received_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, day, study_instance_uid, sop_instance_uid)
) PARTITION BY RANGE (day);
CREATE INDEX instances_sop_instance_uid ON instances (tenant, sop_instance_uid);
CREATE INDEX instances_object_key ON instances (object_key);

CREATE TABLE frames (
    tenant                      text NOT NULL,
    day                         date NOT NULL,
    study_instance_uid          text NOT NULL,
    series_instance_uid         text NOT NULL,
    sop_instance_uid            text NOT NULL,
    frame_number                integer NOT NULL,
    rows                        integer NOT NULL,
    columns                     integer NOT NULL,
    bits_allocated              smallint NOT NULL,
    bits_stored                 smallint NOT NULL,
    high_bit                    smallint NOT NULL,
    pixel_representation        smallint NOT NULL,
    samples_per_pixel           smallint NOT NULL,
    photometric_interpretation  text NOT NULL,
    transfer_syntax_uid         text NOT NULL,
    rescale_slope               double precision,
    rescale_intercept           double precision,
    image_position_patient      double precision[],
    image_orientation_patient   double precision[],
    pixel_spacing               double precision[],
    slice_thickness             double precision,
    pixel_padding_value         bigint,
    pixel_padding_range_limit   bigint,
    temporal_position           text,
    object_key                  text NOT NULL,
    pixel_offset                bigint NOT NULL,
    pixel_length                bigint NOT NULL,
    fragments                   bigint[] NOT NULL DEFAULT '{}',  -- offset, length, offset, ...
    PRIMARY KEY (tenant, day, study_instance_uid, sop_instance_uid, frame_number)
) PARTITION BY RANGE (day);

CREATE TABLE instance_revisions (
    tenant               text NOT NULL,
    day                  date NOT NULL,
    study_instance_uid   text NOT NULL,
    sop_instance_uid     text NOT NULL,
    revision             integer NOT NULL,
    changed              jsonb NOT NULL,  -- DICOM keyword -> [before, after]
    transfer_syntax_uid  text NOT NULL,   -- of the copy that was sent again
    received_at          timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant, day, study_instance_uid, sop_instance_uid, revision)
) PARTITION BY RANGE (day);
"""

SCREENINGS = """
CREATE TABLE screenings (
    screening_id        uuid PRIMARY KEY,
    tenant              text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    study_instance_uid  text NOT NULL,
    version             integer NOT NULL,
    supersedes          uuid REFERENCES screenings,
    checks              text[] NOT NULL DEFAULT '{}',
    lane                text NOT NULL DEFAULT 'routine'
                        CHECK (lane IN ('stat', 'routine', 'backfill')),
    exam_context        text,
    clinical            jsonb NOT NULL DEFAULT '{}',
    state               text NOT NULL DEFAULT 'accepted'
                        CHECK (state IN ('accepted', 'running', 'done', 'failed')),
    attempt             integer NOT NULL DEFAULT 1,
    job_id              bigint,
    worker              text,
    heartbeat_at        timestamptz,
    created_at          timestamptz NOT NULL DEFAULT now(),
    started_at          timestamptz,
    finished_at         timestamptz,
    plan                jsonb,
    result              jsonb,
    error_code          text,
    error_message       text,
    idempotency_key     text,
    UNIQUE (tenant, study_instance_uid, version),
    UNIQUE (tenant, idempotency_key)
);
CREATE INDEX screenings_open ON screenings (created_at) WHERE state IN ('accepted', 'running');
CREATE INDEX screenings_tenant ON screenings (tenant, created_at);

CREATE TABLE check_results (
    screening_id  uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
    check_name    text NOT NULL,
    attempt       integer NOT NULL,
    state         text NOT NULL CHECK (state IN
                  ('positive', 'negative', 'indeterminate', 'not_evaluated', 'failed')),
    reason        text,
    result        jsonb NOT NULL DEFAULT '{}',
    released_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (screening_id, check_name)
);

CREATE TABLE screening_events (
    event_id      bigserial PRIMARY KEY,
    screening_id  uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
    tenant        text NOT NULL,
    kind          text NOT NULL,
    data          jsonb NOT NULL DEFAULT '{}',
    at            timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX screening_events_screening ON screening_events (screening_id, event_id);
"""

AUDIT = """
CREATE TABLE audit (
    audit_id  bigserial PRIMARY KEY,
    tenant    text NOT NULL,
    at        timestamptz NOT NULL DEFAULT now(),
    actor     text NOT NULL,
    action    text NOT NULL,
    subject   text NOT NULL,
    detail    jsonb NOT NULL DEFAULT '{}'
);
CREATE INDEX audit_tenant ON audit (tenant, at);
"""


def upgrade() -> None:
    for sql in (TENANTS, INDEX, SCREENINGS, AUDIT):
        op.execute(sql)


def downgrade() -> None:
    op.execute(
        "DROP TABLE audit, screening_events, check_results, screenings,"
        " instance_revisions, frames, instances, studies, api_keys, tenants"
    )
