-- How much a tenant's agent is asked at this time: whoever may not read requests may know their number.
CREATE FUNCTION recent_requests(of_tenant uuid, of_agent uuid, OUT last_hour bigint, OUT last_day bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    SELECT count(*) FILTER (WHERE r.created_at > now() - interval '1 hour'), count(*)
    FROM tenant_agents ta JOIN agent_requests r ON r.tenant_agent_id = ta.id
    WHERE ta.tenant_id = of_tenant AND ta.agent_id = of_agent AND r.created_at > now() - interval '1 day'
$$;
REVOKE EXECUTE ON FUNCTION recent_requests(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION recent_requests(uuid, uuid) TO painel_internal;
