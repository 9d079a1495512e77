"""Masks of what is shown to the reader, kept as objects."""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE masks (
            screening_id   uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
            check_name     text NOT NULL,
            object_key     text NOT NULL,
            object_offset  bigint NOT NULL,
            object_length  bigint NOT NULL,
            PRIMARY KEY (screening_id, check_name)
        );
        CREATE INDEX masks_object_key ON masks (object_key);
        """
    )


def downgrade() -> None:
    op.execute("DROP TABLE masks")
