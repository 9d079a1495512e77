"""Pools: what each job needs, what each check costs, and the demand that an autoscaler reads."""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

DEMAND = """
    s.state IN ('accepted', 'running')
    AND (s.source IS NULL OR s.fetched_at IS NOT NULL)
    AND (coalesce(cardinality($1), 0) = 0 OR s.checks <@ $1)
    AND (coalesce(cardinality($2), 0) = 0 OR s.lane = ANY ($2))
    AND (s.state = 'running' OR NOT EXISTS (SELECT 1 FROM suspensions p
        WHERE p.what = s.lane AND p.tenant IN ('', s.tenant)))
"""
"""Screenings that a pool of these checks ($1) and lanes ($2) may take whole; empty means all."""


def upgrade() -> None:
    op.execute(
        f"""
        CREATE TABLE job_classes (
            class   text PRIMARY KEY,
            checks  text[] NOT NULL
        );

        CREATE TABLE check_costs (
            name         text PRIMARY KEY,
            gpu_seconds  double precision NOT NULL CHECK (gpu_seconds >= 0)
        );

        ALTER TABLE workers ADD COLUMN pool text NOT NULL DEFAULT 'default',
            ADD COLUMN lanes text[] NOT NULL DEFAULT '{{}}';

        -- One second for a check whose cost is not known, so that a queue is never worth nothing.
        CREATE FUNCTION onescan_pool_gpu_seconds(checks text[], lanes text[])
        RETURNS double precision LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
        AS $$
            SELECT coalesce(sum(coalesce(c.gpu_seconds, 1)), 0)
            FROM screenings s CROSS JOIN LATERAL unnest(s.checks || 'anatomy'::text) AS n (name)
            LEFT JOIN check_costs c ON c.name = n.name
            WHERE {DEMAND}
        $$;

        CREATE FUNCTION onescan_pool_oldest_seconds(checks text[], lanes text[])
        RETURNS double precision LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
        AS $$
            SELECT coalesce(extract(epoch FROM max(now() - s.created_at)), 0)::double precision
            FROM screenings s WHERE s.state = 'accepted' AND {DEMAND}
        $$;

        REVOKE EXECUTE ON FUNCTION onescan_pool_gpu_seconds, onescan_pool_oldest_seconds
            FROM PUBLIC;
        """
    )


def downgrade() -> None:
    op.execute(
        """
        DROP FUNCTION onescan_pool_oldest_seconds;
        DROP FUNCTION onescan_pool_gpu_seconds;
        ALTER TABLE workers DROP COLUMN lanes, DROP COLUMN pool;
        DROP TABLE check_costs;
        DROP TABLE job_classes;
        """
    )
