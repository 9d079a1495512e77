"""When a study was last added to, and screenings of studies that have yet to be fetched."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE arrivals (
            tenant              text NOT NULL,
            study_instance_uid  text NOT NULL,
            partner             text NOT NULL,
            last_at             timestamptz NOT NULL,
            waiting             integer NOT NULL,  -- new instances since the last screening
            stat                boolean NOT NULL,  -- a rule of the partner held
            quiet_seconds       double precision NOT NULL,
            due_at              timestamptz,       -- NULL: nothing is to be screened by itself
            PRIMARY KEY (tenant, study_instance_uid),
            FOREIGN KEY (tenant, study_instance_uid) REFERENCES studies ON DELETE CASCADE
        );
        CREATE INDEX arrivals_due ON arrivals (due_at) WHERE due_at IS NOT NULL;

        ALTER TABLE screenings
            ALTER COLUMN study_instance_uid DROP NOT NULL,  -- of a bucket's study, until fetched
            ADD COLUMN partner text,                        -- whose profile filled in the order
            ADD COLUMN source jsonb,
            ADD COLUMN fetched_at timestamptz,
            ADD CHECK (study_instance_uid IS NOT NULL OR source IS NOT NULL);
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE arrivals;
        DELETE FROM screenings WHERE study_instance_uid IS NULL;
        ALTER TABLE screenings
            DROP COLUMN partner, DROP COLUMN source, DROP COLUMN fetched_at,
            ALTER COLUMN study_instance_uid SET NOT NULL;
        """
    )
