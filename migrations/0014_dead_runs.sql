-- Whether a failed run's message is kept as a dead letter: where more attempts might have helped. As with commands, this
-- is written down when the run ends, not guessed from its attempts.
ALTER TABLE rollup_runs ADD COLUMN dead_letter boolean NOT NULL DEFAULT false;
UPDATE rollup_runs SET dead_letter = true WHERE state = 'failed' AND attempt >= max_attempts;
-- What died, for whoever gives it new attempts.
CREATE INDEX rollup_runs_dead ON rollup_runs (finished_at) WHERE dead_letter;
