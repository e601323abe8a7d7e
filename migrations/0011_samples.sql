-- What a rollup counts of a request, as bytes: its response time and its tokens, four each, and whether it failed, one.
-- PostgreSQL appends them as they are, in the order of agents, from the index alone: that costs a rollup a third less
-- than sums and numbers that are made into bytes for each request.
DROP INDEX agent_requests_by_agent;
ALTER TABLE agent_requests ADD COLUMN sample bytea NOT NULL GENERATED ALWAYS AS (
    int4send(response_time_ms) || int4send(tokens_used)
    || CASE WHEN status = 'success' THEN '\x00'::bytea ELSE '\x01'::bytea END
) STORED;
-- Of an agent's requests, which come with those of all others between them, PostgreSQL fills pages up only where their
-- keys are equal; with the time in the key it leaves each page half empty.
CREATE INDEX agent_requests_by_agent ON agent_requests (tenant_agent_id) INCLUDE (sample, created_at);
