-- What a tenant rents, and what it connects.

CREATE TABLE agents (
    id uuid PRIMARY KEY,
    name text NOT NULL UNIQUE,
    segment text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER agents_updated_at BEFORE UPDATE ON agents
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- `id` stays inside: raw requests carry these 4 bytes instead of two UUIDs.
CREATE TABLE tenant_agents (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    agent_id uuid NOT NULL REFERENCES agents (id),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
    config jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(config) = 'object'),
    activated_at timestamptz NOT NULL DEFAULT now(),
    deactivated_at timestamptz,
    last_used_at timestamptz,
    last_request_at timestamptz,
    total_requests bigint NOT NULL DEFAULT 0 CHECK (total_requests >= 0),
    total_errors bigint NOT NULL DEFAULT 0 CHECK (total_errors >= 0),
    generation bigint NOT NULL DEFAULT 1 CHECK (generation > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, agent_id),
    CHECK (deactivated_at IS NULL OR deactivated_at >= activated_at)
);
CREATE INDEX tenant_agents_agent ON tenant_agents (agent_id);
CREATE INDEX tenant_agents_status ON tenant_agents (tenant_id, status);
CREATE TRIGGER tenant_agents_updated_at BEFORE UPDATE ON tenant_agents
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE tenant_integrations (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    type text NOT NULL CHECK (length(type) BETWEEN 1 AND 50),
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    status text NOT NULL DEFAULT 'pending' CHECK (status IN ('active', 'inactive', 'error', 'pending')),
    config jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(config) = 'object'),
    -- AES-256-GCM; the tenant and the integration are its associated data.
    credentials bytea,
    credentials_nonce bytea CHECK (octet_length(credentials_nonce) = 12),
    credentials_key_id text,
    token_fingerprint text,
    token_rotated_at timestamptz,
    token_rotations bigint NOT NULL DEFAULT 0 CHECK (token_rotations >= 0),
    last_sync_at timestamptz,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, name),
    CHECK (num_nulls(credentials, credentials_nonce, credentials_key_id) IN (0, 3))
);
CREATE INDEX tenant_integrations_status ON tenant_integrations (tenant_id, status);
CREATE TRIGGER tenant_integrations_updated_at BEFORE UPDATE ON tenant_integrations
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
