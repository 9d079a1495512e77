"""Reviews, what they said of each check, and reader studies.

A signed review is not changed by anybody and not deleted by itself; it goes with its screening
when an administrator deletes a study's results.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

REVIEWS = """
CREATE TABLE reviews (
    review_id     uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant        text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    screening_id  uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
    reader        text NOT NULL,
    purpose       text NOT NULL CHECK (purpose IN
                  ('report', 'independent', 'adjudication', 'teaching', 'study')),
    state         text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'signed')),
    final         boolean NOT NULL DEFAULT false,
    revision      integer NOT NULL DEFAULT 1,
    predecessor   uuid REFERENCES reviews,
    content       jsonb NOT NULL,
    record        text,   -- what was signed, byte by byte
    digest        bytea CHECK (octet_length(digest) = 32),  -- SHA-256 of it
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    signed_at     timestamptz,
    CHECK ((state = 'signed') = (record IS NOT NULL)),
    CHECK ((state = 'signed') = (digest IS NOT NULL)),
    CHECK ((state = 'signed') = (signed_at IS NOT NULL)),
    CHECK (state = 'signed' OR NOT final)
);
CREATE UNIQUE INDEX reviews_one_draft ON reviews (screening_id, reader,
    (CASE WHEN purpose IN ('teaching', 'study') THEN purpose ELSE 'report' END))
    WHERE state = 'draft';
CREATE UNIQUE INDEX reviews_one_final ON reviews (screening_id)
    WHERE final AND predecessor IS NULL;
CREATE UNIQUE INDEX reviews_one_amendment ON reviews (predecessor) WHERE state = 'signed';
CREATE INDEX reviews_screening ON reviews (screening_id);
CREATE INDEX reviews_signed ON reviews (tenant, signed_at) WHERE state = 'signed';

CREATE TABLE review_checks (
    review_id   uuid NOT NULL REFERENCES reviews ON DELETE CASCADE,
    check_name  text NOT NULL,
    ai_state    text NOT NULL,
    state       text NOT NULL,
    decision    text NOT NULL,
    implied     boolean NOT NULL,
    PRIMARY KEY (review_id, check_name)
);
"""

GUARD = """
CREATE FUNCTION refuse_signed_review() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- A deletion by cascade comes from a trigger, so it is deeper than one that was asked for.
    IF OLD.state = 'signed' AND (TG_OP = 'UPDATE' OR pg_trigger_depth() = 1) THEN
        RAISE EXCEPTION 'a signed review is not changed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    IF TG_OP = 'DELETE' THEN
        RETURN OLD;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER reviews_signed_guard BEFORE UPDATE OR DELETE ON reviews
    FOR EACH ROW EXECUTE FUNCTION refuse_signed_review();
"""

STUDIES = """
CREATE TABLE reader_studies (
    reader_study_id  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant           text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name             text NOT NULL,
    seed             bigint NOT NULL,
    washout_days     double precision NOT NULL CHECK (washout_days >= 0),
    readers          text[] NOT NULL,
    created_by       text NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX reader_studies_tenant ON reader_studies (tenant, created_at);

CREATE TABLE readings (
    reader_study_id  uuid NOT NULL REFERENCES reader_studies ON DELETE CASCADE,
    reader           text NOT NULL,
    session          smallint NOT NULL CHECK (session IN (1, 2)),
    position         integer NOT NULL CHECK (position > 0),
    screening_id     uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
    with_findings    boolean NOT NULL,
    review_id        uuid UNIQUE REFERENCES reviews ON DELETE CASCADE,
    opened_at        timestamptz,
    closed_at        timestamptz,
    PRIMARY KEY (reader_study_id, reader, session, position),
    UNIQUE (reader_study_id, reader, session, screening_id),
    CHECK ((review_id IS NULL) = (opened_at IS NULL)),
    CHECK (closed_at IS NULL OR opened_at IS NOT NULL)
);
CREATE INDEX readings_open ON readings (screening_id, reader) WHERE closed_at IS NULL;
"""


def upgrade() -> None:
    for sql in (REVIEWS, GUARD, STUDIES):
        op.execute(sql)
    op.execute("ALTER TABLE webhooks ADD COLUMN signed boolean NOT NULL DEFAULT false")


def downgrade() -> None:
    op.execute(
        """
        ALTER TABLE webhooks DROP COLUMN signed;
        DROP TABLE readings, reader_studies, review_checks, reviews;
        DROP FUNCTION refuse_signed_review;
        """
    )
