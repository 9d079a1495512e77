"""The reading list's order, and critical results that wait for somebody to see them.

A trigger keeps both with the results themselves, so that a worker of the release before, and the
reaper, need not know of them.
"""

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        -- Place in critical, urgent, follow_up, note of the most urgent that is shown; 4: nothing.
        ALTER TABLE screenings ADD COLUMN urgency smallint NOT NULL DEFAULT 4;
        CREATE INDEX screenings_urgency
            ON screenings (tenant, urgency, created_at, screening_id);

        CREATE TABLE critical_results (
            critical_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant           text NOT NULL REFERENCES tenants ON DELETE CASCADE,
            screening_id     uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
            check_name       text NOT NULL,
            raised_at        timestamptz NOT NULL DEFAULT now(),
            asked            text NOT NULL DEFAULT '',  -- empty: nobody yet
            level            integer NOT NULL DEFAULT 0,
            due_at           timestamptz DEFAULT now(),  -- NULL: nobody else is to be asked
            acknowledged_at  timestamptz,
            acknowledged_by  text,
            UNIQUE (screening_id, check_name),
            CHECK ((acknowledged_at IS NULL) = (acknowledged_by IS NULL))
        );
        CREATE INDEX critical_results_due ON critical_results (due_at)
            WHERE acknowledged_at IS NULL;
        CREATE INDEX critical_results_open ON critical_results (tenant, raised_at)
            WHERE acknowledged_at IS NULL;

        CREATE FUNCTION urgency_of(state text, result jsonb) RETURNS smallint
        LANGUAGE sql IMMUTABLE AS $$
            SELECT CASE
                WHEN state = 'positive' OR result #> '{thresholds,marked_by,0}' IS NOT NULL
                THEN coalesce(array_position(
                    ARRAY['critical', 'urgent', 'follow_up', 'note'], result ->> 'urgency'), 4) - 1
                ELSE 4 END::smallint
        $$;

        CREATE FUNCTION note_urgency() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE screenings SET urgency = urgency_of(NEW.state, NEW.result)
                WHERE screening_id = NEW.screening_id
                AND urgency > urgency_of(NEW.state, NEW.result);
            IF NEW.result ->> 'urgency' = 'critical' THEN
                INSERT INTO critical_results (tenant, screening_id, check_name)
                    SELECT tenant, screening_id, NEW.check_name FROM screenings
                    WHERE screening_id = NEW.screening_id
                    ON CONFLICT DO NOTHING;
            END IF;
            RETURN NULL;
        END $$;
        CREATE TRIGGER check_results_urgency AFTER INSERT ON check_results
            FOR EACH ROW EXECUTE FUNCTION note_urgency();

        UPDATE screenings s SET urgency = r.urgency
            FROM (SELECT screening_id, min(urgency_of(state, result)) AS urgency
                FROM check_results GROUP BY screening_id) r
            WHERE r.screening_id = s.screening_id AND r.urgency < 4;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER check_results_urgency ON check_results;
        DROP FUNCTION note_urgency, urgency_of;
        DROP TABLE critical_results;
        DROP INDEX screenings_urgency;
        ALTER TABLE screenings DROP COLUMN urgency;
        """
    )
