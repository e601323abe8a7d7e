-- Raw agent requests, a partition a UTC day, and what they add up to.

CREATE TYPE request_status AS ENUM ('success', 'error', 'timeout');

CREATE TABLE agent_requests (
    tenant_agent_id integer NOT NULL REFERENCES tenant_agents (id),
    response_time_ms integer NOT NULL CHECK (response_time_ms >= 0),
    tokens_used integer NOT NULL DEFAULT 0 CHECK (tokens_used >= 0),
    status request_status NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
) PARTITION BY RANGE (created_at);
CREATE INDEX agent_requests_by_agent ON agent_requests (tenant_agent_id, created_at);

-- Makes the partitions of the days from `first` to `last`, both included. Harmless where they exist.
CREATE FUNCTION ensure_agent_requests_partitions(first date, last date) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    day date := first;
BEGIN
    WHILE day <= last LOOP
        EXECUTE format(
            'CREATE TABLE IF NOT EXISTS %I PARTITION OF agent_requests FOR VALUES FROM (%L) TO (%L)',
            'agent_requests_' || to_char(day, 'YYYYMMDD'),
            day::timestamp AT TIME ZONE 'UTC',
            (day + 1)::timestamp AT TIME ZONE 'UTC');
        day := day + 1;
    END LOOP;
END $$;

CREATE TABLE tenant_usage_daily (
    tenant_id uuid NOT NULL,
    agent_id uuid NOT NULL,
    date date NOT NULL,
    total_requests bigint NOT NULL CHECK (total_requests >= 0),
    successful_requests bigint NOT NULL CHECK (successful_requests >= 0),
    failed_requests bigint NOT NULL CHECK (failed_requests >= 0),
    success_rate numeric(5, 2) NOT NULL CHECK (success_rate BETWEEN 0 AND 100),
    avg_response_time_ms double precision NOT NULL CHECK (avg_response_time_ms >= 0),
    total_tokens_used bigint NOT NULL CHECK (total_tokens_used >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, agent_id, date),
    FOREIGN KEY (tenant_id, agent_id) REFERENCES tenant_agents (tenant_id, agent_id),
    CHECK (total_requests = successful_requests + failed_requests)
);
CREATE INDEX tenant_usage_daily_date ON tenant_usage_daily (date);
CREATE INDEX tenant_usage_daily_tenant_date ON tenant_usage_daily (tenant_id, date);
CREATE TRIGGER tenant_usage_daily_updated_at BEFORE UPDATE ON tenant_usage_daily
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- The truth about rollup jobs, as the command store is about commands.
CREATE TABLE rollup_runs (
    id uuid PRIMARY KEY,
    day date NOT NULL,
    tenant_id uuid REFERENCES tenants (id),
    state text NOT NULL DEFAULT 'queued' CHECK (state IN ('queued', 'running', 'succeeded', 'failed')),
    attempt integer NOT NULL DEFAULT 0 CHECK (attempt >= 0),
    max_attempts integer NOT NULL DEFAULT 5 CHECK (max_attempts > 0),
    fence bigint NOT NULL DEFAULT 0,
    lease_owner uuid,
    lease_expires_at timestamptz,
    not_before timestamptz NOT NULL DEFAULT now(),
    next_publish_at timestamptz,
    rows_read bigint,
    groups_written bigint,
    duration_ms bigint,
    error text,
    requested_by text,
    created_at timestamptz NOT NULL DEFAULT now(),
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX rollup_runs_day ON rollup_runs (day);
CREATE INDEX rollup_runs_tenant ON rollup_runs (tenant_id);
CREATE INDEX rollup_runs_unfinished ON rollup_runs (next_publish_at) WHERE state IN ('queued', 'running');
CREATE TRIGGER rollup_runs_updated_at BEFORE UPDATE ON rollup_runs
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
