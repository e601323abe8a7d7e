-- Customers, their plans and their people.

-- `updated_at` follows every update, whoever makes it.
CREATE FUNCTION set_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;

CREATE TABLE plans (
    name text PRIMARY KEY CHECK (name IN ('starter', 'professional', 'enterprise')),
    monthly_price_cents bigint NOT NULL CHECK (monthly_price_cents >= 0),
    max_agents integer NOT NULL CHECK (max_agents > 0),
    max_users integer NOT NULL CHECK (max_users > 0),
    max_requests_per_month bigint NOT NULL CHECK (max_requests_per_month > 0)
);

INSERT INTO plans (name, monthly_price_cents, max_agents, max_users, max_requests_per_month) VALUES
    ('starter', 49900, 3, 5, 10000),
    ('professional', 149900, 10, 25, 100000),
    ('enterprise', 499900, 50, 250, 2000000);

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    name text NOT NULL CHECK (length(name) BETWEEN 1 AND 200),
    cnpj text NOT NULL UNIQUE CHECK (cnpj ~ '^[0-9]{14}$'),
    segment text NOT NULL CHECK (length(segment) BETWEEN 1 AND 100),
    plan text NOT NULL REFERENCES plans (name),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
    mrr_estimate_cents bigint NOT NULL DEFAULT 0 CHECK (mrr_estimate_cents >= 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tenants_status_name ON tenants (status, name);
CREATE TRIGGER tenants_updated_at BEFORE UPDATE ON tenants
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE tenant_users (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    cognito_sub text NOT NULL UNIQUE,
    email text NOT NULL CHECK (position('@' IN email) > 1),
    full_name text NOT NULL,
    role text NOT NULL CHECK (role IN ('admin', 'user', 'viewer')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive')),
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, email)
);
CREATE TRIGGER tenant_users_updated_at BEFORE UPDATE ON tenant_users
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();
