-- What a day's usage adds up to: for each tenant, for each agent of the catalogue, and for the platform, its histogram too.
-- So no question about the platform reads a row an agent of a tenant. The rollup writes them in its own transaction.

CREATE TABLE tenant_usage_totals (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    date date NOT NULL,
    total_requests bigint NOT NULL CHECK (total_requests >= 0),
    successful_requests bigint NOT NULL CHECK (successful_requests >= 0),
    PRIMARY KEY (tenant_id, date) INCLUDE (total_requests, successful_requests)
);
CREATE INDEX tenant_usage_totals_date ON tenant_usage_totals (date) INCLUDE (tenant_id, total_requests, successful_requests);

CREATE TABLE agent_usage_totals (
    agent_id uuid NOT NULL REFERENCES agents (id),
    date date NOT NULL,
    total_requests bigint NOT NULL CHECK (total_requests >= 0),
    PRIMARY KEY (date, agent_id)
);

CREATE TABLE platform_usage_daily (
    date date PRIMARY KEY,
    total_requests bigint NOT NULL CHECK (total_requests >= 0),
    successful_requests bigint NOT NULL CHECK (successful_requests >= 0),
    total_response_time_ms bigint NOT NULL CHECK (total_response_time_ms >= 0),
    -- Tenants that had a request.
    active_tenants bigint NOT NULL CHECK (active_tenants >= 0),
    latency_buckets smallint[] NOT NULL,
    latency_counts bigint[] NOT NULL,
    CHECK (cardinality(latency_buckets) = cardinality(latency_counts))
);

-- The sums of these days, anew.
CREATE FUNCTION sum_up_usage(first date, last date) RETURNS void LANGUAGE sql AS $$
    DELETE FROM tenant_usage_totals WHERE date BETWEEN first AND last;
    DELETE FROM agent_usage_totals WHERE date BETWEEN first AND last;
    DELETE FROM platform_usage_daily WHERE date BETWEEN first AND last;
    INSERT INTO tenant_usage_totals (tenant_id, date, total_requests, successful_requests)
    SELECT tenant_id, date, sum(total_requests), sum(successful_requests)
    FROM tenant_usage_daily WHERE date BETWEEN first AND last GROUP BY 1, 2;
    INSERT INTO agent_usage_totals (agent_id, date, total_requests)
    SELECT agent_id, date, sum(total_requests)
    FROM tenant_usage_daily WHERE date BETWEEN first AND last GROUP BY 1, 2;
    INSERT INTO platform_usage_daily (date, total_requests, successful_requests, total_response_time_ms, active_tenants,
                                      latency_buckets, latency_counts)
    SELECT d.date, d.total, d.successful, d.time, d.tenants, COALESCE(h.buckets, '{}'), COALESCE(h.counts, '{}')
    FROM (
        SELECT date, sum(total_requests) AS total, sum(successful_requests) AS successful,
               sum(round(avg_response_time_ms * total_requests)) AS time,
               count(DISTINCT tenant_id) FILTER (WHERE total_requests > 0) AS tenants
        FROM tenant_usage_daily WHERE date BETWEEN first AND last GROUP BY date
    ) AS d LEFT JOIN (
        SELECT date, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(count ORDER BY bucket) AS counts
        FROM (
            SELECT date, l.bucket, sum(l.count)::bigint AS count
            FROM tenant_usage_daily, unnest(latency_buckets, latency_counts) AS l (bucket, count)
            WHERE date BETWEEN first AND last GROUP BY 1, 2
        ) AS merged GROUP BY date
    ) AS h ON h.date = d.date;
$$;
SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily;

-- What an agent has done on all days stands with it. It is added up before the table is locked, for whoever inserts requests.
CREATE TEMP TABLE times AS
SELECT tenant_id, agent_id, sum(round(avg_response_time_ms * total_requests))::bigint AS time
FROM tenant_usage_daily GROUP BY 1, 2;
ALTER TABLE tenant_agents ADD COLUMN total_response_time_ms bigint NOT NULL DEFAULT 0 CHECK (total_response_time_ms >= 0);
UPDATE tenant_agents ta SET total_response_time_ms = u.time
FROM times u
WHERE ta.tenant_id = u.tenant_id AND ta.agent_id = u.agent_id AND u.time > 0;
DROP TABLE times;

GRANT SELECT ON tenant_usage_totals TO painel_tenant, painel_internal;
GRANT SELECT ON agent_usage_totals, platform_usage_daily TO painel_internal;
ALTER TABLE tenant_usage_totals ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant_usage_totals FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON tenant_usage_totals TO painel_tenant
    USING (tenant_id = (SELECT current_tenant())) WITH CHECK (tenant_id = (SELECT current_tenant()));
CREATE POLICY all_rows ON tenant_usage_totals TO painel_internal USING (true) WITH CHECK (true);
CREATE POLICY service ON tenant_usage_totals TO CURRENT_USER USING (true) WITH CHECK (true);

-- What reads ask in more than one place.

-- The tenants that fit; a condition that is NULL is none.
CREATE FUNCTION matching_tenants(of_status text, of_plan text, of_segment text, search text, cnpj_part text)
RETURNS SETOF tenants LANGUAGE sql STABLE AS $$
    SELECT t.* FROM tenants t
    WHERE (of_status IS NULL OR t.status = of_status) AND (of_plan IS NULL OR t.plan = of_plan)
      AND (of_segment IS NULL OR t.segment = of_segment)
      AND (search IS NULL OR (folded(search) <> '' AND position(folded(search) IN t.name_folded) > 0)
           OR position(cnpj_part IN t.cnpj) > 0)
$$;

-- What a tenant's agent did on these days.
CREATE FUNCTION agent_usage(of_tenant uuid, of_agent uuid, first date, last date)
RETURNS TABLE (total bigint, successful bigint, "time" double precision) LANGUAGE sql STABLE AS $$
    SELECT COALESCE(sum(d.total_requests), 0)::bigint, COALESCE(sum(d.successful_requests), 0)::bigint,
           COALESCE(sum(d.avg_response_time_ms * d.total_requests), 0)
    FROM tenant_usage_daily d WHERE d.tenant_id = of_tenant AND d.agent_id = of_agent AND d.date BETWEEN first AND last
$$;
