-- What customers ask the operators, and what is answered.

CREATE TABLE tickets (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    subject text NOT NULL CHECK (length(subject) BETWEEN 1 AND 200),
    -- Open: an operator is to answer. Answered: the customer is to say whether that helped.
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'answered', 'closed')),
    opened_by text NOT NULL,
    opened_by_email text,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX tickets_tenant ON tickets (tenant_id, updated_at DESC, id DESC);
CREATE INDEX tickets_unclosed ON tickets (updated_at, id) WHERE status <> 'closed';
CREATE TRIGGER tickets_updated_at BEFORE UPDATE ON tickets FOR EACH ROW EXECUTE FUNCTION set_updated_at();

CREATE TABLE ticket_messages (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ticket_id uuid NOT NULL REFERENCES tickets (id) ON DELETE CASCADE,
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    by_operator boolean NOT NULL,
    author text NOT NULL,
    author_email text,
    body text NOT NULL CHECK (length(body) BETWEEN 1 AND 5000),
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ticket_messages_ticket ON ticket_messages (ticket_id, id);

-- What a key of a caller was used for, for a day.
CREATE TABLE ticket_keys (
    key text PRIMARY KEY,
    fingerprint text NOT NULL,
    ticket_id uuid NOT NULL REFERENCES tickets (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ticket_keys_created ON ticket_keys (created_at);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['tickets', 'ticket_messages'] LOOP
        EXECUTE format('GRANT SELECT ON %I TO painel_tenant, painel_internal', name);
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', name);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', name);
        EXECUTE format('CREATE POLICY own_rows ON %I TO painel_tenant USING (tenant_id = (SELECT current_tenant()))
                            WITH CHECK (tenant_id = (SELECT current_tenant()))', name);
        EXECUTE format('CREATE POLICY all_rows ON %I TO painel_internal USING (true) WITH CHECK (true)', name);
        EXECUTE format('CREATE POLICY service ON %I TO CURRENT_USER USING (true) WITH CHECK (true)', name);
    END LOOP;
END $$;

-- Writes to a ticket, a new one where there is a subject, with the event of it: all of it or nothing, and for each key once.
-- Of a tenant, only its own tickets are found; of an author, only theirs. `outcome` is `written`, `replayed`, `reused` (the
-- key was given for something else), `missing`, `unchanged` (it is closed already) or `full` (so many of the tenant's are open).
CREATE FUNCTION write_ticket(
    ticket uuid, of_tenant uuid, of_author text, subject text, message text, closes boolean,
    by_operator boolean, author text, author_email text, key text, fingerprint text, event jsonb, most_open bigint,
    OUT outcome text, OUT ticket_id uuid
) LANGUAGE plpgsql AS $$
DECLARE
    known ticket_keys;
    found tickets;
BEGIN
    -- Of two with one key, the second waits and finds what the first did.
    PERFORM pg_advisory_xact_lock(hashtextextended('ticket ' || key, 0));
    SELECT k.* INTO known FROM ticket_keys k WHERE k.key = write_ticket.key;
    IF known.key IS NOT NULL THEN
        outcome := CASE WHEN known.fingerprint = write_ticket.fingerprint THEN 'replayed' ELSE 'reused' END;
        ticket_id := known.ticket_id;
        RETURN;
    END IF;
    DELETE FROM ticket_keys k WHERE k.created_at < now() - interval '1 day';
    IF subject IS NOT NULL THEN
        IF (SELECT count(*) FROM (
                SELECT FROM tickets t WHERE t.tenant_id = of_tenant AND t.status <> 'closed' LIMIT most_open) AS open
           ) = most_open THEN
            outcome := 'full';
            RETURN;
        END IF;
        INSERT INTO tickets (id, tenant_id, subject, opened_by, opened_by_email)
        VALUES (ticket, of_tenant, write_ticket.subject, author, author_email) RETURNING * INTO found;
    ELSE
        SELECT t.* INTO found FROM tickets t
        WHERE t.id = ticket AND (of_tenant IS NULL OR t.tenant_id = of_tenant)
          AND (of_author IS NULL OR t.opened_by = of_author)
        FOR UPDATE;
        IF found.id IS NULL THEN
            outcome := 'missing';
            RETURN;
        END IF;
        IF closes AND message IS NULL AND found.status = 'closed' THEN
            outcome := 'unchanged';
            ticket_id := found.id;
            RETURN;
        END IF;
        UPDATE tickets t
        SET status = CASE WHEN closes THEN 'closed' WHEN by_operator THEN 'answered' ELSE 'open' END
        WHERE t.id = found.id;
    END IF;
    IF message IS NOT NULL THEN
        INSERT INTO ticket_messages (ticket_id, tenant_id, by_operator, author, author_email, body)
        VALUES (found.id, found.tenant_id, write_ticket.by_operator, write_ticket.author, write_ticket.author_email, message);
    END IF;
    INSERT INTO ticket_keys (key, fingerprint, ticket_id) VALUES (write_ticket.key, write_ticket.fingerprint, found.id);
    PERFORM record_events(jsonb_build_array(event || jsonb_build_object('tenant_id', found.tenant_id)));
    outcome := 'written';
    ticket_id := found.id;
END $$;
