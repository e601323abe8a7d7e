-- Rollup jobs, and what tells that a day must be rolled up again.

ALTER TABLE rollup_runs
    ADD COLUMN republished integer NOT NULL DEFAULT 0 CHECK (republished >= 0),
    ADD COLUMN traceparent text;
-- A day has one open run, of all tenants and of each: two who ask at the same time get the same one.
CREATE UNIQUE INDEX rollup_runs_open ON rollup_runs (day, tenant_id) NULLS NOT DISTINCT
    WHERE state IN ('queued', 'running');

-- A row says that requests of that tenant and day have come since its last rollup. Rows are only added, for every day,
-- and a run deletes those it sees before it counts: what comes later keeps its row. So none is lost, and late days are
-- found without a look at the requests.
CREATE TABLE rollup_marks (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    day date NOT NULL,
    tenant_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rollup_marks_day ON rollup_marks (day, tenant_id);
ALTER TABLE rollup_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE rollup_marks FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON rollup_marks TO painel_tenant
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY all_rows ON rollup_marks TO painel_internal USING (true) WITH CHECK (true);
CREATE POLICY service ON rollup_marks TO CURRENT_USER USING (true) WITH CHECK (true);
GRANT SELECT ON rollup_marks TO painel_internal;

CREATE FUNCTION mark_rollup_days() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO rollup_marks (day, tenant_id)
    SELECT DISTINCT (r.created_at AT TIME ZONE 'UTC')::date, ta.tenant_id
    FROM new_requests r JOIN tenant_agents ta ON ta.id = r.tenant_agent_id;
    RETURN NULL;
END $$;
CREATE TRIGGER agent_requests_mark AFTER INSERT ON agent_requests
    REFERENCING NEW TABLE AS new_requests FOR EACH STATEMENT EXECUTE FUNCTION mark_rollup_days();

-- A trigger of a statement on a partition is only run where the partition itself is named: such rows would not be marked.
CREATE FUNCTION refuse_direct_insert() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'insert into agent_requests, not into its partition %', TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

-- A day is split in two by agent, so that two connections read it side by side, each a table of its own.
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
                EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 2, REMAINDER %s)',
                               name || '_' || half, name, half);
                EXECUTE format(
                    'CREATE TRIGGER through_parent BEFORE INSERT ON %I FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_insert()',
                    name || '_' || half);
            END LOOP;
        END IF;
        day := day + 1;
    END LOOP;
END $$;
-- Days that were made before are left whole.
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'agent_requests'::regclass LOOP
        EXECUTE format(
            'CREATE TRIGGER through_parent BEFORE INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_direct_insert()',
            partition);
    END LOOP;
END $$;
