-- What a command costs PostgreSQL: one statement, in which its effect, its record and its event are made together.

-- Writes events, each once: of two with one key, the first stays.
CREATE FUNCTION record_events(events jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO operational_events (event_key, event_type, category, tenant_id, user_id, user_email,
        resource_type, resource_id, action, status, details, ip_address, user_agent)
    SELECT e.event_key, e.event_type, 'operations', e.tenant_id, e.user_id, e.user_email,
           e.resource_type, e.resource_id, e.action, e.status, e.details, e.ip_address, e.user_agent
    FROM jsonb_to_recordset(events) AS e (event_key text, event_type text, tenant_id uuid, user_id text,
        user_email text, resource_type text, resource_id text, action text, status text, details jsonb,
        ip_address text, user_agent text)
    ON CONFLICT (event_key) DO NOTHING;
END $$;

-- Records that a command took effect, with the event of it. A handler calls this in the statement that makes its effect,
-- and makes it where the record is `taken`. Whoever comes second waits for the first to end, and sees what it recorded:
-- `standing` is the recorded result, the caller's or another's. It is null where the command has been given up by
-- somebody with this fence or a higher one.
CREATE FUNCTION record_success(command uuid, at_fence bigint, made jsonb, event jsonb,
    OUT taken boolean, OUT standing jsonb) LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO command_effects AS known (command_id, fence, outcome, result)
    VALUES (command, at_fence, 'success', made)
    ON CONFLICT (command_id) DO UPDATE SET fence = excluded.fence, outcome = 'success', result = excluded.result
    WHERE known.outcome = 'failed' AND known.fence < excluded.fence;
    taken := FOUND;
    IF taken THEN
        standing := made;
        PERFORM record_events(jsonb_build_array(jsonb_set(event, '{details,result}', made)));
    ELSE
        SELECT known.result INTO standing FROM command_effects known
        WHERE known.command_id = command AND known.outcome = 'success';
    END IF;
END $$;

-- Writes down what a REPROCESS_QUEUE is about to take, in the order given, or what it has skipped: no more are `taken` than
-- `most`, and what was written down before stays as it is. `known` are those that stand then; nothing is written where the
-- command has been given up by somebody with this fence or a higher one.
CREATE FUNCTION take_targets(command uuid, at_fence bigint, most bigint, how text, ids uuid[], times timestamptz[],
    OUT given_up boolean, OUT known uuid[]) LANGUAGE plpgsql AS $$
DECLARE
    room bigint;
BEGIN
    -- Another holder of the command, alive after all, must not count at the same time.
    PERFORM pg_advisory_xact_lock(hashtextextended(command::text, 0));
    given_up := EXISTS (SELECT FROM command_effects e WHERE e.command_id = command AND e.fence >= at_fence);
    IF given_up THEN
        RETURN;
    END IF;
    IF how = 'taken' THEN
        SELECT greatest(most - count(*), 0) INTO room
        FROM reprocessed_commands r WHERE r.command_id = command AND r.outcome <> 'skipped';
    END IF;
    INSERT INTO reprocessed_commands (command_id, target_command_id, target_created_at, outcome)
    SELECT command, asked.id, asked.at, how
    FROM unnest(ids, times) WITH ORDINALITY AS asked (id, at, place)
    WHERE NOT EXISTS (
        SELECT FROM reprocessed_commands r WHERE r.command_id = command AND r.target_command_id = asked.id)
    ORDER BY asked.place
    LIMIT room;
    known := ARRAY(
        SELECT r.target_command_id FROM reprocessed_commands r
        WHERE r.command_id = command AND r.target_command_id = ANY (ids));
END $$;
