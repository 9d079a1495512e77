"""Traces: which span asked for a screening."""

from alembic import op

revision = "0015"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE screenings ADD COLUMN traceparent text")


def downgrade() -> None:
    op.execute("ALTER TABLE screenings DROP COLUMN traceparent")
