-- A day's partition is made beside the table and then attached: to make it as a part of the table would wait for
-- whoever reads requests, and all that insert would wait behind it.

-- Makes the partition of a day where it is missing, in one transaction; false where another session is at it. The
-- caller says by `lock_timeout` how long it may wait for those who hold the tables.
CREATE FUNCTION ensure_agent_requests_partition(day date) RETURNS boolean
LANGUAGE plpgsql AS $$
DECLARE
    name text := 'agent_requests_' || to_char(day, 'YYYYMMDD');
    half integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock(hashtextextended('painel partitions', 0)) THEN
        RETURN false;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN true;
    END IF;
    EXECUTE format(
        'CREATE TABLE %I (LIKE agent_requests INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE)
         PARTITION BY HASH (tenant_agent_id)', name);
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
    EXECUTE format(
        'ALTER TABLE agent_requests ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, day::timestamp AT TIME ZONE 'UTC', (day + 1)::timestamp AT TIME ZONE 'UTC');
    RETURN true;
END $$;

-- The same for the days from `first` to `last`, both included.
CREATE OR REPLACE FUNCTION ensure_agent_requests_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    FOR ahead IN 0..last - first LOOP
        PERFORM ensure_agent_requests_partition(first + ahead);
    END LOOP;
END $$;
