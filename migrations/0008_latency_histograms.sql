-- How the response times of a (tenant, agent, day) are distributed, in a form that can be added up.
--
-- Bucket 0 holds 0 ms. Bucket b > 0 holds the times in (g^(b-2), g^(b-1)] with g = 1.02 / 0.98, so that every time in
-- it is within 2 % of 2 g^(b-1) / (g + 1) (Masson, Rim, Lee: DDSketch, VLDB 2019). The two arrays go in step, buckets ascending.
ALTER TABLE tenant_usage_daily
    ADD COLUMN latency_buckets smallint[] NOT NULL DEFAULT '{}',
    ADD COLUMN latency_counts integer[] NOT NULL DEFAULT '{}',
    ADD CHECK (cardinality(latency_buckets) = cardinality(latency_counts));

-- The bucket of a response time.
CREATE FUNCTION latency_bucket(ms integer) RETURNS smallint LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN ms = 0 THEN 0 ELSE ceil(ln(ms::double precision) / ln(1.02::double precision / 0.98)) + 1 END::smallint
$$;
