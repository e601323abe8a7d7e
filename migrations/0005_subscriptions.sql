-- Every change of what a tenant pays: the history that revenue figures are computed from.

CREATE TABLE subscription_events (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    event_type text NOT NULL CHECK (event_type IN ('started', 'upgraded', 'downgraded', 'cancelled')),
    plan text NOT NULL REFERENCES plans (name),
    mrr_before_cents bigint NOT NULL CHECK (mrr_before_cents >= 0),
    mrr_after_cents bigint NOT NULL CHECK (mrr_after_cents >= 0),
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (CASE event_type
        WHEN 'started' THEN mrr_before_cents = 0 AND mrr_after_cents > 0
        WHEN 'upgraded' THEN mrr_after_cents > mrr_before_cents AND mrr_before_cents > 0
        WHEN 'downgraded' THEN mrr_after_cents < mrr_before_cents AND mrr_after_cents > 0
        WHEN 'cancelled' THEN mrr_before_cents > 0 AND mrr_after_cents = 0
    END)
);
CREATE INDEX subscription_events_tenant ON subscription_events (tenant_id, occurred_at);
CREATE INDEX subscription_events_time ON subscription_events (occurred_at);
