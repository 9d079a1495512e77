"""Storage commitment requests, which survive a restart."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE commitments (
            commitment_id    bigserial PRIMARY KEY,
            tenant           text NOT NULL REFERENCES tenants ON DELETE CASCADE,
            transaction_uid  text NOT NULL,
            calling          text NOT NULL,
            called           text NOT NULL,
            "references"     jsonb NOT NULL,  -- SOP Instance UID -> SOP Class UID
            created_at       timestamptz NOT NULL DEFAULT now(),
            attempts         integer NOT NULL DEFAULT 0,
            next_at          timestamptz NOT NULL DEFAULT now() + interval '5 seconds',
            told_at          timestamptz,
            UNIQUE (tenant, calling, transaction_uid)
        );
        CREATE INDEX commitments_untold ON commitments (next_at) WHERE told_at IS NULL;
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE commitments")
