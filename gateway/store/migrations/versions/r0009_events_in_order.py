"""Cancelled screenings, what an order was asked with, and events in the order of their commits.

``event_id`` is given when a row is written, not when it is committed, so a reader that went on
from the largest one would miss rows of slower transactions. ``position`` is given afterwards, to
committed rows only and by one transaction at a time: whoever sees a position sees all below it.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SCREENINGS = """
ALTER TABLE screenings DROP CONSTRAINT screenings_state_check;
ALTER TABLE screenings
    ADD CONSTRAINT screenings_state_check
        CHECK (state IN ('accepted', 'running', 'done', 'failed', 'cancelled')),
    ADD COLUMN request_digest bytea CHECK (octet_length(request_digest) = 32),  -- SHA-256
    ADD COLUMN callback_url text;
DROP INDEX screenings_tenant;
CREATE INDEX screenings_newest ON screenings (tenant, created_at DESC, screening_id DESC);
CREATE INDEX studies_received
    ON studies (tenant, created_at DESC, study_instance_uid COLLATE "C" DESC);
"""

EVENTS = """
ALTER TABLE screening_events ADD COLUMN position bigint;
UPDATE screening_events SET position = event_id;
CREATE SEQUENCE screening_event_positions OWNED BY screening_events.position;
SELECT setval('screening_event_positions', coalesce(max(position), 0) + 1, false)
    FROM screening_events;
CREATE UNIQUE INDEX screening_events_position ON screening_events (position);
CREATE INDEX screening_events_tenant ON screening_events (tenant, position);
CREATE INDEX screening_events_unplaced ON screening_events (event_id) WHERE position IS NULL;

CREATE FUNCTION place_screening_events() RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    placed integer;
BEGIN
    IF NOT EXISTS (SELECT FROM screening_events WHERE position IS NULL) THEN
        RETURN 0;
    END IF;
    PERFORM pg_advisory_xact_lock(8029174366521873);
    WITH waiting AS MATERIALIZED (
        SELECT event_id, nextval('screening_event_positions') AS position
        FROM (SELECT event_id FROM screening_events WHERE position IS NULL
            ORDER BY event_id LIMIT 1000 FOR UPDATE SKIP LOCKED) committed)
    UPDATE screening_events e SET position = w.position FROM waiting w
        WHERE e.event_id = w.event_id;
    GET DIAGNOSTICS placed = ROW_COUNT;
    IF placed > 0 THEN
        PERFORM pg_notify('onescan', 'placed');
    END IF;
    RETURN placed;
END $$;

CREATE FUNCTION notify_screening_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('onescan', 'written');
    RETURN NULL;
END $$;
CREATE TRIGGER screening_events_written AFTER INSERT ON screening_events
    FOR EACH STATEMENT EXECUTE FUNCTION notify_screening_events();
"""


def upgrade() -> None:
    op.execute(SCREENINGS)
    op.execute(EVENTS)


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER screening_events_written ON screening_events;
        DROP FUNCTION notify_screening_events, place_screening_events;
        DROP INDEX screening_events_unplaced, screening_events_tenant, studies_received;
        ALTER TABLE screening_events DROP COLUMN position;
        UPDATE screenings SET state = 'failed', error_code = 'cancelled',
            error_message = 'It was cancelled.' WHERE state = 'cancelled';
        DROP INDEX screenings_newest;
        CREATE INDEX screenings_tenant ON screenings (tenant, created_at);
        ALTER TABLE screenings DROP CONSTRAINT screenings_state_check;
        ALTER TABLE screenings
            ADD CONSTRAINT screenings_state_check
                CHECK (state IN ('accepted', 'running', 'done', 'failed')),
            DROP COLUMN request_digest,
            DROP COLUMN callback_url;
        """
    )
