-- A rollup reads a day in the order of its agents from this index alone, without the table and without a hash table of
-- all agents: for that it holds every column that a rollup counts.
DROP INDEX agent_requests_by_agent;
CREATE INDEX agent_requests_by_agent ON agent_requests (tenant_agent_id, created_at)
    INCLUDE (response_time_ms, tokens_used, status);

-- Every rollup moves the agents' counters: with room left in its page, a row is moved without a look at its indexes.
ALTER TABLE tenant_agents SET (fillfactor = 70);

-- The table is left out where vacuum has marked its pages as visible to all. A partition that is only added to costs
-- vacuum no more than its new pages, so it may come after every fiftieth part; by default it waits for a fifth.
CREATE OR REPLACE FUNCTION ensure_agent_requests_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    day date := first;
    name text;
    half integer;
BEGIN
    WHILE day <= last LOOP
        name := 'agent_requests_' || to_char(day, 'YYYYMMDD');
        IF to_regclass(name) IS NULL THEN
            EXECUTE format(
                'CREATE TABLE %I PARTITION OF agent_requests FOR VALUES FROM (%L) TO (%L) PARTITION BY HASH (tenant_agent_id)',
                name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
            EXECUTE format(
                'CREATE TRIGGER through_parent BEFORE INSERT ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_insert()',
                name);
            FOR half IN 0..1 LOOP
                EXECUTE format(
                    'CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 2, REMAINDER %s)
                     WITH (autovacuum_vacuum_insert_scale_factor = 0.02)',
                    name || '_' || half, name, half);
                EXECUTE format(
                    'CREATE TRIGGER through_parent BEFORE INSERT ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_insert()',
                    name || '_' || half);
            END LOOP;
        END IF;
        day := day + 1;
    END LOOP;
END $$;
DO $$
DECLARE
    leaf regclass;
BEGIN
    FOR leaf IN SELECT relid FROM pg_partition_tree('agent_requests') WHERE isleaf LOOP
        EXECUTE format('ALTER TABLE %s SET (autovacuum_vacuum_insert_scale_factor = 0.02)', leaf);
    END LOOP;
END $$;
