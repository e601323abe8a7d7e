-- What locks the table of all requests is one statement: no lock is held while the scheduler is waited for.

-- Whether all of a day's requests are in its usage: it has a finished run that could see them all, no open one, and no
-- mark.
CREATE FUNCTION rollup_day_is_settled(asked date) RETURNS boolean LANGUAGE sql AS $$
    SELECT EXISTS (SELECT FROM rollup_runs WHERE day = asked AND tenant_id IS NULL AND state = 'succeeded')
       AND NOT EXISTS (SELECT FROM rollup_runs WHERE day = asked AND state IN ('queued', 'running'))
       AND NOT EXISTS (SELECT FROM rollup_marks WHERE day = asked)
       AND EXISTS (SELECT FROM rollup_days WHERE day = asked AND settled)
$$;

-- Takes a day's raw requests out of the table, if it is settled when nobody can add to it any more; whether it was. The
-- lock that all inserts would wait behind is the last one taken, and no other is waited for while it is held. Each is
-- waited for no longer than inserts may wait.
CREATE FUNCTION detach_agent_requests(asked date) RETURNS boolean LANGUAGE plpgsql SET lock_timeout = '30ms' AS $$
DECLARE
    name text := 'agent_requests_' || to_char(asked, 'YYYYMMDD');
    part regclass;
BEGIN
    IF to_regclass(name) IS NULL OR NOT rollup_day_is_settled(asked) THEN
        RETURN false;
    END IF;
    -- A detaching that a crash makes undone is done again: it need not wait for the disk.
    PERFORM set_config('synchronous_commit', 'off', true);
    LOCK TABLE tenant_agents IN SHARE ROW EXCLUSIVE MODE;
    FOR part IN SELECT relid FROM pg_partition_tree(name::regclass) LOOP
        EXECUTE format('LOCK TABLE ONLY %s IN ACCESS EXCLUSIVE MODE', part);
    END LOOP;
    LOCK TABLE ONLY agent_requests IN ACCESS EXCLUSIVE MODE;
    IF NOT rollup_day_is_settled(asked) THEN
        RETURN false;
    END IF;
    EXECUTE format('ALTER TABLE agent_requests DETACH PARTITION %I', name);
    RETURN true;
END $$;

-- A day whose horizon has been noted is over, whatever the clock says since: it may have been set back, or be another
-- server's.
CREATE OR REPLACE FUNCTION mark_rollup_days() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    open_day date := rollup_open_day();
    open_since timestamptz := open_day::timestamp AT TIME ZONE 'UTC';
BEGIN
    INSERT INTO rollup_marks (day, tenant_id)
    SELECT DISTINCT (r.created_at AT TIME ZONE 'UTC')::date, ta.tenant_id
    FROM new_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id
    WHERE r.created_at < open_since
       OR (r.created_at AT TIME ZONE 'UTC')::date IN (SELECT day FROM rollup_days WHERE day >= open_day);
    RETURN NULL;
END $$;
