-- Whose rows a query sees is decided here, also where the query forgets to ask.
--
-- The API reads under one of two roles that own nothing: `painel_tenant`, which sees the rows of the tenant named
-- by the setting `painel.tenant_id` and none where it is unset, and `painel_internal`, which sees all tenants.
-- Neither may read credentials or raw requests. Workers and the audit log write as the role that connects.

-- Roles belong to the whole server: another database's migration may make them at this moment.
DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['painel_tenant', 'painel_internal'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', name);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;
        END;
        IF NOT pg_has_role(current_user, name, 'MEMBER') THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', name);
        END IF;
    END LOOP;
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO painel_tenant, painel_internal', current_schema());
END $$;

GRANT SELECT ON plans, tenants, tenant_users, agents, tenant_agents, tenant_usage_daily, incidents, incident_tenants
    TO painel_tenant, painel_internal;
-- All columns but the credentials.
GRANT SELECT (id, tenant_id, type, name, status, config, token_fingerprint, token_rotated_at, token_rotations,
              last_sync_at, last_error, created_at, updated_at)
    ON tenant_integrations TO painel_tenant, painel_internal;
GRANT SELECT ON subscription_events, operational_events, rollup_runs TO painel_internal;

-- The tenant that the transaction is about; none where it is about none.
CREATE FUNCTION current_tenant() RETURNS uuid LANGUAGE sql STABLE AS $$
    SELECT NULLIF(current_setting('painel.tenant_id', true), '')::uuid
$$;

-- Each table with rows of tenants: a tenant's own, and everything for operators and for the role that connects.
DO $$
DECLARE
    owned record;
BEGIN
    FOR owned IN
        SELECT * FROM (VALUES
            ('tenants', 'id = (SELECT current_tenant())'),
            ('tenant_users', 'tenant_id = (SELECT current_tenant())'),
            ('tenant_agents', 'tenant_id = (SELECT current_tenant())'),
            ('tenant_integrations', 'tenant_id = (SELECT current_tenant())'),
            ('tenant_usage_daily', 'tenant_id = (SELECT current_tenant())'),
            ('incident_tenants', 'tenant_id = (SELECT current_tenant())'),
            ('incidents', 'EXISTS (SELECT FROM incident_tenants hit
                                   WHERE hit.incident_id = id AND hit.tenant_id = (SELECT current_tenant()))'),
            ('subscription_events', 'tenant_id = (SELECT current_tenant())'),
            ('operational_events', 'tenant_id = (SELECT current_tenant())'),
            ('rollup_runs', 'tenant_id = (SELECT current_tenant())')
        ) AS t (name, own)
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned.name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned.name);
        EXECUTE format('CREATE POLICY own_rows ON %I TO painel_tenant USING (%s) WITH CHECK (%2$s)',
                       owned.name, owned.own);
        EXECUTE format('CREATE POLICY all_rows ON %I TO painel_internal USING (true) WITH CHECK (true)', owned.name);
        EXECUTE format('CREATE POLICY service ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', owned.name);
    END LOOP;
END $$;

-- The tenant of a user of the pool: asked before it is known which tenant the request is about.
CREATE FUNCTION find_member(sub text) RETURNS TABLE (tenant_id uuid, status text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public AS $$
    SELECT u.tenant_id, u.status FROM tenant_users u WHERE u.cognito_sub = sub
$$;
REVOKE EXECUTE ON FUNCTION find_member(text) FROM PUBLIC;
