-- A mark for each statement that inserts a request is a row a request where they come one by one. On the day that is
-- open none is needed, if the day's run can be sure that all transactions that inserted on it have ended: once the day
-- is over, a fresh transaction id is noted, and when none below it is left running, all that was inserted without a
-- mark has been committed, or never will be.

-- The day that is open now, by PostgreSQL's own clock.
CREATE FUNCTION rollup_open_day() RETURNS date LANGUAGE sql AS
    $$ SELECT (clock_timestamp() AT TIME ZONE 'UTC')::date $$;

CREATE TABLE rollup_days (
    day date PRIMARY KEY,
    -- All that was inserted on the day without a mark was so by transactions below this one.
    horizon xid8 NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    -- Whether a run of all tenants has counted what was inserted without a mark.
    settled boolean NOT NULL DEFAULT false
);
-- Until now every request has left a mark.
INSERT INTO rollup_days (day, horizon, settled)
SELECT DISTINCT day, pg_current_xact_id(), true
FROM rollup_runs WHERE tenant_id IS NULL AND state = 'succeeded' AND day < rollup_open_day();

-- The clock is read after the rows have been inserted: whatever leaves no mark has its transaction id before the day is
-- over.
CREATE OR REPLACE FUNCTION mark_rollup_days() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_since timestamptz := rollup_open_day()::timestamp AT TIME ZONE 'UTC';
BEGIN
    INSERT INTO rollup_marks (day, tenant_id)
    SELECT DISTINCT (r.created_at AT TIME ZONE 'UTC')::date, ta.tenant_id
    FROM new_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
    WHERE r.created_at < open_since;
    RETURN NULL;
END $$;
