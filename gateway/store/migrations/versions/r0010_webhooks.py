"""Webhooks: where tenants are called, what signs the calls, and every delivery."""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(
        """
        CREATE TABLE webhooks (
            tenant        text PRIMARY KEY REFERENCES tenants ON DELETE CASCADE,
            callback_url  text,
            body          text NOT NULL DEFAULT 'reference'
                          CHECK (body IN ('reference', 'result')),
            updated_at    timestamptz NOT NULL DEFAULT now()
        );

        CREATE TABLE webhook_secrets (
            secret_id      uuid PRIMARY KEY,
            tenant         text NOT NULL REFERENCES tenants ON DELETE CASCADE,
            secret_digest  bytea NOT NULL CHECK (octet_length(secret_digest) = 32),  -- SHA-256
            created_at     timestamptz NOT NULL DEFAULT now(),
            expires_at     timestamptz
        );
        CREATE INDEX webhook_secrets_tenant ON webhook_secrets (tenant, created_at DESC);

        CREATE TABLE webhook_deliveries (
            delivery_id      uuid PRIMARY KEY DEFAULT gen_random_uuid(),
            tenant           text NOT NULL REFERENCES tenants ON DELETE CASCADE,
            screening_id     uuid NOT NULL REFERENCES screenings ON DELETE CASCADE,
            event            text NOT NULL,
            check_name       text,
            url              text NOT NULL,
            body             text NOT NULL CHECK (body IN ('reference', 'result')),
            state            text NOT NULL DEFAULT 'pending'
                             CHECK (state IN ('pending', 'delivered', 'failed')),
            attempts         integer NOT NULL DEFAULT 0,
            created_at       timestamptz NOT NULL DEFAULT now(),
            due_since        timestamptz NOT NULL DEFAULT now(),  -- the day of retries begins here
            next_at          timestamptz NOT NULL DEFAULT now(),
            last_attempt_at  timestamptz,
            ended_at         timestamptz,
            last_status      integer,
            last_error       text
        );
        CREATE INDEX webhook_deliveries_pending ON webhook_deliveries (tenant, next_at)
            WHERE state = 'pending';
        CREATE INDEX webhook_deliveries_newest
            ON webhook_deliveries (tenant, created_at DESC, delivery_id DESC);
        CREATE INDEX webhook_deliveries_screening ON webhook_deliveries (screening_id);

        CREATE FUNCTION notify_webhook_deliveries() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            PERFORM pg_notify('onescan', 'delivery');
            RETURN NULL;
        END $$;
        CREATE TRIGGER webhook_deliveries_written AFTER INSERT ON webhook_deliveries
            FOR EACH STATEMENT EXECUTE FUNCTION notify_webhook_deliveries();
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP TABLE webhook_deliveries, webhook_secrets, webhooks;
        DROP FUNCTION notify_webhook_deliveries;
        """
    )
