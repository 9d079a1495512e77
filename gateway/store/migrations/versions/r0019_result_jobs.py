"""Results as DICOM objects: what an order wants of them, and what is owed, made and sent."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        ALTER TABLE screenings
            ADD COLUMN results text[] NOT NULL DEFAULT '{}',
            ADD COLUMN send_results_to text;

        CREATE TABLE result_jobs (
            job_id           uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant           text NOT NULL REFERENCES tenants ON DELETE CASCADE,
            screening_id     uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
            review_id        uuid,   -- of the review that was signed; NULL for the screening's own
            kinds            text[] NOT NULL,
            send_to          text,
            state            text NOT NULL DEFAULT 'pending'
                             CHECK (state IN ('pending', 'made', 'done', 'failed')),
            objects          jsonb NOT NULL DEFAULT '[]',
            attempts         integer NOT NULL DEFAULT 0,
            created_at       timestamptz NOT NULL DEFAULT now(),
            due_since        timestamptz NOT NULL DEFAULT now(),
            next_at          timestamptz NOT NULL DEFAULT now(),
            last_attempt_at  timestamptz,
            made_at          timestamptz,
            ended_at         timestamptz,
            last_error       text,
            UNIQUE NULLS NOT DISTINCT (screening_id, review_id)
        );
        CREATE INDEX result_jobs_due ON result_jobs (next_at)
            WHERE state IN ('pending', 'made');
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE result_jobs;
        ALTER TABLE screenings DROP COLUMN results, DROP COLUMN send_results_to;
        """
    )
