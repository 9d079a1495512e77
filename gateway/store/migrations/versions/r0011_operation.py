"""Operation: what is suspended, and which objects are to be deleted."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE suspensions (
            tenant  text NOT NULL,  -- empty: of everybody
            what    text NOT NULL CHECK (what IN ('intake', 'stat', 'routine', 'backfill')),
            reason  text NOT NULL DEFAULT '',
            actor   text NOT NULL,
            at      timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (tenant, what)
        );

        CREATE TABLE doomed_objects (
            object_key  text PRIMARY KEY,
            due_at      timestamptz NOT NULL
        );
        CREATE INDEX doomed_objects_due ON doomed_objects (due_at);
        CREATE INDEX screenings_finished ON screenings (tenant, study_instance_uid, finished_at);
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP INDEX screenings_finished;
        DROP TABLE doomed_objects;
        DROP TABLE suspensions;
        """
    )
