-- What an agent of the catalogue did on a day, for all tenants together: how well and how fast, too. What the platform adds up
-- to is what its agents add up to.

ALTER TABLE agent_usage_totals
    ADD COLUMN successful_requests bigint NOT NULL DEFAULT 0 CHECK (successful_requests >= 0),
    ADD COLUMN total_response_time_ms bigint NOT NULL DEFAULT 0 CHECK (total_response_time_ms >= 0),
    ADD COLUMN latency_buckets smallint[] NOT NULL DEFAULT '{}',
    ADD COLUMN latency_counts bigint[] NOT NULL DEFAULT '{}',
    ADD CHECK (cardinality(latency_buckets) = cardinality(latency_counts));

-- The sums of these days, anew.
CREATE OR REPLACE FUNCTION sum_up_usage(first date, last date) RETURNS void LANGUAGE sql AS $$
    DELETE FROM tenant_usage_totals WHERE date BETWEEN first AND last;
    DELETE FROM agent_usage_totals WHERE date BETWEEN first AND last;
    DELETE FROM platform_usage_daily WHERE date BETWEEN first AND last;
    INSERT INTO tenant_usage_totals (tenant_id, date, total_requests, successful_requests)
    SELECT tenant_id, date, sum(total_requests), sum(successful_requests)
    FROM tenant_usage_daily WHERE date BETWEEN first AND last GROUP BY 1, 2;
    INSERT INTO agent_usage_totals (agent_id, date, total_requests, successful_requests, total_response_time_ms,
                                    latency_buckets, latency_counts)
    SELECT d.agent_id, d.date, d.total, d.successful, d.time, COALESCE(h.buckets, '{}'), COALESCE(h.counts, '{}')
    FROM (
        SELECT agent_id, date, sum(total_requests) AS total, sum(successful_requests) AS successful,
               sum(round(avg_response_time_ms * total_requests)) AS time
        FROM tenant_usage_daily WHERE date BETWEEN first AND last GROUP BY 1, 2
    ) AS d LEFT JOIN (
        SELECT agent_id, date, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(count ORDER BY bucket) AS counts
        FROM (
            SELECT agent_id, date, l.bucket, sum(l.count)::bigint AS count
            FROM tenant_usage_daily, unnest(latency_buckets, latency_counts) AS l (bucket, count)
            WHERE date BETWEEN first AND last GROUP BY 1, 2, 3
        ) AS merged GROUP BY 1, 2
    ) AS h ON h.agent_id = d.agent_id AND h.date = d.date;
    INSERT INTO platform_usage_daily (date, total_requests, successful_requests, total_response_time_ms, active_tenants,
                                      latency_buckets, latency_counts)
    SELECT d.date, d.total, d.successful, d.time, t.tenants, COALESCE(h.buckets, '{}'), COALESCE(h.counts, '{}')
    FROM (
        SELECT date, sum(total_requests) AS total, sum(successful_requests) AS successful,
               sum(total_response_time_ms) AS time
        FROM agent_usage_totals WHERE date BETWEEN first AND last GROUP BY date
    ) AS d JOIN (
        SELECT date, count(*) FILTER (WHERE total_requests > 0) AS tenants
        FROM tenant_usage_totals WHERE date BETWEEN first AND last GROUP BY date
    ) AS t ON t.date = d.date LEFT JOIN (
        SELECT date, array_agg(bucket ORDER BY bucket) AS buckets, array_agg(count ORDER BY bucket) AS counts
        FROM (
            SELECT date, l.bucket, sum(l.count)::bigint AS count
            FROM agent_usage_totals, unnest(latency_buckets, latency_counts) AS l (bucket, count)
            WHERE date BETWEEN first AND last GROUP BY 1, 2
        ) AS merged GROUP BY date
    ) AS h ON h.date = d.date;
$$;
SELECT sum_up_usage(min(date), max(date)) FROM tenant_usage_daily;

-- The tenants that fit; a condition that is NULL is none. An agent is theirs where they use it now.
CREATE FUNCTION matching_tenants(
    of_status text, of_plan text, of_segment text, of_agent uuid, search text, cnpj_part text
) RETURNS SETOF tenants LANGUAGE sql STABLE AS $$
    SELECT t.* FROM matching_tenants(of_status, of_plan, of_segment, search, cnpj_part) t
    WHERE of_agent IS NULL OR EXISTS (
        SELECT FROM tenant_agents ta WHERE ta.tenant_id = t.id AND ta.agent_id = of_agent AND ta.status = 'active')
$$;

-- Whether a search finds a text, which has been folded.
CREATE FUNCTION finds(search text, text_folded text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT folded(search) <> '' AND position(folded(search) IN text_folded) > 0
$$;

-- A list of what all tenants have connected is narrowed by what and how it is.
CREATE INDEX tenant_integrations_type_status ON tenant_integrations (type, status);
-- Open incidents are asked for by themselves.
CREATE INDEX incidents_open ON incidents (created_at DESC) WHERE resolved_at IS NULL;
