"""Failed screenings are counted at every scrape, however many others there are."""

from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX screenings_failed ON screenings (finished_at) WHERE state = 'failed'")


def downgrade() -> None:
    op.execute("DROP INDEX screenings_failed")
