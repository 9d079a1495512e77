"""Drains of pods and pools, and which pool screened what."""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE drains (
            scope     text NOT NULL CHECK (scope IN ('pod', 'pool')),
            name      text NOT NULL CHECK (name <> ''),
            actor     text NOT NULL,
            replicas  integer,  -- that a pool wanted before
            at        timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (scope, name)
        );

        ALTER TABLE workers ADD COLUMN pod text NOT NULL DEFAULT '',
            ADD COLUMN drained boolean NOT NULL DEFAULT false;

        ALTER TABLE screenings ADD COLUMN pool text;
        CREATE INDEX screenings_done ON screenings (finished_at) WHERE state = 'done';
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP INDEX screenings_done;
        ALTER TABLE screenings DROP COLUMN pool;
        ALTER TABLE workers DROP COLUMN drained, DROP COLUMN pod;
        DROP TABLE drains;
        """
    )
