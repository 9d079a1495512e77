"""Roles of keys, quotas of tenants, sessions, counters of use, and the chain of the audit log.

A line of the audit is chained when its transaction commits, by a deferred trigger under one
advisory lock: the lock is held for the commit alone, and nothing is locked after it.
`gateway.store.audit` has the same digest in Python, so that nobody who can replace a function of
the database can make a changed line look whole.
"""

from alembic import op

revision = "0008"
down_revision = "0006"
branch_labels = None
depends_on = None

KEYS = """
UPDATE api_keys SET scopes = '{send,read,review,operate,admin}' WHERE scopes = '{}';
ALTER TABLE api_keys
    ALTER COLUMN scopes DROP DEFAULT,
    ADD CONSTRAINT api_keys_scopes CHECK (cardinality(scopes) > 0
        AND scopes <@ '{send,read,review,operate,admin}'::text[]),
    ADD COLUMN last_used_at timestamptz,
    ADD COLUMN replaced_by uuid;
CREATE INDEX api_keys_tenant ON api_keys (tenant, name);
"""

TENANTS = """
ALTER TABLE tenants  -- NULL: no limit
    ADD COLUMN requests_per_minute bigint CHECK (requests_per_minute > 0),
    ADD COLUMN studies_per_day bigint CHECK (studies_per_day > 0),
    ADD COLUMN bytes_per_day bigint CHECK (bytes_per_day > 0),
    ADD COLUMN screenings_in_flight bigint CHECK (screenings_in_flight > 0);
CREATE INDEX studies_tenant_day ON studies (tenant, day);
CREATE INDEX screenings_open_tenant ON screenings (tenant) WHERE state IN ('accepted', 'running');

CREATE TABLE usage (
    tenant   text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    kind     text NOT NULL CHECK (kind IN ('requests', 'bytes')),
    period   timestamptz NOT NULL,  -- begin of the minute or of the UTC day
    used     bigint NOT NULL,
    granted  bigint NOT NULL,       -- to whom wrote the row last
    PRIMARY KEY (tenant, kind, period)
);
"""

SESSIONS = """
CREATE TABLE sessions (
    session_hash  bytea PRIMARY KEY CHECK (octet_length(session_hash) = 32),  -- SHA-256
    tenant        text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    name          text NOT NULL,
    roles         text[] NOT NULL,
    created_at    timestamptz NOT NULL DEFAULT now(),
    expires_at    timestamptz NOT NULL
);
CREATE INDEX sessions_expires_at ON sessions (expires_at);

CREATE TABLE sign_in_links (
    link_hash   bytea PRIMARY KEY CHECK (octet_length(link_hash) = 32),  -- SHA-256
    tenant      text NOT NULL REFERENCES tenants ON DELETE CASCADE,
    roles       text[] NOT NULL,
    expires_at  timestamptz NOT NULL
);
"""

LOCK = 0x6175_6469_74
"""Advisory lock under which lines are chained ("audit")."""

CHAIN = f"""
CREATE TABLE audit_chain (
    line       bigint PRIMARY KEY CHECK (line > 0),
    audit_id   bigint NOT NULL UNIQUE,
    prev_hash  bytea NOT NULL UNIQUE,  -- a chain never forks
    hash       bytea NOT NULL CHECK (octet_length(hash) = 32)
);

CREATE FUNCTION audit_digest(prev bytea, entry audit) RETURNS bytea LANGUAGE sql STABLE AS $$
    SELECT sha256(prev || convert_to(string_agg(octet_length(field) || ':' || field, ','
        ORDER BY place), 'UTF8'))
    FROM unnest(ARRAY[entry.audit_id::text, entry.tenant,
        to_char(entry.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US'),
        entry.actor, entry.action, entry.subject, entry.detail::text])
        WITH ORDINALITY AS fields (field, place)
$$;

CREATE FUNCTION audit_seal() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    head audit_chain;
    prev bytea;
BEGIN
    PERFORM pg_advisory_xact_lock({LOCK});
    SELECT * INTO head FROM audit_chain ORDER BY line DESC LIMIT 1;
    prev := coalesce(head.hash, sha256('onescan audit'::bytea));
    INSERT INTO audit_chain (line, audit_id, prev_hash, hash)
        VALUES (coalesce(head.line, 0) + 1, NEW.audit_id, prev, audit_digest(prev, NEW));
    RETURN NULL;
END $$;

CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;
"""

FILL = """
DO $$
DECLARE
    entry audit;
    prev bytea := sha256('onescan audit'::bytea);
    next bytea;
    number bigint := 0;
BEGIN
    FOR entry IN SELECT * FROM audit ORDER BY audit_id LOOP
        number := number + 1;
        next := audit_digest(prev, entry);
        INSERT INTO audit_chain VALUES (number, entry.audit_id, prev, next);
        prev := next;
    END LOOP;
END $$;
"""

GUARD = """
CREATE CONSTRAINT TRIGGER audit_seal AFTER INSERT ON audit
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION audit_seal();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit
    EXECUTE FUNCTION audit_refuse();
CREATE TRIGGER audit_refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    EXECUTE FUNCTION audit_refuse();
REVOKE UPDATE, DELETE, TRUNCATE ON audit, audit_chain FROM PUBLIC;
"""


def upgrade() -> None:
    for sql in (KEYS, TENANTS, SESSIONS, CHAIN, FILL, GUARD):
        op.execute(sql)


def downgrade() -> None:
    op.execute(
        """
        DROP TRIGGER audit_seal ON audit;
        DROP TRIGGER audit_refuse ON audit;
        DROP TABLE audit_chain, sign_in_links, sessions, usage;
        DROP FUNCTION audit_seal, audit_refuse, audit_digest;
        DROP INDEX studies_tenant_day, screenings_open_tenant, api_keys_tenant;
        ALTER TABLE tenants
            DROP COLUMN requests_per_minute,
            DROP COLUMN studies_per_day,
            DROP COLUMN bytes_per_day,
            DROP COLUMN screenings_in_flight;
        ALTER TABLE api_keys
            DROP CONSTRAINT api_keys_scopes,
            ALTER COLUMN scopes SET DEFAULT '{}',
            DROP COLUMN last_used_at,
            DROP COLUMN replaced_by;
        """
    )
