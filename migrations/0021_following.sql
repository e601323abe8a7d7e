-- Whoever keeps what was read follows what is recorded: each row tells which transaction wrote it, so that all that has
-- become visible since a snapshot can be found, in whatever order it was committed. Rows from before tell none.

ALTER TABLE operational_events ADD COLUMN recorded_in xid8;
ALTER TABLE operational_events ALTER COLUMN recorded_in SET DEFAULT pg_current_xact_id();
CREATE INDEX operational_events_recorded_in ON operational_events (recorded_in) WHERE recorded_in IS NOT NULL;

-- Runs change without a word in the log: when they begin, are retried, and end.
ALTER TABLE rollup_runs ADD COLUMN changed_in xid8;
CREATE INDEX rollup_runs_changed_in ON rollup_runs (changed_in) WHERE changed_in IS NOT NULL;
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.changed_in = pg_current_xact_id();
    RETURN NEW;
END $$;
CREATE TRIGGER rollup_runs_changed_in BEFORE INSERT OR UPDATE ON rollup_runs
    FOR EACH ROW EXECUTE FUNCTION note_change();

CREATE INDEX operational_events_type ON operational_events (event_type, created_at DESC);
