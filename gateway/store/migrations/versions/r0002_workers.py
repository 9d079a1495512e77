"""The workers of a deployment, as they report themselves."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE workers (
            worker        text PRIMARY KEY,
            started_at    timestamptz NOT NULL DEFAULT now(),
            seen_at       timestamptz NOT NULL DEFAULT now(),
            version       text NOT NULL,
            checks        text[] NOT NULL,
            slots         integer NOT NULL,
            in_flight     integer NOT NULL DEFAULT 0,
            triton_ready  boolean NOT NULL DEFAULT false,
            draining      boolean NOT NULL DEFAULT false
        );
        CREATE INDEX screenings_worker ON screenings (worker) WHERE state = 'running';
        """
    )


def downgrade() -> None:
    op.execute("DROP INDEX screenings_worker; DROP TABLE workers")
