-- What commands did, and who asked for it.

-- One row a command, written in the transaction of its effect. A success stands for ever; a failure
-- is a tombstone that only a higher fence replaces, so that a worker which lost its lease comes too late.
CREATE TABLE command_effects (
    command_id uuid PRIMARY KEY,
    fence bigint NOT NULL CHECK (fence > 0),
    outcome text NOT NULL CHECK (outcome IN ('success', 'failed')),
    result jsonb NOT NULL CHECK (jsonb_typeof(result) = 'object'),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER command_effects_updated_at BEFORE UPDATE ON command_effects
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- What a REPROCESS_QUEUE took, a row a dead command: a second attempt goes on where the first stopped.
CREATE TABLE reprocessed_commands (
    command_id uuid NOT NULL,
    target_command_id uuid NOT NULL,
    target_created_at timestamptz NOT NULL,
    outcome text NOT NULL DEFAULT 'taken' CHECK (outcome IN ('taken', 'moved', 'skipped')),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (command_id, target_command_id)
);
CREATE TRIGGER reprocessed_commands_updated_at BEFORE UPDATE ON reprocessed_commands
    FOR EACH ROW EXECUTE FUNCTION set_updated_at();

-- The audit log. `event_key` makes the writing of an event idempotent.
CREATE TABLE operational_events (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_key text UNIQUE,
    event_type text NOT NULL,
    category text NOT NULL,
    tenant_id uuid REFERENCES tenants (id),
    user_id text,
    user_email text,
    resource_type text,
    resource_id text,
    action text NOT NULL,
    status text NOT NULL,
    details jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(details) = 'object'),
    ip_address text,
    user_agent text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX operational_events_time ON operational_events (created_at DESC);
CREATE INDEX operational_events_tenant ON operational_events (tenant_id, created_at DESC);
CREATE INDEX operational_events_resource ON operational_events (resource_id, created_at);
CREATE INDEX operational_events_user ON operational_events (user_id, created_at DESC);

-- Append only, for the owner of the table too.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END $$;
CREATE TRIGGER operational_events_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON operational_events
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
